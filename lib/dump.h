/* SPDX-License-Identifier: MIT */
/*
 * dump.h - what inspection needs of runtime.c.
 *
 * Layer 10.
 */
#ifndef WEFT_DUMP_H
#define WEFT_DUMP_H

#include "worker.h"

/* Calls fn for each runtime, newest first. */
void runtime_each(void (*fn)(struct runtime *, void *), void *arg);

#endif

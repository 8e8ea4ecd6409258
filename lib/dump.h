/* SPDX-License-Identifier: MIT */
/*
 * dump.h - what inspection needs of runtime.c.
 *
 * Layer 10.
 */
#ifndef WEFT_DUMP_H
#define WEFT_DUMP_H

#include "text.h"
#include "worker.h"

/* Calls fn once, with all runtimes, newest first, linked by `next`.  None is
   taken down meanwhile. */
void runtime_list(void (*fn)(struct runtime *first, void *arg), void *arg);

/* Calls fn for each runtime, newest first. */
void runtime_each(void (*fn)(struct runtime *, void *), void *arg);

/* The same for who writes: one at a time, so that dumps do not mix. */
void dump_list(void (*fn)(struct runtime *first, void *arg), void *arg);

/* Flushes what was written: 0 or -EIO. */
int dump_end(struct text *x);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * trim.h - stack pages that a long wait does not need go back.
 *
 * Layer 5.
 */
#ifndef WEFT_TRIM_H
#define WEFT_TRIM_H

#include "worker.h"

/* hooks.tidy: a slice of the work, on a worker's own stack; when to come
   again. */
co_time trim_slice(struct worker *w);

#endif

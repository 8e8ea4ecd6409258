/* SPDX-License-Identifier: MIT */
/*
 * census.h - how much of their stacks coroutines use.
 *
 * Layer 10.
 */
#ifndef WEFT_CENSUS_H
#define WEFT_CENSUS_H

#include "worker.h"

/* hooks.stack_left: t has ended and nobody is on its stack any more; it is made
   as good as new. */
void census_note(struct worker *w, const struct task *t);

#endif

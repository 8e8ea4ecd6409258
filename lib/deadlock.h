/* SPDX-License-Identifier: MIT */
/*
 * deadlock.h - is everybody asleep for ever?
 *
 * Layer 10.
 */
#ifndef WEFT_DEADLOCK_H
#define WEFT_DEADLOCK_H

#include "worker.h"

/* hooks.all_asleep: called by a worker that is about to sleep, as the last. */
int64_t deadlock_check(struct runtime *rt);

/* Threads of the process that are weft's own: count them here. */
void deadlock_own_threads(int n);
/* The same for threads that wake nobody.  They are counted when they are there,
   and not any more before they end: so that it errs towards "ask later". */
void deadlock_helper_threads(int n);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * watchdog.h - names the coroutine that keeps its worker for too long.
 *
 * Layer 10.
 */
#ifndef WEFT_WATCHDOG_H
#define WEFT_WATCHDOG_H

#include "worker.h"

/* Where rt->watchdog_time is not 0: starts its thread.  0, -EAGAIN, -ENOMEM. */
int watchdog_start(struct runtime *rt);
void watchdog_stop(struct runtime *rt);

/* Around a worker's loop, in its thread. */
void watchdog_enter(struct worker *w);
void watchdog_leave(struct worker *w);

#endif

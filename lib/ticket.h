/* SPDX-License-Identifier: MIT */
/*
 * ticket.h - claiming a wait: who may wake the task.
 *
 * Layer 4.  TICKETS in task.h says what a ticket is.  Used by timers, and by
 * park.h for all others.
 */
#ifndef WEFT_TICKET_H
#define WEFT_TICKET_H

#include "task.h"

/* In `park`: bit 0, waiting; bit 1, cancellation does not end this wait.  The
   ticket is the whole word, so that the two kinds need no second field. */
enum { PARK_WAITING = 1, PARK_SHIELDED = 2, PARK_STEP = 4 };

/* In `wake`: the wait ended because its time came.  No errno, no index. */
enum { WAIT_UNTIL = INT_MIN };

/* Exactly one caller gets true for a ticket: he must wake the task. */
static always_inline bool
wait_claim(struct task *t, uint64_t ticket)
{
	struct self *s;
	bool won;

	if (likely(t->kind == TASK_CORO) &&
	    likely(solo_enter(s = self_get()))) {
		won = a_load_relaxed(&t->park) == ticket;
		if (won)
			a_store_relaxed(&t->park,
			    ticket & ~(uint64_t)PARK_WAITING);
		solo_leave(s);
		return won;
	}
	return a_cas_acqrel(&t->park, ticket,
	    ticket & ~(uint64_t)PARK_WAITING);
}

#endif

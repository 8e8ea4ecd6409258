/* SPDX-License-Identifier: MIT */
/*
 * park_here.h - wait_park with the switch inlined.
 *
 * Layer 5.  Used by park.c, and by functions that the user's call jumps to in
 * order to wait and that return by a jump (context_asm.h): then no frame is
 * left between the switch and the user's code whose return would go wrong.
 */
#ifndef WEFT_PARK_HERE_H
#define WEFT_PARK_HERE_H

#include "park.h"
#include "sched.h"

/*
 * P2 and P3 of park.c: has the scope ended between the look at it and the wait,
 * and nobody claimed that?  Then co__wait_refused says what the wait gives.
 */
static always_inline bool
wait_is_refused(struct task *t, uint64_t ticket)
{
	a_light_barrier();					/* P2 */
	return !(ticket & PARK_SHIELDED) &&
	    unlikely(a_load_relaxed(&t->ended)) &&
	    wait_claim(t, ticket);				/* P3 */
}

int co__wait_refused(struct task *t);

/* Parks t, whose wait is open; what the wait gives. */
static always_inline int
park_here(struct worker *w, struct task *t)
{
	t = sched_park_here(w, t);
	return likely(t->wake >= 0) ? t->wake : co__wait_noted(t, t->wake);
}

/* wait_park(t, CO_FOREVER) */
static always_inline int
wait_park_here(struct task *t)
{
	uint64_t ticket = a_load_relaxed(&t->park) | PARK_WAITING;

	if (unlikely(t->kind != TASK_CORO) ||
	    (t->scope && unlikely(t->scope->co__armer != NULL)))
		return wait_park_raw(t, CO_FOREVER);
	if (wait_is_refused(t, ticket))
		return co__wait_refused(t);
	return park_here(t->worker, t);
}

#endif

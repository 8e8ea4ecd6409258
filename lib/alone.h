/* SPDX-License-Identifier: MIT */
/*
 * alone.h - locking, waking and parking as a lone worker does it: inline.
 *
 * Layer 5.  Built on sched, park.  Used where a few instructions count: by
 * chan.c and select.c, as a message is about two hundred of them, and at the
 * beginning and the end of a coroutine (join, scope_child.h).
 *
 * Each of these does what a general call does, in the only case that is left
 * while the caller is in the section of its solo (lock.h):
 *
 *	alone_enter	solo_enter, where no lock is held, so that crit is 0
 *	alone_leave	solo_leave
 *	alone_claim	wait_claim
 *	alone_wake	task_wake, for who was claimed in the section
 *	alone_begin	wait_begin
 *	alone_park	wait_park_raw, for a wait begun in the section; the
 *			section has been left
 *
 * What makes that true: a solo ends before any other thread takes a lock,
 * claims or cancels (lock.h).  So who waits is a coroutine, though it may be
 * one of a worker that sleeps.  And the scope cannot end between the
 * caller's wait_check and its wait_begin: who ends it from outside has ended
 * the solo first, and then finds the wait that was begun (park.c, C3).
 *
 * That the switch itself is inlined matters most.  The processor predicts each
 * return by the last calls made, and those are the ones of the coroutine that
 * was left: every frame between the switch and the user's code is a return
 * that goes wrong.  Measured with the switch in a function of its own: 52 ns
 * instead of 44 for a select over four channels.
 */
#ifndef WEFT_ALONE_H
#define WEFT_ALONE_H

#include "park_here.h"

static always_inline bool
alone_enter(struct self *self)
{
	debug_assert(a_load_relaxed(&self->crit) == 0);
	a_store_relaxed(&self->crit, 1);
	a_compiler_barrier();	/* as in solo_enter */
	if (likely(a_load_relaxed(&co__solo) == self))
		return true;
	a_store_release(&self->crit, 0);
	return false;
}

static always_inline void
alone_leave(struct self *self)
{
	a_compiler_barrier();
	a_store_release(&self->crit, 0);	/* pairs with solo_end */
}

static always_inline bool
alone_claim(struct task *t, uint64_t ticket)
{
	if (unlikely(a_load_relaxed(&t->park) != ticket))
		return false;
	a_store_relaxed(&t->park, ticket & ~(uint64_t)PARK_WAITING);
	return true;
}

static always_inline void
alone_wake(struct self *self, struct task *t, int code)
{
	struct worker *w = worker_of(self);

	if (unlikely(t->worker != w)) {	/* or pinned, or of another runtime */
		task_wake(t, code);
		return;
	}
	t->wake = code;
	trace_ready(t);
	chaos_point();
	sched_push(w, t);
}

static always_inline uint64_t
alone_begin(struct self *self, struct task *t, enum wait_reason why,
    const void *obj)
{
	t->u.run.ext->wait_since = worker_of(self)->now;
	return co__wait_open_as(t, why, obj, PARK_WAITING);
}

static always_inline int
alone_park(struct self *self, struct task *t)
{
	debug_assert(t->scope);		/* t is a coroutine */
	return unlikely(t->scope->co__armer != NULL) ?
	    wait_park_raw(t, CO_FOREVER) : park_here(worker_of(self), t);
}

#endif

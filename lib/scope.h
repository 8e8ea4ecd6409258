/* SPDX-License-Identifier: MIT */
/*
 * scope.h - scopes as the rest of the library sees them.
 *
 * Layer 5.
 */
#ifndef WEFT_LIB_SCOPE_H
#define WEFT_LIB_SCOPE_H

#include "park.h"
#include "timer.h"
#include "worker.h"

/* A child enters s before it can run: 0, or the code of s. */
int scope_add(struct co_scope *s, struct task *child);

/* Arms the scope's own deadline, the first time: 0, or -ENOMEM. */
int scope_arm_slow(struct co_scope *s, struct worker *w);

static inline int
scope_arm(struct co_scope *s, struct worker *w)
{
	if (likely(a_load_relaxed(&s->co__timer_state) > SCOPE_TIMER_ARMING))
		return 0;
	return scope_arm_slow(s, w);
}

/* For who asks and does not wait, so that no timer is armed: ends the scope
   around t whose deadline has passed, if there is one. */
void scope_look(struct task *t, co_time now);

/* Its deadline has passed. */
void scope_expired(struct co_scope *s);

/* Ends everything in the root scope of a deadlocked runtime, shields or not. */
void scope_cancel_all(struct co_scope *root);

/* Ends every wait of one task, if its id is still that. */
void scope_cancel_task(struct task *t, uint64_t id);

/*
 * From here on scope_cancel_task does not find t, and is done with it.
 *
 *	scope_hide_task			scope_cancel_task
 *	id = 0				lock = held
 *	a_light_barrier()		a_heavy_barrier()
 *	lock held ?			id as given ?
 *	  yes: waits for it		  yes: goes on, under the lock
 *
 * A lone worker does the first of these alone, in its section (join_deliver).
 */
static always_inline void
scope_hide_task(struct task *t)
{
	a_store_release(&t->id, 0);
	a_light_barrier();
	if (unlikely(a_load_acquire(&t->lock.word) != 0)) {
		lock_take(&t->lock, LOCK_TASK);
		lock_drop(&t->lock, LOCK_TASK);
	}
}

/* `d` from now, saturated. */
co_time co__time_after(co_time d);

#endif

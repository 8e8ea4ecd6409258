/* SPDX-License-Identifier: MIT */
/*
 * park.h - the only way to block, and the only way to wake.
 *
 * Layer 5.  Built on the scheduler and timers.  Every waiting call is this:
 *
 *	struct task *t = task_self();		the caller, coroutine or thread
 *	if (!t) return -ENOMEM;			a thread's first use, no memory
 *	code = wait_check(t);			has the scope ended?  Always
 *	if (code) return code;			asked first, even if ready
 *	lock_take(&obj->lock, RANK);
 *	if (ready) { ...; lock_drop; return 0; }
 *	w.ticket = wait_begin(t, WAIT_X, obj);	from here others may claim us
 *	w.task = t; w.queued...; waitq_push(&obj->q, &w);
 *	lock_drop(&obj->lock, RANK);
 *	code = wait_park(t, CO_FOREVER);	>= 0: what task_wake gave
 *	if (code < 0) {				timeout or cancelled: we own us
 *		lock_take; waitq_remove(&obj->q, &w); lock_drop;
 *	}
 *	return code;
 *
 * and every waking call is this:
 *
 *	lock_take(&obj->lock, RANK);
 *	w = waitq_claim(&obj->q);		we won: it sleeps until we wake
 *	if (w) { t = w->task; ...write through w->slot...; }
 *	lock_drop(&obj->lock, RANK);
 *	if (t) task_wake(t, 0);			after the lock; w is gone now
 *
 * No lock may be held in wait_park.  Never touch errno or keep a pointer to
 * thread-local data (self_get(), task->worker) across it.
 */
#ifndef WEFT_PARK_H
#define WEFT_PARK_H

#include "ticket.h"

/* The caller as a task: its coroutine, or a thread's stand-in, made at first
   use.  NULL only when there is no memory for a stand-in. */
static always_inline struct task *task_self(void);

/* 0, or the code that every wait here must give at once. */
static always_inline int wait_check(struct task *t);

/* The first lines of a call that may wait: the caller as a task, and 0, or what
   the call must return. */
static always_inline int wait_enter(struct task **ret);

/* Opens a wait; the ticket is odd and good for this wait only.
   wait_begin_shielded: the wait is ended by no cancellation. */
static always_inline uint64_t wait_begin(struct task *t, enum wait_reason why,
    const void *obj);
static always_inline uint64_t wait_begin_shielded(struct task *t,
    enum wait_reason why, const void *obj);

/*
 * Sleeps until somebody who won the claim woke us, and gives the code that he
 * passed (>= 0); or -ETIMEDOUT when `until` came first; or the code of the
 * scope that ended first.  After a negative code the claim is our own: nobody
 * else will wake us, but our waiters may still be linked.
 */
int wait_park(struct task *t, co_time until);

/* Gives up a wait that was begun, without sleeping.  True: nobody had claimed
   it.  False: somebody has and will wake us: call wait_park. */
static always_inline bool wait_cancel(struct task *t, uint64_t ticket);

/* In ticket.h: exactly one caller gets true for a ticket, and must call
   task_wake.
	bool wait_claim(struct task *t, uint64_t ticket);  */

/* Makes a claimed task runnable, next on this worker if it can be; code >= 0.
   Any thread; does not wait. */
void task_wake(struct task *t, int code);
/* The same, but it runs behind the others: several that are woken one after
   the other run in that order. */
void task_wake_late(struct task *t, int code);

#include "park_inline.h"

#endif

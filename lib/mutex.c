/* SPDX-License-Identifier: MIT */
/*
 * mutex.c - a lock that parks coroutines, handed from one holder to the next.
 *
 * Layer 6.  Built on sync.
 *
 * True whenever the lock of the object is free:
 *
 *	I1  owner is the task that holds the mutex, or NULL: it is free.
 *	I2  it is free  =>  nobody is queued.
 *
 * Unlocking makes the first waiter that can be claimed the holder before it
 * is woken: nobody overtakes, and there is no second round of waiting.  A
 * waiter that was cancelled lost its claim, and the next one gets the mutex.
 *
 * The queue also holds waiters that are claimed already (GIVEN): a condition
 * that is signalled moves its waiter over here, and it is woken only when the
 * mutex is its own.  No cancellation can reach it any more, as the signal has
 * taken effect.
 *
 * Rejected: a word of its own, taken by CAS without the lock of the object.
 * With several workers both ways need two atomic operations for a locking and
 * an unlocking; a lone worker needs none for the lock of the object.
 */
#include "sync.h"

enum { GIVEN = 1 };		/* waiter->status: claimed by a condition */

static always_inline struct task *
owner_of(const struct co_mutex *m)
{
	return a_load_relaxed(&m->co__owner);
}

/* Atomic as co_cond_wait and dumps look at it without the lock. */
static always_inline void
owner_set(struct co_mutex *m, struct task *t)
{
	a_store_relaxed(&m->co__owner, (void *)t);
}

static noinline int
lock_wait(struct co_mutex *m, struct task *t, bool shielded)
{
	static const struct sync_wait how = { WAIT_MUTEX, false, NULL },
		to_the_end = { WAIT_MUTEX, true, NULL };

	return co__sync_wait(sync_of(&m->co__sync), t,
	    shielded ? &to_the_end : &how);
}

/* Takes m, or waits for it.  No lock held. */
static always_inline int
lock_or_wait(struct co_mutex *m, struct task *t, bool shielded)
{
	struct sync *s = sync_of(&m->co__sync);

	sync_take(s);
	if (unlikely(owner_of(m)))
		return lock_wait(m, t, shielded);
	debug_assert(waitq_empty(&s->q));
	owner_set(m, t);
	sync_drop(s);
	return 0;
}

EXPORT int
co_mutex_lock(struct co_mutex *m)
{
	struct task *t;
	int code = wait_enter(&t);

	if (unlikely(code))
		return code;
	return lock_or_wait(m, t, false);
}

EXPORT int
co_mutex_try_lock(struct co_mutex *m)
{
	struct sync *s = sync_of(&m->co__sync);
	struct task *t = task_self();
	int code = 0;

	if (unlikely(!t))
		return -ENOMEM;
	sync_take(s);
	if (owner_of(m))
		code = -EAGAIN;
	else
		owner_set(m, t);
	sync_drop(s);
	return code;
}

/* The first that is still there, claimed and taken off.  s->lock held. */
static struct waiter *
next_holder(struct sync *s)
{
	struct waiter *w;

	while ((w = s->q.head) != NULL) {
		waitq_remove(&s->q, w);
		if (w->status == GIVEN || wait_claim(w->task, w->ticket))
			return w;
	}
	return NULL;
}

EXPORT int
co_mutex_unlock(struct co_mutex *m)
{
	struct sync *s = sync_of(&m->co__sync);
	struct task *t = task_self();
	struct waiter *w = NULL;

	if (unlikely(owner_of(m) != t) || unlikely(!t)) {
		co__sync_misuse("co_mutex_unlock", owner_of(m));
		return -EPERM;
	}
	sync_take(s);
	if (unlikely(!waitq_empty(&s->q)))
		w = next_holder(s);
	owner_set(m, w ? w->task : NULL);
	sync_drop(s);
	if (unlikely(w != NULL))
		sync_wake_holder(w);
	return 0;
}

int
co__mutex_relock(struct co_mutex *m, struct task *t)
{
	return lock_or_wait(m, t, true);
}

static void
give(struct waiter *w)
{
	struct co_mutex *m = w->slot;
	struct sync *s = sync_of(&m->co__sync);

	sync_take(s);
	if (owner_of(m)) {
		w->status = GIVEN;
		waitq_push(&s->q, w);
		w = NULL;
	} else {
		owner_set(m, w->task);
	}
	sync_drop(s);
	if (w)
		sync_wake_holder(w);
}

void
co__mutex_give(struct waiter *list)
{
	struct waiter *next;

	for (; list; list = next) {
		next = list->next;
		give(list);
	}
}

/* SPDX-License-Identifier: MIT */
/*
 * rwlock.c - one writer or many readers, in the order in which they came.
 *
 * Layer 6.  Built on sync.
 *
 * True whenever the lock of the object is free:
 *
 *	I1  n > 0   n readers hold it, owner is NULL
 *	    n == 0  nobody holds it, owner is NULL
 *	    n < 0   it is WRITTEN: owner, a task, holds it for writing
 *	I2  the first of the queue could not have it now, or its wait has been
 *	    cancelled and it is about to leave.
 *	I3  n == 0  =>  nobody is queued.
 *
 * One queue for both kinds; a newcomer goes behind whoever is queued already.
 * So a writer waits only for those before it, and readers that stand one
 * behind another go in together.  Every change that might let the first go on
 * ends in admit(): an unlocking, and a waiter that leaves, as readers may have
 * stood behind a writer that gave up.
 */
#include "sync.h"

enum { WRITTEN = -1 };

static always_inline bool
readable(const struct sync *s)
{
	return s->n >= 0 && s->n < INT_MAX;
}

static always_inline void
owner_set(struct co_rwlock *l, void *t)
{
	a_store_relaxed(&l->co__owner, t);	/* dumps look at it */
}

/*
 * Lets in, from the head of the queue, all that can be.  s->lock held.  Gives
 * the list of those, to be woken.  A writer's slot is its task, a reader's is
 * NULL.
 */
static struct waiter *
admit(struct co_rwlock *l)
{
	struct sync *s = sync_of(&l->co__sync);
	struct waiter *list = NULL, **last = &list, *w;

	while ((w = s->q.head) != NULL) {
		if (w->slot ? s->n != 0 : !readable(s))
			break;
		waitq_remove(&s->q, w);
		if (!wait_claim(w->task, w->ticket))
			continue;
		s->n = w->slot ? WRITTEN : s->n + 1;
		owner_set(l, w->slot);
		*last = w;
		last = &w->next;
	}
	*last = NULL;
	return list;
}

/* No lock held.  The list is one writer, or some readers. */
static void
wake(struct waiter *list)
{
	if (list->slot)
		sync_wake_holder(list);
	else
		co__sync_wake(list);
}

/* s->lock held; dropped. */
static noinline int
wait_turn(struct co_rwlock *l, struct task *t, void *slot)
{
	const struct sync_wait how = { WAIT_RWLOCK, false, slot };
	struct sync *s = sync_of(&l->co__sync);
	struct waiter w, *list;
	int code;

	co__sync_queue(s, t, &w, &how);
	code = co__sync_sleep(s, t);
	if (likely(code >= 0))
		return 0;
	waitq_remove(&s->q, &w);
	list = admit(l);
	sync_drop(s);
	if (list)
		wake(list);
	return code;
}

EXPORT int
co_rwlock_rdlock(struct co_rwlock *l)
{
	struct sync *s = sync_of(&l->co__sync);
	struct task *t;
	int code = wait_enter(&t);

	if (unlikely(code))
		return code;
	sync_take(s);
	if (unlikely(!readable(s)) || unlikely(!waitq_empty(&s->q)))
		return wait_turn(l, t, NULL);
	s->n++;
	sync_drop(s);
	return 0;
}

EXPORT int
co_rwlock_wrlock(struct co_rwlock *l)
{
	struct sync *s = sync_of(&l->co__sync);
	struct task *t;
	int code = wait_enter(&t);

	if (unlikely(code))
		return code;
	sync_take(s);
	if (unlikely(s->n != 0))
		return wait_turn(l, t, t);
	debug_assert(waitq_empty(&s->q));
	s->n = WRITTEN;
	owner_set(l, t);
	sync_drop(s);
	return 0;
}

EXPORT int
co_rwlock_try_rdlock(struct co_rwlock *l)
{
	struct sync *s = sync_of(&l->co__sync);
	int code = 0;

	sync_take(s);
	if (readable(s) && waitq_empty(&s->q))
		s->n++;
	else
		code = -EAGAIN;
	sync_drop(s);
	return code;
}

EXPORT int
co_rwlock_try_wrlock(struct co_rwlock *l)
{
	struct sync *s = sync_of(&l->co__sync);
	struct task *t = task_self();
	int code = 0;

	if (unlikely(!t))
		return -ENOMEM;
	sync_take(s);
	if (s->n == 0) {
		s->n = WRITTEN;
		owner_set(l, t);
	} else {
		code = -EAGAIN;
	}
	sync_drop(s);
	return code;
}

EXPORT int
co_rwlock_unlock(struct co_rwlock *l)
{
	struct sync *s = sync_of(&l->co__sync);
	struct task *t = task_self(), *owner;
	struct waiter *list = NULL;

	sync_take(s);
	owner = a_load_relaxed(&l->co__owner);
	if (unlikely(s->n == 0) || unlikely(owner && owner != t)) {
		sync_drop(s);
		co__sync_misuse("co_rwlock_unlock", owner);
		return -EPERM;
	}
	s->n = owner ? 0 : s->n - 1;
	owner_set(l, NULL);
	if (unlikely(!waitq_empty(&s->q)))
		list = admit(l);
	sync_drop(s);
	if (unlikely(list != NULL))
		wake(list);
	return 0;
}

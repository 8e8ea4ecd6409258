/* SPDX-License-Identifier: MIT */
/*
 * sem.c - counting semaphores.
 *
 * Layer 6.  Built on sync.
 *
 * True whenever the lock of the object is free:
 *
 *	I1  n is the number of permits that nobody has.
 *	I2  n > 0  =>  nobody is queued.
 *
 * A post gives its permit to the first waiter that can be claimed, and counts
 * it only when there is none: no permit goes to a waiter that was cancelled.
 */
#include "sync.h"

EXPORT int
co_sem_wait(struct co_sem *p)
{
	static const struct sync_wait how = { WAIT_SEM, false, NULL };
	struct sync *s = sync_of(&p->co__sync);
	struct task *t;
	int code = wait_enter(&t);

	if (unlikely(code))
		return code;
	sync_take(s);
	if (s->n <= 0)
		return co__sync_wait(s, t, &how);
	debug_assert(waitq_empty(&s->q));
	s->n--;
	sync_drop(s);
	return 0;
}

EXPORT int
co_sem_try_wait(struct co_sem *p)
{
	struct sync *s = sync_of(&p->co__sync);
	int code = 0;

	sync_take(s);
	if (s->n > 0)
		s->n--;
	else
		code = -EAGAIN;
	sync_drop(s);
	return code;
}

EXPORT int
co_sem_post(struct co_sem *p)
{
	struct sync *s = sync_of(&p->co__sync);
	struct waiter *w;
	int code = 0;

	sync_take(s);
	w = waitq_claim(&s->q);
	if (!w && unlikely(s->n == INT_MAX))
		code = -EOVERFLOW;
	else if (!w)
		s->n++;
	sync_drop(s);
	if (w)
		co__sync_wake_one(w);
	return code;
}

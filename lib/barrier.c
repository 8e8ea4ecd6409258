/* SPDX-License-Identifier: MIT */
/*
 * barrier.c - waiting for each other.
 *
 * Layer 6.  Built on sync.
 *
 * True whenever the lock of the object is free:
 *
 *	I1  n waiters are queued: those who have come in this round, and have
 *	    not left it by a cancellation.
 *	I2  n < size
 *
 * THE LAST ONE AND A CANCELLATION.  The round is over when the last one, under
 * the lock, has emptied the queue; not when it has claimed the waiters.  A
 * waiter whose cancellation won the claim meets the lock afterwards.  It finds
 * itself queued: it takes itself off and has not come.  Or not: the round was
 * over with it, so it returns 0 like the others.  Either way the last one's
 * count is what it saw.
 */
#include "sync.h"

/* Ends the round.  s->lock held; dropped. */
static void
go_on(struct sync *s)
{
	struct waiter *list = co__sync_claim_all(s);

	s->n = 0;
	sync_drop(s);
	co__sync_wake(list);
}

EXPORT int
co_barrier_wait(struct co_barrier *b)
{
	static const struct sync_wait how = { WAIT_BARRIER, false, NULL };
	struct sync *s = sync_of(&b->co__sync);
	struct task *t;
	struct waiter w;
	int code = wait_enter(&t);

	if (unlikely(code))
		return code;
	if (b->co__size < 1)
		return -EINVAL;
	sync_take(s);
	if (s->n == b->co__size - 1) {
		go_on(s);
		return 1;
	}
	s->n++;
	co__sync_queue(s, t, &w, &how);
	code = co__sync_sleep(s, t);
	if (likely(code >= 0))
		return 0;
	if (w.queued) {
		waitq_remove(&s->q, &w);
		s->n--;
	} else {
		code = 0;
	}
	sync_drop(s);
	return code;
}

/* SPDX-License-Identifier: MIT */
/*
 * event.c - something that has happened, or not yet; reset by hand.
 *
 * Layer 6.  Built on sync; a case of a select.
 *
 * True whenever the lock of the object is free:
 *
 *	I1  n is 1 while it is set, else 0.
 *	I2  n == 1  =>  nobody is queued.
 *
 * Waiting on an event that is set takes the lock all the same: so that who
 * sees it set knows that co_event_set has let go of it, and may free it.
 */
#include "sync.h"

#include "select.h"

EXPORT int
co_event_wait(struct co_event *e)
{
	static const struct sync_wait how = { WAIT_EVENT, false, NULL };
	struct sync *s = sync_of(&e->co__sync);
	struct task *t;
	int code = wait_enter(&t);

	if (unlikely(code))
		return code;
	sync_take(s);
	if (!s->n)
		return co__sync_wait(s, t, &how);
	sync_drop(s);
	return 0;
}

EXPORT int
co_event_set(struct co_event *e)
{
	struct sync *s = sync_of(&e->co__sync);
	struct waiter *list;

	sync_take(s);
	a_store_relaxed(&s->n, 1);
	list = co__sync_claim_all(s);
	sync_drop(s);
	co__sync_wake(list);
	return 0;
}

EXPORT int
co_event_reset(struct co_event *e)
{
	struct sync *s = sync_of(&e->co__sync);

	sync_take(s);
	a_store_relaxed(&s->n, 0);
	sync_drop(s);
	return 0;
}

/* --- co_on_event ---------------------------------------------------------- */

static struct sync *
case_sync(const struct co_case *c)
{
	return sync_of(&((struct co_event *)c->co__obj)->co__sync);
}

/* Without an event the case is never ready. */
static struct lock *
case_lock(struct co_case *c)
{
	return c->co__obj ? &case_sync(c)->lock : NULL;
}

/* A hint that needs no order: take looks again. */
static bool
case_maybe(struct co_case *c)
{
	return a_load_relaxed(&case_sync(c)->n) != 0;
}

static bool
case_take(struct co_case *c, struct case_taken *taken)
{
	(void)taken;
	return c->co__obj && case_sync(c)->n != 0;
}

static int
case_enqueue(struct co_case *c, struct waiter *w)
{
	waitq_push(&case_sync(c)->q, w);
	return 0;
}

static void
case_dequeue(struct co_case *c, struct waiter *w)
{
	waitq_remove(&case_sync(c)->q, w);
}

const struct case_ops co__case_event = {
	.why = WAIT_EVENT,
	.lock = case_lock,
	.rank = LOCK_CHAN,
	.maybe = case_maybe,
	.take = case_take,
	.enqueue = case_enqueue,
	.dequeue = case_dequeue,
};

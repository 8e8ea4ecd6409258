/* SPDX-License-Identifier: MIT */
/*
 * once.c - doing something once, however many ask for it.
 *
 * Layer 6.  Built on sync.
 *
 * STATES.  n changes only in co_once_do, under the lock.
 *
 *	NEW ---> RUNNING ---> DONE
 *
 *	NEW      nobody is queued.
 *	RUNNING  owner, and nobody else, is inside fn; the others queue.
 *	DONE     nobody is queued; result is what fn returned, for good.
 *
 * fn runs in its caller's own scope and is cancelled with it; what it makes of
 * that is the result for all.
 *
 * DONE is looked at without the lock: the common case is that it was done long
 * ago.  So an object must live until all calls have returned.
 */
#include "sync.h"

enum { NEW, RUNNING, DONE };

static int
run(struct co_once *o, struct task *t, co_fn *fn, void *arg)
{
	struct sync *s = sync_of(&o->co__sync);
	struct waiter *list;
	int result;

	a_store_relaxed(&s->n, RUNNING);
	a_store_relaxed(&o->co__owner, (void *)t);
	sync_drop(s);

	result = fn(arg);

	sync_take(s);
	o->co__result = result;
	a_store_relaxed(&o->co__owner, NULL);
	a_store_release(&s->n, DONE);	/* pairs with co_once_do */
	list = co__sync_claim_all(s);
	sync_drop(s);
	co__sync_wake(list);
	return result;
}

EXPORT int
co_once_do(struct co_once *o, co_fn *fn, void *arg)
{
	static const struct sync_wait how = { WAIT_ONCE, false, NULL };
	struct sync *s = sync_of(&o->co__sync);
	struct task *t;
	int code = wait_enter(&t);

	if (unlikely(code))
		return code;
	if (unlikely(!fn))
		return -EINVAL;
	if (likely(a_load_acquire(&s->n) == DONE))	/* pairs with run */
		return o->co__result;
	sync_take(s);
	if (s->n == NEW)
		return run(o, t, fn, arg);
	if (s->n == RUNNING) {
		code = co__sync_wait(s, t, &how);
		return code < 0 ? code : o->co__result;
	}
	sync_drop(s);
	return o->co__result;
}

/* SPDX-License-Identifier: MIT */
/*
 * waitgroup.c - waiting until a count of things under way is 0.
 *
 * Layer 6.  Built on sync.
 *
 * True whenever the lock of the object is free:
 *
 *	I1  n >= 0 is the count.
 *	I2  n == 0  =>  nobody is queued.
 */
#include "sync.h"

EXPORT int
co_waitgroup_add(struct co_waitgroup *g, int n)
{
	struct sync *s = sync_of(&g->co__sync);
	struct waiter *list = NULL;
	int code = 0, sum;

	sync_take(s);
	if (__builtin_add_overflow(s->n, n, &sum)) {
		code = -EOVERFLOW;
	} else if (sum < 0) {
		code = -EINVAL;
	} else {
		s->n = sum;
		if (sum == 0)
			list = co__sync_claim_all(s);
	}
	sync_drop(s);
	co__sync_wake(list);
	return code;
}

EXPORT int
co_waitgroup_done(struct co_waitgroup *g)
{
	return co_waitgroup_add(g, -1);
}

EXPORT int
co_waitgroup_wait(struct co_waitgroup *g)
{
	static const struct sync_wait how = { WAIT_WAITGROUP, false, NULL };
	struct sync *s = sync_of(&g->co__sync);
	struct task *t;
	int code = wait_enter(&t);

	if (unlikely(code))
		return code;
	sync_take(s);
	if (s->n != 0)
		return co__sync_wait(s, t, &how);
	sync_drop(s);
	return 0;
}

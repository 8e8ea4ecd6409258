/* SPDX-License-Identifier: MIT */
/*
 * cond.c - condition variables.
 *
 * Layer 6.  Built on sync, mutex.
 *
 * A waiter is queued before it unlocks the mutex, so no signal given after
 * that can miss it.  Whoever signals claims the first waiter: from then on it
 * cannot be cancelled, and it is handed to the mutex (co__mutex_give), to be
 * woken when it holds it: a broadcast to a thousand wakes one at a time.  A
 * waiter whose cancellation won the claim was never signalled; the signal goes
 * to the next.  It locks the mutex again itself, shielded.
 *
 * The lock of the condition and that of the mutex are never held together.
 */
#include "sync.h"

EXPORT int
co_cond_wait(struct co_cond *c, struct co_mutex *m)
{
	const struct sync_wait how = { WAIT_COND, false, m };
	struct sync *s = sync_of(&c->co__sync);
	struct task *t;
	struct waiter w;
	int code = wait_enter(&t);

	if (unlikely(code))
		return code;
	if (unlikely(a_load_relaxed(&m->co__owner) != (void *)t)) {
		co__sync_misuse("co_cond_wait", a_load_relaxed(&m->co__owner));
		return -EPERM;
	}
	sync_take(s);
	co__sync_queue(s, t, &w, &how);
	co_mutex_unlock(m);
	code = co__sync_sleep(s, t);
	if (likely(code >= 0))
		return 0;
	waitq_remove(&s->q, &w);
	sync_drop(s);
	(void)co__mutex_relock(m, t);
	return code;
}

EXPORT int
co_cond_signal(struct co_cond *c)
{
	struct sync *s = sync_of(&c->co__sync);
	struct waiter *w;

	sync_take(s);
	w = waitq_claim(&s->q);
	sync_drop(s);
	if (w) {
		w->next = NULL;
		co__mutex_give(w);
	}
	return 0;
}

EXPORT int
co_cond_broadcast(struct co_cond *c)
{
	struct sync *s = sync_of(&c->co__sync);
	struct waiter *list;

	sync_take(s);
	list = co__sync_claim_all(s);
	sync_drop(s);
	co__mutex_give(list);
	return 0;
}

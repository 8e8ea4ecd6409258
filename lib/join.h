/* SPDX-License-Identifier: MIT */
/*
 * join.h - handing a forked task's result to its joiner.
 *
 * Layer 6.
 */
#ifndef WEFT_JOIN_H
#define WEFT_JOIN_H

#include "alone.h"
#include "scope.h"
#include "waiter.h"

/* In co__word, as long as that is odd: */
enum { JOIN_DONE = 1, JOIN_BUSY = 3, JOIN_JOINED = 5, JOIN_TAKEN = 7 };
/* ... else it is the waiter of who joins, or */
#define JOIN_RUNNING	((uintptr_t)0)

/* Before t can run. */
static always_inline void
join_begin(struct co_task *h, struct task *t)
{
	h->co__task = t;
	h->co__id = t->id;
	a_store_relaxed(&h->co__word, JOIN_RUNNING);
}

struct task *co__join_deliver(struct co_task *h, int ret);

/*
 * The task t, forked with handle h, returned ret.  Gives its joiner, claimed
 * and told what task_wake tells: the caller must wake him.  h may be gone, and
 * nobody cancels t any more.
 */
static always_inline struct task *
join_deliver(struct self *self, struct task *t, struct co_task *h, int ret)
{
	const struct waiter *w;
	struct task *joiner = NULL;

	if (unlikely(!alone_enter(self))) {
		scope_hide_task(t);
		return co__join_deliver(h, ret);
	}
	/* scope_hide_task, where no other thread has t's lock.  Who takes it
	   after the section finds this. */
	a_store_release(&t->id, 0);
	h->co__result = ret;
	w = (const struct waiter *)a_load_relaxed(&h->co__word);
	if (w && alone_claim(w->task, w->ticket)) {
		joiner = w->task;
		joiner->wake = w->index;
	}
	/* Pairs with join_done. */
	a_store_release(&h->co__word,
	    (uintptr_t)(joiner ? JOIN_TAKEN : JOIN_DONE));
	alone_leave(self);
	return joiner;
}

/* All tasks of a runtime have ended: when it returns, no co_task_cancel looks
   at a record of theirs any more. */
void join_settle(void);

#endif

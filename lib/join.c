/* SPDX-License-Identifier: MIT */
/*
 * join.c - co_join, co_task_cancel, and the end of a forked task.
 *
 * Layer 6, for its select case.  The handle is the caller's memory, and he may
 * reuse it as soon as he has joined.  STATES of co__word (JOIN_...):
 *
 *	RUNNING --- enqueue ---> a waiter's address --- dequeue ---> RUNNING
 *	   |                          |
 *	   +------ join_deliver ------+
 *	               v
 *	             BUSY           the waiter, if any, is being claimed: its
 *	               |            frame stays until the word changes
 *	               v
 *	         DONE or TAKEN      the task does not touch the handle any more;
 *	               |            TAKEN: it is the claimed waiter's to join
 *	               |  join_take_done, join_take
 *	               v
 *	            JOINED
 *
 * A joiner that gives up waits while the word says BUSY (a dozen instructions):
 * so the waiter that co__join_deliver looks at is alive.  A lone worker goes to
 * DONE or TAKEN at once (join_deliver): there it is its section that keeps the
 * waiter alive.
 */
#include "join.h"
#include "os.h"
#include "scope.h"
#include "select.h"

static uint32_t cancelling;	/* [atomic] who may look at a task's record */

noinline struct task *
co__join_deliver(struct co_task *h, int ret)
{
	struct task *joiner = NULL;
	struct waiter *w;
	uintptr_t old;
	int index;

	h->co__result = ret;
	old = a_xchg_acqrel(&h->co__word, (uintptr_t)JOIN_BUSY);
	if (old != JOIN_RUNNING) {
		w = (struct waiter *)old;
		index = w->index;
		if (wait_claim(w->task, w->ticket)) {
			joiner = w->task;
			joiner->wake = index;
		}
	}
	/* Pairs with join_done. */
	a_store_release(&h->co__word,
	    (uintptr_t)(joiner ? JOIN_TAKEN : JOIN_DONE));
	return joiner;
}

static bool
join_done(const struct co_task *h)
{
	uintptr_t word = a_load_acquire(&h->co__word);	/* with join_deliver */

	while (unlikely(word == JOIN_BUSY)) {
		os_give_way();
		word = a_load_acquire(&h->co__word);
	}
	return word == JOIN_DONE;
}

/* A compare and swap, which a lone worker does without the atomic. */
static always_inline bool
word_swap(struct co_task *h, uintptr_t from, uintptr_t to)
{
	struct self *s = self_get();
	bool done;

	if (unlikely(!solo_enter(s)))
		return a_cas_acqrel(&h->co__word, from, to);
	done = a_load_relaxed(&h->co__word) == from;
	if (done)
		a_store_relaxed(&h->co__word, to);
	solo_leave(s);
	return done;
}

/* The same by t, who is in no wait: where it is a thread, that is what keeps a
   lone worker from plain loads and stores meanwhile. */
static bool
word_swap_by(const struct task *t, struct co_task *h, uintptr_t from,
    uintptr_t to)
{
	bool foreign = t->kind == TASK_FOREIGN, done;

	if (unlikely(foreign))
		co__foreign_enter();
	done = word_swap(h, from, to);
	if (unlikely(foreign))
		co__foreign_leave();
	return done;
}

/* For the waiter that was claimed, whose word is TAKEN. */
static int
join_take(struct co_task *h)
{
	a_store_relaxed(&h->co__word, (uintptr_t)JOIN_JOINED);
	return h->co__result;
}

/* The word was DONE: of several who find it so one takes the result. */
static bool
join_take_done(const struct task *t, struct co_task *h, int *ret_result)
{
	if (!word_swap_by(t, h, JOIN_DONE, JOIN_JOINED))
		return false;
	*ret_result = h->co__result;
	return true;
}

/* 0: queued.  1: done meanwhile.  -EINVAL: another one joins. */
static int
join_enqueue(struct co_task *h, struct waiter *w)
{
	if (likely(word_swap(h, JOIN_RUNNING, (uintptr_t)w)))
		return 0;
	return join_done(h) ? 1 : -EINVAL;
}

static void
join_dequeue(struct co_task *h, struct waiter *w)
{
	if (!word_swap_by(w->task, h, (uintptr_t)w, JOIN_RUNNING))
		join_done(h);
}

static int
join_check(const struct co_task *h, const struct task *t)
{
	uintptr_t word;

	if (!h || h->co__id == 0)
		return -EINVAL;
	word = a_load_relaxed(&h->co__word);
	if (word == JOIN_JOINED || word == JOIN_TAKEN)
		return -EINVAL;
	/* Of one that has ended the record may be another's, its id too. */
	if (!(word & 1) && h->co__task == t && h->co__id == t->id)
		return -EDEADLK;
	return 0;
}

static noinline int
wait_among_others(struct co_task *h, struct task *t)
{
	struct waiter w;
	int code;

	w.task = t;
	w.index = 0;
	w.ticket = wait_begin(t, WAIT_JOIN, h);
	code = join_enqueue(h, &w);
	if (unlikely(code != 0)) {
		if (!wait_cancel(t, w.ticket))	/* its scope ended it */
			return wait_park(t, CO_FOREVER);
		if (code < 0 || !join_take_done(t, h, &code))
			return -EINVAL;
		return code;
	}
	code = wait_park(t, CO_FOREVER);
	if (likely(code >= 0))
		return join_take(h);
	join_dequeue(h, &w);
	return code;
}

/* A function of its own, which returns by a jump: see send_wait in chan.c. */
static noinline returns_by_jump int
join_wait(struct co_task *h, struct task *t, struct self *self)
{
	struct waiter w;
	int code;

	if (unlikely(!alone_enter(self)))
		return wait_among_others(h, t);
	if (unlikely(a_load_relaxed(&h->co__word) != JOIN_RUNNING)) {
		alone_leave(self);
		return -EINVAL;		/* another one joins */
	}
	w.task = t;
	w.index = 0;
	w.ticket = alone_begin(self, t, WAIT_JOIN, h);
	a_store_relaxed(&h->co__word, (uintptr_t)&w);
	alone_leave(self);
	code = alone_park(self, t);
	if (likely(code >= 0))
		return join_take(h);
	join_dequeue(h, &w);
	return code;
}

/* The caller is a thread, or there is something to say before a wait. */
static noinline int
join_unusual(struct co_task *h)
{
	struct task *t = task_self();
	int code;

	if (unlikely(!t))
		return -ENOMEM;
	code = join_check(h, t);
	if (unlikely(code < 0))
		return code;
	code = wait_check(t);
	if (unlikely(code < 0))
		return code;
	if (join_done(h))
		return join_take_done(t, h, &code) ? code : -EINVAL;
	return join_wait(h, t, self_get());
}

/* Calls nothing but what it does last, so that it saves no registers. */
EXPORT int
co_join(struct co_task *h)
{
	struct self *self = self_get();
	struct task *t = self->current;

	if (unlikely(!t) || unlikely(!h) || unlikely(h->co__id == 0) ||
	    (a_load_relaxed(&h->co__word) & 1) ||
	    unlikely(h->co__task == t) || unlikely(a_load_relaxed(&t->ended)))
		return join_unusual(h);
	return join_wait(h, t, self);
}

/* The record lasts as long as its runtime, and that until join_settle. */
EXPORT void
co_task_cancel(struct co_task *h)
{
	if (!h || h->co__id == 0)
		return;
	a_add_seqcst(&cancelling, 1);
	if (!(a_load_seqcst(&h->co__word) & 1))	/* pairs with join_settle */
		scope_cancel_task(h->co__task, h->co__id);
	a_add_acqrel(&cancelling, -1u);
}

void
join_settle(void)
{
	a_fence_seqcst();	/* who counts himself now finds DONE */
	while (a_load_acquire(&cancelling) != 0)
		os_give_way();
}

/* --- as a case of a select ------------------------------------------------ */

static int
case_open(struct co_case *c)
{
	return join_check(c->co__obj, task_self());
}

static bool
case_take(struct co_case *c, struct case_taken *taken)
{
	int ret;

	(void)taken;
	if (!join_done(c->co__obj) ||
	    !join_take_done(task_self(), c->co__obj, &ret))
		return false;
	if (c->co__slot)
		*(int *)c->co__slot = ret;
	return true;
}

static int
case_enqueue(struct co_case *c, struct waiter *w)
{
	return join_enqueue(c->co__obj, w);
}

static void
case_dequeue(struct co_case *c, struct waiter *w)
{
	join_dequeue(c->co__obj, w);
}

static int
case_chosen(struct co_case *c, struct waiter *w)
{
	int ret = join_take(c->co__obj);

	if (c->co__slot)
		*(int *)c->co__slot = ret;
	return w->status;
}

const struct case_ops co__case_join = {
	.why = WAIT_JOIN,
	.open = case_open,
	.take = case_take,
	.enqueue = case_enqueue,
	.dequeue = case_dequeue,
	.chosen = case_chosen,
};

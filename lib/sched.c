/* SPDX-License-Identifier: MIT */
/*
 * sched.c - which task runs next on this worker, and the switch to it.
 *
 * Layer 4.  Everything here runs on a worker's thread, most of it on the stack
 * of the coroutine that leaves.  The switch goes straight from one coroutine to
 * the next; the worker's own stack is for what must not run on a coroutine's:
 * the libev loop, searching and sleeping (worker.c).
 *
 *	I1  a task is on at most one queue.
 *	I2  w->self.current is the task whose stack the thread is on; NULL on
 *	    the thread's own.
 *	I3  on_cpu of a task is 1 from before it is switched to until after it
 *	    was switched away from; where there are other workers, whoever picks
 *	    a task whose on_cpu is 1 waits on the worker's own stack: two that
 *	    waited for each other's task on those tasks' stacks would wait for
 *	    ever.
 */
#include "sched.h"

enum {
	TURN_TIME = 500 * 1000,		/* ns: a turn takes about this long at
					   most; a guess, not measured */
	POLL_EVERY = 200 * 1000		/* ns between polls of a busy worker;
					   a guess, not measured */
};

/* --- queues --------------------------------------------------------------- */

static cold void
inbox_push(struct worker *w, struct task *t)
{
	lock_take(&w->inbox_lock, LOCK_INJECT);
	tasklist_push_tail(&w->inbox, t);
	a_add_seqcst(&w->inbox_count, 1);
	lock_drop(&w->inbox_lock, LOCK_INJECT);
	a_fence_seqcst();	/* pairs with going to sleep, worker.c */
	worker_wake(w);
}

static cold void
inject_push(struct runtime *rt, struct task *t)
{
	lock_take(&rt->inject_lock, LOCK_INJECT);
	tasklist_push_tail(&rt->inject, t);
	a_add_seqcst(&rt->inject_count, 1);
	lock_drop(&rt->inject_lock, LOCK_INJECT);
	a_fence_seqcst();	/* pairs with going to sleep, worker.c */
	worker_wake_one(rt);
}

/*
 * To another worker, or from a thread that is not one of this runtime.  As
 * soon as t is queued it may run and the runtime end with it; who comes from
 * outside and still looks whom to wake is waited for (runtime.c).
 */
static cold void
ready_elsewhere(struct worker *w, struct task *t)
{
	struct runtime *rt = t->worker->rt;
	bool outside = !w || w->rt != rt;

	if (outside)
		a_add_seqcst(&rt->outsiders, 1);
	if (t->band == BAND_PINNED)
		inbox_push(t->worker, t);
	else if (!outside)
		bug("a task of this worker was sent elsewhere");
	else
		inject_push(rt, t);
	if (outside)
		a_add_acqrel(&rt->outsiders, -1u);	/* with co_run's end */
}

static always_inline bool
is_here(const struct worker *w, const struct task *t)
{
	return likely(w != NULL) && (likely(w == t->worker) ||
	    (w->rt == t->worker->rt && t->band != BAND_PINNED));
}

cold void
co__call_help(struct worker *w)
{
	co_time gap;

	if (a_load_relaxed(&w->rt->searching) != 0 || w->now < w->help_at)
		return;
	gap = a_load_relaxed(&w->help_gap);
	w->help_at = w->now + gap;
	/* Doubled until a thief finds something worth taking. */
	if (gap < CO_MS(1))
		a_store_relaxed(&w->help_gap, gap * 2 + CO_US(20));
	worker_wake_one(w->rt);
}

void
sched_ready(struct task *t)
{
	struct worker *w = worker_self();

	trace_ready(t);
	chaos_point();
	if (likely(is_here(w, t)))
		sched_push(w, t);
	else
		ready_elsewhere(w, t);
}

void
sched_ready_late(struct task *t)
{
	struct worker *w = worker_self();

	trace_ready(t);
	chaos_point();
	if (likely(is_here(w, t)))
		sched_call_help(w, runq_push_old(&w->runq, t));
	else
		ready_elsewhere(w, t);
}

bool
sched_take_inbound(struct worker *w)
{
	struct runtime *rt = w->rt;
	struct task *t;
	bool any = false;

	if (unlikely(a_load_acquire(&w->inbox_count) != 0)) {
		lock_take(&w->inbox_lock, LOCK_INJECT);
		while ((t = tasklist_pop_head(&w->inbox)) != NULL) {
			a_add_relaxed(&w->inbox_count, -1u);
			runq_push_old(&w->runq, t);
			any = true;
		}
		lock_drop(&w->inbox_lock, LOCK_INJECT);
	}
	if (unlikely(a_load_acquire(&rt->inject_count) != 0)) {
		uint32_t n = a_load_relaxed(&rt->inject_count);

		n = n / rt->nworkers + 1;	/* leave some to the others */
		lock_take(&rt->inject_lock, LOCK_INJECT);
		while (n-- && (t = tasklist_pop_head(&rt->inject)) != NULL) {
			a_add_relaxed(&rt->inject_count, -1u);
			runq_push_old(&w->runq, t);
			any = true;
		}
		lock_drop(&rt->inject_lock, LOCK_INJECT);
	}
	return any;
}

/* --- what runs next ------------------------------------------------------- */

/* How many are worth a thief, where `picks` of them took so long? */
static uint32_t
help_from(const struct worker *w, co_time took, co_time picks, co_time now)
{
	if (took < picks * TALK_TICK && sched_gathered(w->rt, now))
		return UINT32_MAX;
	return took < picks * FINE_TICK ? FINE_BACKLOG : HELP_FROM;
}

/* Keeps a turn near TURN_TIME, whatever the tasks do between waits. */
static void
adapt_turn(struct worker *w, co_time now)
{
	co_time took = now - w->now;

	if (likely(!w->self.quarrels)) {	/* else it was cut short */
		if (took > TURN_TIME && w->turn_picks > 1)
			w->turn_picks /= 2;
		else if (took < TURN_TIME / 4 && w->turn_picks < TURN_PICKS)
			w->turn_picks *= 2;
		a_store_relaxed(&w->help_from,
		    help_from(w, took, w->turn_picks, now));
	}
	w->now = now;
	w->self.turn_end = w->runq.ticks + (uint32_t)w->turn_picks;
	w->turns++;
}

/*
 * Every few dozen picks: is there something that the fast path does not look
 * at?  NULL: nothing to run, or go_native is set.
 */
struct task *
co__sched_turn(struct worker *w)
{
	co_time now = os_now();

	adapt_turn(w, now);
	if (a_load_relaxed(&co__shared))
		co__solo_try(&w->self, now);
	sched_take_inbound(w);
	if (w->self.quarrels || now >= a_load_relaxed(&w->timers.next) ||
	    now - w->polled >= POLL_EVERY ||
	    a_load_relaxed(&w->rt->over)) {
		w->go_native = true;
		return NULL;
	}
	runtime_let_in(w->rt, &w->let_in);
	sched_call_help(w, a_load_relaxed(&w->runq.waiting));
	return runq_take_oldest(&w->runq, w->turns);
}

noinline struct task *
co__sched_go_native(struct worker *w, struct task *t, struct task *to)
{
	w->prev = t;
	w->pending = to;
	w->self.current = NULL;
	return sched_jump(t, &w->ctx);
}

/* The turn is over. */
returns_by_jump void
co__sched_yield_turn(struct worker *w, struct task *t)
{
	struct task *to = co__sched_turn(w);

	if (!to && !w->go_native)
		return;		/* nobody else wants to run */
	runq_push_old(&w->runq, t);
	(void)sched_switch(w, t, to);
}

/* What a task that has ended leaves behind; we are off its stack now. */
void
co__sched_bury(struct worker *w)
{
	struct task *t = w->dead;
	struct stack *s = t->u.run.ext->stack;

	w->dead = NULL;
	if (unlikely(w->census))
		w->rt->hooks->stack_left(w, t);
	context_drop(&t->u.run.ctx);
	task_free(w, t);
	stack_put(&w->stacks, s);
}

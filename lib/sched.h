/* SPDX-License-Identifier: MIT */
/*
 * sched.h - the inline half of the scheduler: pick and switch.
 *
 * Layer 4.  Used by sched.c, worker.c, life.c, and by alone.h and park_here.h.
 */
#ifndef WEFT_SCHED_H
#define WEFT_SCHED_H

#include "trace_point.h"
#include "worker.h"

struct task *co__sched_turn(struct worker *w);
void co__sched_bury(struct worker *w);
void co__call_help(struct worker *w);
/* Takes what other threads sent; was there any? */
bool sched_take_inbound(struct worker *w);

enum {
	FINE_TICK = 1000,	/* ns: who runs shorter is fine-grained */
	FINE_BACKLOG = 16,	/* of those, this many are worth a second
				   worker: a guess, not measured */
	TALK_TICK = 16 * 1000,	/* ns: who runs longer is worth one also where
				   workers have quarrelled */
	TALK_TIME = 50 * 1000 * 1000	/* ns: so long do they stay apart */
};

/* Has a worker gathered lately (search.c)? */
static always_inline bool
sched_gathered(const struct runtime *rt, co_time now)
{
	return now - a_load_relaxed(&rt->gathered) < TALK_TIME;
}

/* Are so many waiting tasks of w worth a thief? */
static always_inline bool
sched_wants_help(const struct worker *w, uint32_t waiting)
{
	return waiting >= a_load_relaxed(&w->help_from);
}

/*
 * More than one waits: perhaps somebody who sleeps should help.  Not for one
 * that this worker is about to run anyway: waking a thread costs more than
 * thousands of switches.  Not while somebody searches, and not soon after a
 * call that was in vain.
 */
static always_inline void
sched_call_help(struct worker *w, uint32_t waiting)
{
	if (likely(!sched_wants_help(w, waiting)) || !w->runq.shared)
		return;
	a_light_barrier();	/* pairs with going to sleep, worker.c */
	if (unlikely(a_load_relaxed(&w->rt->asleep_count) != 0))
		co__call_help(w);
}

/* Queues t as the newest of this worker. */
static always_inline void
sched_push(struct worker *w, struct task *t)
{
	if (likely(runq_is_plain(&w->runq)) && likely(t->band == BANDS))
		runq_push_first(&w->runq, t);
	else
		sched_call_help(w, runq_push_new(&w->runq, t));
}

/* The same, of one that was spawned to run fn. */
static always_inline void
sched_start(struct worker *w, struct task *t, co_fn *fn)
{
	trace_spawn(t, fn);
	sched_push(w, t);
}

static always_inline bool
sched_turn_is_over(const struct worker *w)
{
	return w->runq.ticks >= w->self.turn_end;
}

/* What runs next on w; NULL: nothing, or w->go_native is set. */
static always_inline struct task *
sched_next(struct worker *w)
{
	if (unlikely(sched_turn_is_over(w)))
		return co__sched_turn(w);
	return runq_take(&w->runq);
}

/*
 * t was claimed by the task that now leaves w.  True: it runs next, as if
 * sched_ready and sched_next had put it on the queue and taken it off.
 */
static always_inline bool
sched_hand_on(struct worker *w, struct task *t)
{
	if (unlikely(t->worker != w) || unlikely(t->band != BANDS) ||
	    unlikely(sched_turn_is_over(w)))
		return false;
	if (!runq_is_plain(&w->runq)) {
		if (unlikely(a_load_relaxed(&w->runq.bands)))
			return false;
		sched_call_help(w, a_load_relaxed(&w->runq.waiting) + 1);
	}
	trace_ready(t);
	chaos_point();
	runq_tick(&w->runq);
	return true;
}

/*
 * On whatever stack we have come to: the one that we left is now idle.  Who
 * ends leaves no `prev`, and only he leaves somebody dead.
 */
static always_inline void
sched_landed(struct worker *w)
{
	struct task *p = w->prev;

	if (likely(p != NULL))
		a_store_release(&p->on_cpu, 0);	/* pairs with sched_claim_cpu */
	else if (w->dead)
		co__sched_bury(w);
	debug_assert(!w->dead);
}

/* Makes `to` the current task of w.  False: it is still on another worker, or
   one that trims holds it off (trim.c); neither is where there is no other. */
static always_inline bool
sched_claim_cpu(struct worker *w, struct task *to)
{
	if (w->runq.shared) {
		if (unlikely(a_load_acquire(&to->on_cpu)))
			return false;
		if (unlikely(to->worker != w))	/* a store costs more */
			a_store_relaxed(&to->worker, w);  /* with is_ours */
	} else {
		debug_assert(!a_load_relaxed(&to->on_cpu) && to->worker == w);
	}
	if (unlikely(!to->bound))
		task_bind(w, to);
	a_store_relaxed(&to->on_cpu, 1);
	w->self.current = to;
	return true;
}

/* The same for one that last ran on w. */
static always_inline bool
sched_reclaim_cpu(struct worker *w, struct task *to)
{
	if (w->runq.shared && unlikely(a_load_acquire(&to->on_cpu)))
		return false;
	debug_assert(to->worker == w);
	a_store_relaxed(&to->on_cpu, 1);
	w->self.current = to;
	return true;
}

/* t leaves for `to`; gives t when it runs again, perhaps on another worker. */
static always_inline struct task *
sched_jump(struct task *t, struct context *to)
{
	t = container_of(context_switch(&t->u.run.ctx, to), struct task,
	    u.run.ctx);
	sched_landed(t->worker);
	return t;
}

/* t leaves w for the thread's own stack, which goes on with `to`, if any. */
struct task *co__sched_go_native(struct worker *w, struct task *t,
    struct task *to);

/* The current task t leaves w for another; gives t, as sched_jump. */
static always_inline struct task *
sched_switch_to(struct worker *w, struct task *t, struct task *to)
{
	trace_switch(t, to);
	w->prev = t;
	if (unlikely(!sched_claim_cpu(w, to)))
		return co__sched_go_native(w, t, to);
	return sched_jump(t, &to->u.run.ctx);
}

/*
 * The same for whatever sched_next has given: nobody, or t itself, which was
 * woken already.
 */
static always_inline struct task *
sched_switch(struct worker *w, struct task *t, struct task *to)
{
	if (unlikely(!to)) {
		trace_switch(t, NULL);
		return co__sched_go_native(w, t, NULL);
	}
	return unlikely(to == t) ? t : sched_switch_to(w, t, to);
}

void co__sched_yield_turn(struct worker *w, struct task *t);

/* The current task runs behind the others, if there are any; sched_turn_is_over
   is for co__sched_yield_turn. */
static always_inline void
sched_yield_here(struct worker *w)
{
	struct task *t = w->self.current, *to;

	to = runq_exchange(&w->runq, t);
	if (likely(to != NULL))
		(void)sched_switch_to(w, t, to);
}

/* The current task leaves its worker until somebody readies it; gives it. */
static always_inline struct task *
sched_park_here(struct worker *w, struct task *t)
{
	co__locks_none_held("a coroutine parks while it holds a lock");
	chaos_point();
	return sched_switch(w, t, sched_next(w));
}

#endif

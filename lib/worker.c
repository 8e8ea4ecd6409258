/* SPDX-License-Identifier: MIT */
/*
 * worker.c - a worker on its own stack: polling, sleeping, the loop.
 *
 * Layer 4.  A worker with nothing to run looks at what others have (search.c),
 * and then sleeps in its reactor's poll.
 *
 * WAKE.  Nothing is left runnable while everybody sleeps:
 *
 *	who makes a task runnable	who goes to sleep
 *	R1 puts it on a queue		S1 asleep = 1, asleep_count++
 *	R2 barrier			S2 barrier
 *	R3 asleep_count ?		S3 looks at all queues again
 *	   wakes one			   something there: stays up
 *
 * Bad outcome: R3 sees nobody asleep and S3 sees no task.  Workers do R2 with
 * the light barrier, hence S2 is the heavy one; other threads do R2 with a
 * fence of their own.  A worker that pushes a single task, which it will run
 * itself, does not call anybody: S3 leaves such a task to it as well, but
 * watches (see WATCH).  tests/models/idle_wake.pml is this protocol.
 *
 * WATCH.  While some work and others sleep, one of the sleepers wakes every
 * few milliseconds and looks whether a busy worker has not come by its
 * scheduler since: then its timers, its reactor and its queue are served from
 * here.  A second one, the deputy, wakes now and then to see whether the watch
 * has left: else it would leave nobody behind when its own work is long, and to
 * wake another each time costs more than most work.  When all have slept for
 * a while, both sleep deep.
 *
 *	W1  while a worker works that has slept, and others sleep, one of them
 *	    holds watch 0, or watch 1 when that is free, and not deep: who goes
 *	    to work sees to it (hand_on_watch).
 *	W2  rt->watch[i] is 0, or (index + 1) * 2 + deep of who holds it.
 */
#include "sched.h"

#include "ticket.h"

enum {
	WATCH_MIN = 1000 * 1000,	/* ns */
	WATCH_MAX = 8 * 1000 * 1000,
	STUCK_POLLS = 16,		/* of a stuck worker's loop, at most */
	BUSY_WATCH = 10 * 1000 * 1000,
	DEPUTY_WATCH = 20 * 1000 * 1000,
	DEEP_WATCH = 500 * 1000 * 1000
};

/* --- waking --------------------------------------------------------------- */

static bool
claim_sleeper(struct worker *w)
{
	if (a_load_relaxed(&w->asleep) == 0 ||
	    !a_cas_seqcst(&w->asleep, 1u, 0u))
		return false;
	a_add_seqcst(&w->rt->roused, 1);	/* pairs with deadlock.c */
	a_add_seqcst(&w->rt->asleep_count, -1u);
	return true;
}

void
worker_wake(struct worker *w)
{
	if (claim_sleeper(w))
		w->rt->reactor->wake(w->reactor);
}

void
worker_wake_one(struct runtime *rt)
{
	uint32_t i;

	if (a_load_acquire(&rt->asleep_count) == 0)
		return;
	for (i = 0; i < rt->nworkers; i++) {
		if (claim_sleeper(&rt->workers[i])) {
			rt->reactor->wake(rt->workers[i].reactor);
			return;
		}
	}
}

void
worker_wake_all(struct runtime *rt)
{
	uint32_t i;

	for (i = 0; i < rt->nworkers; i++)
		worker_wake(&rt->workers[i]);
}

void
worker_recall_stacks(struct runtime *rt)
{
	co_time now = os_now(), last = a_load_relaxed(&rt->recalled);

	if (now - last < CO_MS(1))
		return;
	a_store_relaxed(&rt->recalled, now);
	worker_wake_all(rt);
}

/* --- timers and polls ----------------------------------------------------- */

static void
wake_sleeper(struct task *t)
{
	t->wake = WAIT_UNTIL;
	sched_ready_late(t);
}

static void
serve_timers(struct worker *w, struct worker *of)
{
	int n = timers_expire(&of->timers, w->now, wake_sleeper,
	    w->rt->hooks->scope_expired);

	stat_add(w, timers, n);
}

/* Everybody's picks: has anything run since? */
static uint64_t
all_picks(const struct runtime *rt)
{
	uint64_t n = 0;
	uint32_t i;

	for (i = 0; i < rt->nworkers; i++)
		n += worker_picks(&rt->workers[i]);
	return n;
}

static void
tidy(struct worker *w)
{
	struct runtime *rt = w->rt;
	co_time due = a_load_relaxed(&rt->tidy_at);

	if (w->now < due || !a_cas_acquire(&rt->tidy_at, due, CO_FOREVER))
		return;
	a_store_relaxed(&rt->tidy_picks, all_picks(rt));
	a_store_release(&rt->tidy_at, rt->hooks->tidy(w));
}

/* --- sleeping ------------------------------------------------------------- */

/* Serves a worker that has not come by its scheduler since the last look.
   True: its loop had something. */
static bool
serve_stuck(struct worker *w, struct worker *v)
{
	uint64_t ticks = a_load_relaxed(&v->runq.ticks);
	int n;

	if (a_load_relaxed(&v->asleep) ||
	    a_load_relaxed(&v->seen_ticks) != ticks) {
		a_store_relaxed(&v->seen_ticks, ticks);
		return false;
	}
	if (w->now >= a_load_relaxed(&v->timers.next))
		serve_timers(w, v);
	/* Each wakes a few: with one in each look 500 descriptors of a stuck
	   worker took 67 ms, so they take 4. */
	for (n = 0; n < STUCK_POLLS; n++)
		if (w->rt->reactor->poll(v->reactor, 0) <= 0)
			break;
	if (a_load_relaxed(&v->runq.waiting))
		search_rob(w, v);
	return n > 0;
}

/* True: a worker is stuck and its loop had something. */
static bool
watch(struct worker *w)
{
	struct runtime *rt = w->rt;
	bool found = false;
	uint32_t i;

	w->now = os_now();
	for (i = 0; i < rt->nworkers; i++)
		if (&rt->workers[i] != w)
			found |= serve_stuck(w, &rt->workers[i]);
	return found;
}

static bool
everybody_sleeps(struct runtime *rt)
{
	return a_load_acquire(&rt->asleep_count) == rt->nworkers;
}

/*
 * Takes one of the two watches, if one is free: which, or -1.  It is left in
 * nod_off.  ret_cap: how long it may sleep with it.  Who goes to work at this
 * moment has counted itself awake and then looks at the watch; we say that it
 * is deep and then look at the count.
 */
static int
take_watch(struct worker *w, co_time *ret_cap)
{
	struct runtime *rt = w->rt;
	bool deep = w->watch_gap >= WATCH_MAX && everybody_sleeps(rt);
	uint32_t word = (w->index + 1) << 1;
	int i;

	for (i = 0; i < WATCHES && rt->nworkers > 1; i++) {
		if (a_load_relaxed(&rt->watch[i]) != 0 ||
		    !a_cas_acqrel(&rt->watch[i], 0u, word | deep))
			continue;
		a_fence_seqcst();	/* pairs with hand_on_watch */
		if (deep && !everybody_sleeps(rt)) {
			deep = false;
			a_store_release(&rt->watch[i], word);
		}
		if (i == 0)
			*ret_cap = deep ? DEEP_WATCH : w->watch_gap;
		else
			*ret_cap = deep ? CO_FOREVER : DEPUTY_WATCH;
		return i;
	}
	return -1;
}

/*
 * w has slept and goes to work (W1).  A deputy counts only where nobody holds
 * the watch itself: he takes it over when he wakes.  Of two that go at the same
 * moment one sees that both watches have been left.
 */
static cold void
hand_on_watch(struct worker *w)
{
	struct runtime *rt = w->rt;
	uint32_t word;

	a_fence_seqcst();	/* pairs with take_watch */
	word = a_load_relaxed(&rt->watch[0]);
	if (word == 0)
		word = a_load_relaxed(&rt->watch[1]);
	if (word == 0)
		worker_wake_one(rt);
	else if (word & 1)
		worker_wake(&rt->workers[(word >> 1) - 1]);
}

/* in_vain: nobody woke w from its nap.  A deputy that finds the watch left
   takes the first of its two looks at once, and the second soon. */
static void
leave_watch(struct worker *w, int which, bool in_vain)
{
	struct runtime *rt = w->rt;
	bool takes_over = which == 1 && a_load_acquire(&rt->watch[0]) == 0;

	if ((which == 0 || takes_over) && watch(w))
		in_vain = false;
	if (takes_over || !in_vain)
		w->watch_gap = WATCH_MIN;
	else if (w->watch_gap < WATCH_MAX)
		w->watch_gap *= 2;
	a_xchg_seqcst(&rt->watch[which], 0);
}

/* How long w may sleep, ns; < 0: for ever. */
static int64_t
sleep_time(struct worker *w, int *ret_watch)
{
	struct runtime *rt = w->rt;
	co_time next = a_load_relaxed(&w->timers.wake), wait;
	co_time watch_cap = CO_FOREVER;
	bool all_asleep = everybody_sleeps(rt);

	wait = next == CO_FOREVER ? -1 : next - w->now;
	if (next != CO_FOREVER && wait < 0)
		wait = 0;
	*ret_watch = take_watch(w, &watch_cap);
	if (watch_cap != CO_FOREVER && (wait < 0 || wait > watch_cap))
		wait = watch_cap;
	if (all_asleep && (a_load_relaxed(&rt->trim_more) ||
	    a_load_relaxed(&rt->tidy_picks) != all_picks(rt))) {
		co_time cap = a_load_relaxed(&rt->tidy_at) - w->now;

		cap = cap < 0 ? 0 : cap;
		if (wait < 0 || wait > cap)
			wait = cap;	/* once more, then for good */
	}
	if (all_asleep && wait != 0) {
		co_time cap = rt->hooks->all_asleep(rt);

		if (cap >= 0 && (wait < 0 || wait > cap))
			wait = cap;
	}
	return wait;
}

static bool
may_sleep(struct worker *w)
{
	struct runtime *rt = w->rt;

	return !a_load_acquire(&rt->over) &&
	    !a_load_acquire(&rt->inject_count) &&
	    !a_load_acquire(&w->inbox_count) &&
	    !runq_has_any(&w->runq) &&
	    a_load_acquire(&rt->caught) == w->let_in &&
	    !(rt->nworkers > 1 && search_backlog(w));
}

/* Unused stacks of this worker keep their tops only. */
static void
trim_cache(struct worker *w)
{
	if (w->now - w->cache_trimmed < CO_SEC(1))
		return;
	w->cache_trimmed = w->now;
	stack_cache_trim(&w->stacks);
}

/* True: w slept as a watch, and nobody woke it. */
static bool
nod_off(struct worker *w)
{
	struct runtime *rt = w->rt;
	bool in_vain;
	int watching = -1;
	int64_t wait;

	a_xchg_seqcst(&w->asleep, 1);			/* S1 */
	a_add_seqcst(&rt->asleep_count, 1);
	if (rt->nworkers > 1)
		a_heavy_barrier();			/* S2 */
	else
		a_fence_seqcst();	/* all others have their own */
	w->now = os_now();
	if (likely(may_sleep(w))) {			/* S3 */
		trim_cache(w);
		stack_cache_share(&w->stacks);
		stat_add(w, sleeps, 1);
		wait = sleep_time(w, &watching);
		rt->reactor->poll(w->reactor, wait);
	}
	in_vain = claim_sleeper(w);	/* unless somebody woke us */
	w->now = w->polled = w->looked = os_now();
	if (watching < 0)
		return false;
	leave_watch(w, watching, in_vain);
	return in_vain;
}

/* --- the loop ------------------------------------------------------------- */

static void
serve_own(struct worker *w)
{
	w->now = os_now();
	/* Where nobody sleeps nobody keeps watch. */
	if (unlikely(w->now - w->looked >= BUSY_WATCH) && w->rt->nworkers > 1) {
		w->looked = w->now;
		watch(w);
	}
	if (unlikely(w->now >= a_load_relaxed(&w->rt->tidy_at)))
		tidy(w);
	stack_cache_share(&w->stacks);
	if (w->now >= a_load_relaxed(&w->timers.next))
		serve_timers(w, w);
	if (w->now - w->polled >= CO_US(100)) {
		w->polled = w->now;
		stat_add(w, polls, 1);
		w->rt->reactor->poll(w->reactor, 0);
	}
}

/* It was picked while the worker that it ran on had not left its stack. */
static struct task *
wait_off_cpu(struct task *t)
{
	int i;

	for (i = 0; a_load_acquire(&t->on_cpu); i++) {
		if (i < 1000)
			a_pause();
		else
			os_give_way();
	}
	return t;
}

static struct task *
next_task(struct worker *w)
{
	struct task *t = w->pending;
	bool slept = false, dozes = false;

	if (t) {
		w->pending = NULL;
		return wait_off_cpu(t);
	}
	for (;;) {
		if (unlikely(a_load_acquire(&w->rt->over)))
			return NULL;
		runtime_let_in(w->rt, &w->let_in);
		if (w->go_native) {
			w->go_native = false;
			sched_take_inbound(w);
			serve_own(w);
			if (unlikely(w->self.quarrels))
				search_gather(w);
			t = runq_take_oldest(&w->runq, w->turns);
		} else {
			/* Counts: who always finds one task more must come by
			   its timers all the same. */
			t = sched_next(w);
		}
		if (t) {
			if (slept && w->rt->nworkers > 1)
				hand_on_watch(w);
			return wait_off_cpu(t);
		}
		if (w->go_native)
			continue;
		if (!dozes && search_tasks(w)) {
			w->watch_gap = WATCH_MIN;
			continue;
		}
		dozes = nod_off(w);
		slept = true;
		serve_own(w);
	}
}

void
worker_loop(struct worker *w)
{
	struct task *t;

	while ((t = next_task(w)) != NULL) {
		w->prev = NULL;
		while (!sched_claim_cpu(w, t))	/* who trims holds it: HOLD */
			wait_off_cpu(t);
		trace_switch(NULL, t);
		context_switch(&w->ctx, &t->u.run.ctx);
		sched_landed(w);
	}
}

/* SPDX-License-Identifier: MIT */
/*
 * search.c - a worker looks at what others have, and takes from it.
 *
 * Layer 4.
 *
 * Which tasks to steal: those that have waited.  A thief looks twice, some
 * microseconds apart.  It leaves a worker alone that switches more than once in
 * a microsecond and has only a few waiting: these talk to each other, and on
 * two processors they would talk through a cache line that costs more than all
 * they do (buffered channel, four to four: 9 ns a message on one worker, 94 on
 * two).
 *
 * Those that were parted all the same, or are too many to be left alone, are
 * told by the locks that their workers wait for: see search_gather.
 */
#include "sched.h"

enum {
	SPIN_POLL = 5 * 1000,	/* ns between looks at the own loop */
	LOOK_GAP = 10 * 1000,	/* ns between two looks at a backlog */
	LONE_GAP = 20 * 1000,	/* ns that a lone task may wait for its worker
				   to come by: a guess, not measured */
	STEAL_MOST = 256,
	GATHER_GAP = 500 * 1000,	/* ns */
	GATHER_ROUNDS = 8
};

static uint32_t
random_below(struct worker *w, uint32_t n)
{
	uint64_t x = w->random;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	w->random = x;
	return (uint32_t)((x >> 32) * n >> 32);
}

int
search_rob(struct worker *w, struct worker *v)
{
	int got = runq_steal(&w->runq, &v->runq, STEAL_MOST);

	if (got) {
		trace_steal(w->index, v->index, got);
		stat_add(w, steals, 1);
		stat_add(w, stolen, got);
		a_store_relaxed(&v->help_gap, 0);
	}
	return got;
}

/* Who has n waiting and has come by its scheduler so often in that time. */
static bool
is_best_left_alone(const struct runtime *rt, uint32_t n, uint64_t ticks,
    co_time time, co_time now)
{
	if (sched_gathered(rt, now))
		return ticks > (uint64_t)time / TALK_TICK;
	return n < FINE_BACKLOG && ticks > (uint64_t)time / FINE_TICK;
}

/* Looks at v; takes from it what has waited long enough. */
static int
try_victim(struct worker *w, struct worker *v, co_time now)
{
	struct look *l = &w->looks[v->index];
	uint32_t n = a_load_relaxed(&v->runq.waiting);
	uint64_t ticks = a_load_relaxed(&v->runq.ticks);

	if (n == 0 || l->at == 0 || (n == 1 && ticks != l->ticks)) {
		l->at = n ? now : 0;
		l->ticks = ticks;
		return 0;
	}
	if (now - l->at < (n == 1 ? LONE_GAP : LOOK_GAP))
		return 0;
	if (is_best_left_alone(w->rt, n, ticks - l->ticks, now - l->at, now)) {
		l->at = now;
		l->ticks = ticks;
		return 0;
	}
	l->at = 0;
	return search_rob(w, v);
}

/* Another worker that waits for locks as well; NULL: there is none.  (Threads
   of the program's own do, too.) */
static struct worker *
opponent(struct worker *w)
{
	struct runtime *rt = w->rt;
	uint32_t i, at = random_below(w, rt->nworkers);

	for (i = 0; i < rt->nworkers; i++, at++) {
		struct worker *v = &rt->workers[at % rt->nworkers];

		if (v != w && !a_load_relaxed(&v->asleep) && w->now -
		    a_load_relaxed(&v->self.contended_at) < GATHER_GAP)
			return v;
	}
	return NULL;
}

/*
 * w waits for locks all the time (lock.c): it takes what waits from one who
 * does so too, and who then runs dry and sleeps.  One gathers at a time: two
 * would take everything from each other.
 */
cold void
search_gather(struct worker *w)
{
	struct runtime *rt = w->rt;
	co_time last = a_load_relaxed(&rt->gathered);
	struct worker *v = opponent(w);
	int i;

	w->self.quarrels = false;
	if (!v || w->now - last < GATHER_GAP ||
	    !a_cas_acquire(&rt->gathered, last, w->now))
		return;
	stat_add(w, gathers, 1);
	for (i = 0; i < GATHER_ROUNDS && search_rob(w, v); i++)
		;		/* each takes half */
}

bool
search_backlog(struct worker *w)
{
	struct runtime *rt = w->rt;
	uint32_t i;

	for (i = 0; i < rt->nworkers; i++)
		if (&rt->workers[i] != w &&
		    sched_wants_help(&rt->workers[i],
		    a_load_relaxed(&rt->workers[i].runq.waiting)))
			return true;
	return false;
}

static bool
search_round(struct worker *w, co_time now)
{
	struct runtime *rt = w->rt;
	uint32_t i, at = random_below(w, rt->nworkers);

	if (sched_take_inbound(w))
		return true;
	for (i = 0; i < rt->nworkers; i++, at++) {
		struct worker *v = &rt->workers[at % rt->nworkers];

		if (v != w && try_victim(w, v, now))
			return true;
	}
	return false;
}

/* Has the own loop something?  A searcher is no worse a listener for it. */
static bool
poll_own(struct worker *w, co_time now)
{
	if (now - w->polled < SPIN_POLL)
		return false;
	w->polled = now;
	return w->rt->reactor->poll(w->reactor, 0) > 0 &&
	    runq_has_any(&w->runq);
}

/* Is it worth while to go on?  Only who works makes work for others. */
static bool
search_on(struct worker *w, co_time now)
{
	struct runtime *rt = w->rt;

	return !a_load_relaxed(&rt->over) &&
	    now < a_load_relaxed(&w->timers.next) &&
	    a_load_relaxed(&rt->asleep_count) +
	    a_load_relaxed(&rt->searching) < rt->nworkers;
}

/*
 * One of few: true when there is something to run.  Where all workers share one
 * processor nobody spins: two looks then come from two searches.
 */
bool
search_tasks(struct worker *w)
{
	struct runtime *rt = w->rt;
	co_time start, now;
	bool found = false;
	int i;

	if (rt->nworkers == 1)
		return sched_take_inbound(w);
	if (a_add_seqcst(&rt->searching, 1) >= rt->max_searching) {
		a_add_seqcst(&rt->searching, -1u);
		return sched_take_inbound(w);
	}
	for (i = 0; i < (int)rt->nworkers && rt->spin_time; i++)
		w->looks[i].at = 0;
	start = now = os_now();
	do {
		found = search_round(w, now) || poll_own(w, now);
		for (i = 0; i < 16 && !found && rt->spin_time; i++)
			a_pause();
		now = os_now();
	} while (!found && now - start < rt->spin_time && search_on(w, now));
	w->now = now;
	if (a_add_seqcst(&rt->searching, -1u) == 1 && found &&
	    search_backlog(w))
		worker_wake_one(rt);	/* the last searcher hands on */
	return found;
}

/* SPDX-License-Identifier: MIT */
/*
 * stats.c - counters of a runtime.
 *
 * Layer 10.  Each worker counts for itself, with plain stores; here they are
 * read and added up.
 */
#include "dump.h"

#include <weft/inspect.h>

static void
read_worker(struct worker *w, struct co_worker_stats *ret)
{
	ret->spawned = a_load_relaxed(&w->stats.spawned);
	ret->ended = a_load_relaxed(&w->stats.ended);
	ret->picks = worker_picks(w);
	ret->steals = a_load_relaxed(&w->stats.steals);
	ret->stolen = a_load_relaxed(&w->stats.stolen);
	ret->sleeps = a_load_relaxed(&w->stats.sleeps);
	ret->polls = a_load_relaxed(&w->stats.polls);
	ret->timers = a_load_relaxed(&w->stats.timers);
	ret->gathers = a_load_relaxed(&w->stats.gathers);
}

static void
add(struct co_worker_stats *sum, const struct co_worker_stats *x)
{
	sum->spawned += x->spawned;
	sum->ended += x->ended;
	sum->picks += x->picks;
	sum->steals += x->steals;
	sum->stolen += x->stolen;
	sum->sleeps += x->sleeps;
	sum->polls += x->polls;
	sum->timers += x->timers;
	sum->gathers += x->gathers;
}

static void
read_runtime(struct runtime *rt, void *arg)
{
	struct co_stats *ret = arg;
	struct co_worker_stats one;
	struct stack_stats stacks;
	uint64_t ended = 0;
	uint32_t i;

	if (ret->workers)
		return;		/* the newest comes first */
	ret->workers = rt->nworkers;
	/* First, so that nobody has ended who has not been spawned. */
	for (i = 0; i < rt->nworkers; i++)
		ended += a_load_acquire(&rt->workers[i].stats.ended);
	for (i = 0; i < rt->nworkers; i++) {
		read_worker(&rt->workers[i], &one);
		add(&ret->all, &one);
		if (i < sizeof ret->worker / sizeof ret->worker[0])
			ret->worker[i] = one;
	}
	/* The main coroutine is not spawned. */
	ret->coroutines = ret->all.spawned + 1;
	ret->coroutines -= ended < ret->coroutines ? ended : ret->coroutines;
	stack_stats_get(rt->stacks, &stacks);
	ret->stacks_in_use = stacks.in_use;
	ret->stacks_mapped = stacks.mapped;
	ret->stacks_unguarded = stacks.unguarded;
}

EXPORT int
co_stats_get(struct co_stats *ret)
{
	struct worker *w = worker_self();

	if (!ret)
		return -EINVAL;
	memset(ret, 0, sizeof *ret);
	if (w)
		read_runtime(w->rt, ret);
	else
		runtime_each(read_runtime, ret);
	return ret->workers ? 0 : -ESRCH;
}

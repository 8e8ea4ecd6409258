/* SPDX-License-Identifier: MIT */
/*
 * deadlock.c - every coroutine sleeps and nothing can wake one.
 *
 * Layer 10.  Asked when the last worker is about to sleep.  What could still
 * wake somebody: a timer of any worker, what a reactor waits for (descriptors,
 * signals, jobs), a worker of another runtime that does not sleep likewise, and
 * any thread that is not weft's own.  The last cannot be known better than by
 * counting threads; as one may end without a word to us, the answer is then
 * "ask again later".  So all runtimes are looked at together, and end together.
 */
#include "deadlock.h"
#include "blocking.h"
#include "dump.h"
#include "scope.h"

#include <weft/inspect.h>

#include <stdio.h>
#include <stdlib.h>

enum { RECHECK = 500 * 1000 * 1000 };	/* ns */
enum { CANCELLING = 1, CANCELLED = 2 };	/* rt->forced */

static uint32_t own_threads;		/* [atomic] */
static int helper_threads;		/* [atomic] */

void
deadlock_own_threads(int n)
{
	a_add_seqcst(&own_threads, (uint32_t)n);
}

void
deadlock_helper_threads(int n)
{
	a_add_seqcst(&helper_threads, n);
}

struct tally {
	uint32_t workers, roused;	/* of all runtimes */
};

/* What may make a task of w runnable, or has made it.  In this order: what a
   poll that has ended brought is on a queue by the time it is looked at. */
static bool
is_expected(const struct worker *w)
{
	return w->rt->reactor->waits(w->reactor) ||
	    a_load_acquire(&w->timers.next) != CO_FOREVER ||
	    runq_has_any(&w->runq) ||
	    a_load_acquire(&w->inbox_count) ||
	    !a_load_acquire(&w->asleep);
}

static bool
is_any_expected(struct runtime *rt)
{
	uint32_t i;

	for (i = 0; i < rt->nworkers; i++)
		if (is_expected(&rt->workers[i]))
			return true;
	return a_load_acquire(&rt->inject_count) != 0;
}

static bool
is_on_its_way(const struct runtime *rt)
{
	return a_load_relaxed(&rt->over) ||
	    a_load_acquire(&rt->forced) == CANCELLING;
}

static struct tally
take_tally(const struct runtime *rt)
{
	struct tally sum = { 0, 0 };

	for (; rt; rt = rt->next) {
		sum.workers += rt->nworkers;
		sum.roused += a_load_acquire(&rt->roused);
	}
	return sum;
}

/*
 * The workers are looked at one after the other: one that was seen asleep may
 * be woken by one that was not looked at yet, be it of another runtime, work,
 * and sleep again.  So nobody may have left its sleep in the meantime.  The
 * barrier: who has taken what we did not find on its queue has also counted
 * itself in `roused`.
 */
static bool
somebody_outside(struct runtime *first)
{
	uint32_t roused = take_tally(first).roused;
	struct runtime *rt;

	for (rt = first; rt; rt = rt->next)
		if (is_on_its_way(rt) || is_any_expected(rt))
			return true;
	a_heavy_barrier();	/* pairs with claim_sleeper */
	return take_tally(first).roused != roused;
}

/* Threads that a tool or an emulator keeps: not weft's, and no danger. */
static int
ignored_threads(void)
{
	const char *s = getenv("WEFT_IGNORE_THREADS");

	return s ? atoi(s) : 0;
}

/* All have been cancelled, and sleep again: for a mutex, by co_cond_wait, that
   one holds who has ended. */
static _Noreturn void
give_up(void)
{
	fputs("deadlock: all coroutines are asleep again, though all waits"
	    " were cancelled\n", stderr);
	co_dump(stderr);
	abort();
}

/* All together: one that came back first would be a thread that could wake the
   others. */
static void
force(struct runtime *first)
{
	struct runtime *rt;
	bool any = false;

	for (rt = first; rt; rt = rt->next) {
		if (a_load_relaxed(&rt->forced) == CANCELLED)
			continue;
		a_store_release(&rt->forced, (uint32_t)CANCELLING);
		rt->deadlocked = any = true;
	}
	if (!any)
		give_up();
	fputs("deadlock: all coroutines are asleep\n", stderr);
	co_dump(stderr);
	for (rt = first; rt; rt = rt->next) {
		if (a_load_relaxed(&rt->forced) == CANCELLED)
			continue;
		scope_cancel_all(&rt->root);
		a_store_release(&rt->forced, (uint32_t)CANCELLED);
	}
}

/* With all runtimes, of which none ends meanwhile. */
static void
judge(struct runtime *first, void *ret_again)
{
	struct tally before = take_tally(first);
	int64_t *again = ret_again;
	uint32_t own;
	int threads;

	*again = first->next ? RECHECK : -1;
	if (somebody_outside(first))
		return;
	threads = os_threads();
	if (threads < 0)
		return;
	/* Read once: another runtime may come.  The pool's idle threads wait
	   for us; a job is in `waits`. */
	own = a_load_acquire(&own_threads);
	threads -= ignored_threads() + co__blocking_threads() +
	    a_load_acquire(&helper_threads);
	if (threads > (int)own || before.workers != own) {
		*again = RECHECK;
		return;
	}
	/* A thread that has ended since the look had perhaps woken somebody. */
	if (somebody_outside(first) ||
	    take_tally(first).roused != before.roused)
		return;
	force(first);
	*again = 0;
}

int64_t
deadlock_check(struct runtime *rt)
{
	static struct os_mutex mutex;	/* one judges */
	int64_t again;

	if (is_on_its_way(rt) || is_any_expected(rt))
		return -1;
	os_mutex_lock(&mutex);
	runtime_list(judge, &again);
	os_mutex_unlock(&mutex);
	return again;
}

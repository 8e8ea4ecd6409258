/* SPDX-License-Identifier: MIT */
/*
 * deadlock.c - every coroutine sleeps and nothing can wake one.
 *
 * Layer 10.  Asked when the last worker is about to sleep.  What could still
 * wake somebody: a timer of any worker, what a reactor waits for (descriptors,
 * signals, jobs), another runtime, and any thread that is not weft's own.  The
 * last cannot be known better than by counting threads; as one may end without
 * a word to us, the answer is then "ask again later".
 */
#include "deadlock.h"
#include "blocking.h"
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

/*
 * The workers are looked at one after the other: one that was seen asleep may
 * be woken by one that was not looked at yet, work, and sleep again.  So nobody
 * may have left its sleep in the meantime.  The barrier: who has taken what we
 * did not find on its queue has also counted itself in `roused`.
 */
static bool
somebody_outside(struct runtime *rt)
{
	uint32_t roused = a_load_acquire(&rt->roused), i;

	for (i = 0; i < rt->nworkers; i++)
		if (is_expected(&rt->workers[i]))
			return true;
	if (a_load_acquire(&rt->inject_count) != 0)
		return true;
	a_heavy_barrier();	/* pairs with claim_sleeper */
	return a_load_acquire(&rt->roused) != roused;
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

int64_t
deadlock_check(struct runtime *rt)
{
	uint32_t forced = a_load_acquire(&rt->forced);
	uint32_t roused = a_load_acquire(&rt->roused);
	uint32_t own;
	int threads;

	if (a_load_relaxed(&rt->over) || forced == CANCELLING ||
	    somebody_outside(rt))
		return -1;
	threads = os_threads();
	if (threads < 0)
		return -1;
	/* Read once: another runtime may come or go.  The pool's idle threads
	   wait for us; a job is in `waits`. */
	own = a_load_acquire(&own_threads);
	threads -= ignored_threads() + co__blocking_threads() +
	    a_load_acquire(&helper_threads);
	if (threads > (int)own || rt->nworkers != own)
		return RECHECK;
	/* A thread that has ended since the look had perhaps woken somebody. */
	if (somebody_outside(rt) || a_load_acquire(&rt->roused) != roused)
		return -1;
	if (!a_cas_seqcst(&rt->forced, forced, forced + 1))
		return -1;
	if (forced == CANCELLED)
		give_up();
	fputs("deadlock: all coroutines are asleep\n", stderr);
	co_dump(stderr);
	rt->deadlocked = true;
	scope_cancel_all(&rt->root);
	a_store_release(&rt->forced, (uint32_t)CANCELLED);
	return 0;
}

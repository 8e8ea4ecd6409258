/* SPDX-License-Identifier: MIT */
/*
 * trim_stress_test.c - stacks are trimmed all the time, while their coroutines
 * are woken, go deep, and wait again: nobody loses what is on his stack.
 */
#include "harness.h"

#include <weft/chan.h>
#include <weft/scope.h>

#include "trim.h"
#include "worker.h"

enum { DEEP = 5000, PLAYERS = 64 };	/* words: ten pages */

static chan(int) ch;
static uint32_t players;		/* [atomic] that still play */

static void
spin(uint64_t n)
{
	while (n-- > 0)
		__asm__ volatile("");
}

static noinline void
go_deep(uint64_t mark, uint64_t n)
{
	volatile uint64_t words[DEEP];
	int i;

	for (i = 0; i < DEEP; i += 64)
		words[i] = mark + (uint64_t)i;
	spin(n);
	for (i = 0; i < DEEP; i += 64)
		ck_assert_uint_eq(words[i], mark + (uint64_t)i);
}

static int
player(void *arg)
{
	uint64_t seed = (uint64_t)(uintptr_t)arg;
	int v;

	while (chan_recv(ch, &v) == 0)
		go_deep(test_random(&seed), test_below(&seed, 3000));
	__atomic_sub_fetch(&players, 1, __ATOMIC_RELEASE);
	return 0;
}

static int
waker(void *arg)
{
	uint64_t seed = test_seed(), i, n = test_count(30000, 3000000);

	(void)arg;
	for (i = 0; i < n; i++) {
		test_result(chan_send(ch, 1), 0);
		spin(test_below(&seed, 6000));
	}
	chan_close(ch);
	return 0;
}

/* It does by itself what the worker does once in a second. */
static int
trims(void *arg)
{
	struct runtime *rt = worker_self()->rt;
	uintptr_t i;

	(void)arg;
	__atomic_store_n(&rt->tidy_at, CO_FOREVER, __ATOMIC_RELEASE);
	players = PLAYERS;
	for (i = 0; i < PLAYERS; i++)
		test_result(co_spawn(player, (void *)i), 0);
	test_result(co_spawn(waker, NULL), 0);
	while (__atomic_load_n(&players, __ATOMIC_ACQUIRE) > 0) {
		rt->trim_again = true;
		(void)trim_slice(worker_self());
		co_yield();
	}
	return 0;
}

TEST(who_is_woken_keeps_his_stack, .seconds = 120)
{
	FOR_WORKERS(w) {
		ch = chan_new(int, 0);
		test_result(test_run(w, trims, NULL), 0);
		chan_unref(ch);
	}
}

/* SPDX-License-Identifier: MIT */
/*
 * waitgroup_test.c - co_waitgroup.  Cancellation: sync_test.c.
 */
#include "harness.h"

#include <limits.h>
#include <pthread.h>

#include <weft/scope.h>
#include <weft/sync.h>

static struct co_waitgroup g;
static int finished;		/* atomic */

static int
basics(void *arg)
{
	(void)arg;
	g = (struct co_waitgroup)CO_WAITGROUP_INIT;
	test_result(co_waitgroup_wait(&g), 0);
	test_result(co_waitgroup_done(&g), -EINVAL);
	test_result(co_waitgroup_add(&g, 3), 0);
	test_result(co_waitgroup_add(&g, -4), -EINVAL);
	test_result(co_waitgroup_add(&g, INT_MIN), -EINVAL);
	test_result(co_waitgroup_add(&g, INT_MAX), -EOVERFLOW);
	test_result(co_waitgroup_add(&g, -2), 0);
	test_result(co_waitgroup_add(&g, 0), 0);
	test_result(co_waitgroup_done(&g), 0);
	test_result(co_waitgroup_wait(&g), 0);
	test_result(co_waitgroup_done(&g), -EINVAL);
	return 0;
}

TEST(it_counts_and_refuses_to_go_below_nothing)
{
	FOR_WORKERS(w)
		test_result(test_run(w, basics, NULL), 0);
	test_result(basics(NULL), 0);
}

/* --- many ----------------------------------------------------------------- */

static int
finish(void *arg)
{
	(void)arg;
	co_yield();
	__atomic_add_fetch(&finished, 1, __ATOMIC_SEQ_CST);
	return co_waitgroup_done(&g);
}

static void *
finish_thread(void *arg)
{
	test_result(finish(arg), 0);
	return NULL;
}

static int
wait_for(void *arg)
{
	test_result(co_waitgroup_wait(&g), 0);
	ck_assert_int_eq(__atomic_load_n(&finished, __ATOMIC_SEQ_CST),
	    *(int *)arg);
	return 0;
}

/* Used anew in each round; two coroutines and this one wait. */
static int
rounds(void *arg)
{
	uint64_t n = test_count(100, 5000), i;
	int want, j;
	struct co_scope s;

	(void)arg;
	g = (struct co_waitgroup)CO_WAITGROUP_INIT;
	for (i = 0; i < n; i++) {
		finished = 0;
		want = 1 + (int)(i % 20);
		test_result(co_waitgroup_add(&g, want), 0);
		co_scope(s) {
			test_result(co_spawn(wait_for, &want), 0);
			for (j = 0; j < want; j++)
				test_result(co_spawn(finish, NULL), 0);
			test_result(co_spawn(wait_for, &want), 0);
			test_result(wait_for(&want), 0);
		}
		test_result(s.status, 0);
	}
	return 0;
}

TEST(all_who_wait_go_on_when_the_last_is_done_again_and_again)
{
	FOR_WORKERS(w)
		test_result(test_run(w, rounds, NULL), 0);
}

static int
with_threads(void *arg)
{
	int want = 8, i;
	pthread_t t[4];

	(void)arg;
	g = (struct co_waitgroup)CO_WAITGROUP_INIT;
	finished = 0;
	test_result(co_waitgroup_add(&g, want), 0);
	for (i = 0; i < 4; i++) {
		test_result(co_spawn(finish, NULL), 0);
		ck_assert(!pthread_create(&t[i], NULL, finish_thread, NULL));
	}
	test_result(wait_for(&want), 0);
	for (i = 0; i < 4; i++)
		ck_assert(!pthread_join(t[i], NULL));
	return 0;
}

TEST(threads_count_too)
{
	FOR_WORKERS(w)
		test_result(test_run(w, with_threads, NULL), 0);
}

/* --- gone as soon as the wait has returned -------------------------------- */

static int
done_with(void *arg)
{
	return co_waitgroup_done(arg);
}

static __attribute__((noinline)) void
group_in_frame(void)
{
	struct co_waitgroup mine = CO_WAITGROUP_INIT;
	int i;

	test_result(co_waitgroup_add(&mine, 3), 0);
	for (i = 0; i < 3; i++)
		test_result(co_spawn(done_with, &mine), 0);
	test_result(co_waitgroup_wait(&mine), 0);
	memset(&mine, 0xa5, sizeof mine);
	__asm__ volatile("" : : "r"(&mine) : "memory");
}

static int
group_often(void *arg)
{
	uint64_t n = test_count(1000, 300000);

	(void)arg;
	while (n--)
		group_in_frame();
	return 0;
}

TEST(it_may_live_in_the_frame_that_waits)
{
	FOR_WORKERS(w)
		test_result(test_run(w, group_often, NULL), 0);
}

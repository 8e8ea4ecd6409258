/* SPDX-License-Identifier: MIT */
/*
 * 002-two-solos.c - a second runtime begins while a lone worker goes without
 * locks.
 *
 * Its first coroutine was queued before the lone worker had been told: stolen
 * by another worker of the second runtime, it could take a lock that the lone
 * one held by right of being alone.
 */
#include "harness.h"

#include <pthread.h>

#include <weft/scope.h>
#include <weft/sync.h>

static struct co_mutex m;
static uint64_t counter;	/* [m] */
static int over;		/* [atomic] */

static int
count_once(void)
{
	uint64_t seen;

	test_result(co_mutex_lock(&m), 0);
	seen = counter;
	__asm__ volatile("" ::: "memory");
	counter = seen + 1;
	co_mutex_unlock(&m);
	return 1;
}

static int
count_alone(void *arg)
{
	int n = 0;

	(void)arg;
	while (!__atomic_load_n(&over, __ATOMIC_ACQUIRE))
		n += count_once();
	return n;
}

static void *
lone_runtime(void *arg)
{
	*(int *)arg = test_run(1, count_alone, NULL);
	return NULL;
}

static int
count_a_few(void *arg)
{
	int i, n = 0;

	(void)arg;
	for (i = 0; i < 50; i++)
		n += count_once();
	return n;
}

TEST(a_lone_worker_is_told_before_another_runtime_runs)
{
	uint64_t i, n = test_count(300, 50000);
	uint64_t others;
	int alone;
	pthread_t t;

	m = (struct co_mutex)CO_MUTEX_INIT;
	for (i = 0; i < n; i++) {
		counter = others = 0;
		over = 0;
		ck_assert_int_eq(pthread_create(&t, NULL, lone_runtime,
		    &alone), 0);
		others += (uint64_t)test_run(4, count_a_few, NULL);
		__atomic_store_n(&over, 1, __ATOMIC_RELEASE);
		pthread_join(t, NULL);
		ck_assert_uint_eq(counter, others + (uint64_t)alone);
	}
}

/* SPDX-License-Identifier: MIT */
/*
 * blocking_stress_test.c - threads of the blocking pool that come and go while
 * jobs do, and threads that cannot be made.
 */
#include "harness.h"

#include <pthread.h>

#include <weft/io.h>
#include <weft/scope.h>

#include "blocking.h"

static uint32_t may_start;	/* [atomic] threads that can still be made */

int __real_pthread_create(pthread_t *t, const pthread_attr_t *attr,
    void *(*fn)(void *), void *arg);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *attr,
    void *(*fn)(void *), void *arg);

int
__wrap_pthread_create(pthread_t *t, const pthread_attr_t *attr,
    void *(*fn)(void *), void *arg)
{
	uint32_t left = __atomic_load_n(&may_start, __ATOMIC_RELAXED);

	while (left > 0) {
		if (__atomic_compare_exchange_n(&may_start, &left, left - 1,
		    false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
			return __real_pthread_create(t, attr, fn, arg);
	}
	return EAGAIN;
}

static int
give(void *arg)
{
	return (int)(intptr_t)arg;
}

/* --- threads that leave --------------------------------------------------- */

enum { CLIENTS = 3 };

/* Sleeps for about as long as a thread stays idle. */
static int
client(void *arg)
{
	uint64_t seed = *(uint64_t *)arg, i, n = test_count(2000, 200000);

	for (i = 0; i < n; i++) {
		test_result(co_blocking(give, (void *)(intptr_t)i), i);
		test_result(co_sleep(CO_US(test_below(&seed, 120))), 0);
	}
	return 0;
}

static int
clients(void *arg)
{
	uint64_t seed[CLIENTS];
	struct co_scope s;
	int i;

	co_scope(s) {
		for (i = 0; i < CLIENTS; i++) {
			seed[i] = test_random(arg);
			test_result(co_spawn(client, &seed[i]), 0);
		}
	}
	return s.status;
}

TEST(a_thread_that_leaves_takes_no_job_with_it, .seconds = 120)
{
	uint64_t seed = test_seed();

	may_start = UINT32_MAX;
	co__blocking_keep = CO_US(50);
	FOR_WORKERS(w) {
		if (w > 4)
			break;
		test_result(test_run(w, clients, &seed), 0);
		ck_assert_int_eq(co__blocking_threads(), 0);
	}
}

/* --- threads that cannot be made ------------------------------------------ */

static int
one_job(void *arg)
{
	test_result(co_blocking(give, arg), (intptr_t)arg);
	return 0;
}

/* The first makes the threads that there can be; the others are queued. */
static int
few_threads(void *arg)
{
	intptr_t i, n = 200;
	struct co_scope s;

	(void)arg;
	test_result(co_blocking(give, NULL), 0);
	co_scope(s) {
		for (i = 0; i < n; i++)
			test_result(co_spawn(one_job, (void *)i), 0);
	}
	return s.status;
}

TEST(a_job_for_which_no_thread_can_be_made_runs_on_another)
{
	uint32_t k;

	FOR_WORKERS(w) {
		for (k = 1; k <= 3; k++) {
			may_start = (uint32_t)w - 1 + k;
			test_result(test_run(w, few_threads, NULL), 0);
			ck_assert_int_eq(co__blocking_threads(), 0);
		}
	}
}

static int
no_threads(void *arg)
{
	uint32_t *left = arg;

	__atomic_store_n(&may_start, 0, __ATOMIC_RELAXED);
	test_result(co_blocking(give, (void *)5), -EAGAIN);
	__atomic_store_n(&may_start, *left, __ATOMIC_RELAXED);
	test_result(co_blocking(give, (void *)5), 5);
	return 0;
}

TEST(where_no_thread_can_be_made_at_all_it_says_so_and_may_be_asked_again)
{
	uint32_t one = 1;

	FOR_WORKERS(w) {
		may_start = (uint32_t)w - 1;
		test_result(test_run(w, no_threads, &one), 0);
	}
}

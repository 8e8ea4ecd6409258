/* SPDX-License-Identifier: MIT */
/*
 * hold_test.c - a debug build names the coroutine that waits while it holds a
 * mutex of the threads'.
 */
#include "harness.h"

#include <pthread.h>
#include <signal.h>

#include <weft/chan.h>

#include "base.h"

static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t n = PTHREAD_MUTEX_INITIALIZER;

static void
needs_debug(void)
{
#if !defined WEFT_DEBUG || defined WEFT_TSAN
	test_skip("needs --enable-debug, and no ThreadSanitizer");
#endif
}

static int
yields(void *arg)
{
	(void)arg;
	co_set_name("careless");
	pthread_mutex_lock(&m);
	co_yield();
	pthread_mutex_unlock(&m);
	return 0;
}

static int
waits(void *arg)
{
	(void)arg;
	co_set_name("careless");
	if (pthread_mutex_trylock(&m) != 0)
		return 1;
	pthread_mutex_lock(&n);
	pthread_mutex_unlock(&m);
	return co_sleep(CO_MS(1));
}

static int
ends(void *arg)
{
	(void)arg;
	co_set_name("careless");
	return pthread_mutex_lock(&m);
}

static int
in_runtime(void *fn)
{
	return test_run(2, (co_fn *)fn, NULL);
}

TEST(a_mutex_of_threads_that_is_held_over_a_wait_is_reported)
{
	co_fn *const bad[] = { yields, waits, ends };
	struct test_child c;
	size_t i;

	needs_debug();
	for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		c = test_child(in_runtime, (void *)bad[i]);
		test_has(c.err, "while it holds a pthread mutex");
		test_has(c.err, "\"careless\"");
		ck_assert_int_eq(c.signal, SIGABRT);
	}
}

static int
careful(void *arg)
{
	struct timespec past = { 0, 0 };
	int i;

	(void)arg;
	for (i = 0; i < 100; i++) {
		pthread_mutex_lock(&m);
		pthread_mutex_lock(&n);
		ck_assert(pthread_mutex_trylock(&m) != 0);
		ck_assert(pthread_mutex_timedlock(&n, &past) != 0);
		pthread_mutex_unlock(&m);
		pthread_mutex_unlock(&n);
		co_yield();
	}
	return co_sleep(CO_MS(1));
}

static int
all_careful(void *arg)
{
	int i;

	(void)arg;
	for (i = 0; i < 10; i++)
		test_result(co_spawn(careful, NULL), 0);
	return 0;
}

TEST(one_that_is_given_back_before_is_not)
{
	FOR_WORKERS(w)
		test_result(test_run(w, all_careful, NULL), 0);
}

/* SPDX-License-Identifier: MIT */
/*
 * barrier_test.c - co_barrier.  Cancellation in general: sync_test.c.
 */
#include "harness.h"

#include <pthread.h>

#include <weft/scope.h>
#include <weft/sync.h>

static struct co_barrier b;
static int last, came;		/* atomic */

static void
settle(void)
{
	int i;

	for (i = 0; i < 4; i++)
		co_yield();
}

static int
basics(void *arg)
{
	(void)arg;
	b = (struct co_barrier)CO_BARRIER_INIT(1);
	test_result(co_barrier_wait(&b), 1);
	test_result(co_barrier_wait(&b), 1);
	b = (struct co_barrier)CO_BARRIER_INIT(0);
	test_result(co_barrier_wait(&b), -EINVAL);
	b = (struct co_barrier)CO_BARRIER_INIT(-3);
	test_result(co_barrier_wait(&b), -EINVAL);
	return 0;
}

TEST(of_one_it_never_waits_and_of_none_it_is_a_mistake)
{
	FOR_WORKERS(w)
		test_result(test_run(w, basics, NULL), 0);
	test_result(basics(NULL), 0);
}

/* --- rounds --------------------------------------------------------------- */

enum { TASKS = 7, THREADS = 3 };

static uint64_t rounds;
static int parties;

/* In each round all come before any goes on, and one of them is the last. */
static int
meet(void *arg)
{
	uint64_t i;
	int code;

	(void)arg;
	for (i = 1; i <= rounds; i++) {
		__atomic_add_fetch(&came, 1, __ATOMIC_SEQ_CST);
		code = co_barrier_wait(&b);
		ck_assert(code == 0 || code == 1);
		__atomic_add_fetch(&last, code, __ATOMIC_SEQ_CST);
		ck_assert_int_ge(__atomic_load_n(&came, __ATOMIC_SEQ_CST),
		    (int)i * parties);
		/* Nobody begins the next round before all have looked. */
		code = co_barrier_wait(&b);
		ck_assert(code == 0 || code == 1);
		ck_assert_int_eq(__atomic_load_n(&last, __ATOMIC_SEQ_CST),
		    (int)i);
		code = co_barrier_wait(&b);
		ck_assert(code == 0 || code == 1);
	}
	return 0;
}

static void *
meet_thread(void *arg)
{
	meet(arg);
	return NULL;
}

static int
meet_all(void *arg)
{
	struct co_scope s;
	int i;

	co_scope(s)
		for (i = 0; i < TASKS; i++)
			test_result(co_spawn(meet, arg), 0);
	return s.status;
}

static void
fresh(int n)
{
	parties = n;
	b = (struct co_barrier)CO_BARRIER_INIT(n);
	rounds = test_count(100, 5000);
	last = came = 0;
}

TEST(all_come_before_any_goes_on_and_one_of_them_is_the_last)
{
	FOR_WORKERS(w) {
		fresh(TASKS);
		test_result(test_run(w, meet_all, NULL), 0);
	}
}

TEST(threads_and_coroutines_meet)
{
	pthread_t t[THREADS];
	int i;

	FOR_WORKERS(w) {
		fresh(TASKS + THREADS);
		for (i = 0; i < THREADS; i++)
			ck_assert(!pthread_create(&t[i], NULL, meet_thread,
			    NULL));
		test_result(test_run(w, meet_all, NULL), 0);
		for (i = 0; i < THREADS; i++)
			ck_assert(!pthread_join(t[i], NULL));
	}
}

/* --- cancelled ------------------------------------------------------------ */

static int
come(void *arg)
{
	(void)arg;
	return co_barrier_wait(&b);
}

static int
has_not_come(void *arg)
{
	struct co_task t[3];
	int i, ones = 0;

	(void)arg;
	b = (struct co_barrier)CO_BARRIER_INIT(3);
	test_result(co_fork(&t[0], come, NULL), 0);
	settle();
	co_task_cancel(&t[0]);
	test_result(co_join(&t[0]), -ECANCELED);
	test_result(co_fork(&t[0], come, NULL), 0);
	test_result(co_fork(&t[1], come, NULL), 0);
	settle();
	test_result(co_fork(&t[2], come, NULL), 0);
	for (i = 0; i < 3; i++)
		ones += co_join(&t[i]);
	ck_assert_int_eq(ones, 1);
	return 0;
}

TEST(who_is_cancelled_has_not_come)
{
	FOR_WORKERS(w)
		test_result(test_run(w, has_not_come, NULL), 0);
}

/*
 * Three of three come, while one of them is cancelled.  Either all three go on
 * with one last, or the one fails and two wait for another to come.
 */
static void
cancel_or_come(uint64_t *random)
{
	struct co_task t[3];
	int code[3], i;

	b = (struct co_barrier)CO_BARRIER_INIT(3);
	for (i = 0; i < 3; i++)
		test_result(co_fork(&t[i], come, NULL), 0);
	if (test_below(random, 2))
		co_yield();
	co_task_cancel(&t[0]);
	code[0] = co_join(&t[0]);
	if (code[0] < 0) {
		test_result(code[0], -ECANCELED);
		code[0] = co_barrier_wait(&b);
	}
	code[1] = co_join(&t[1]);
	code[2] = co_join(&t[2]);
	ck_assert_int_eq(code[0] + code[1] + code[2], 1);
	for (i = 0; i < 3; i++)
		ck_assert(code[i] == 0 || code[i] == 1);
}

static int
cancel_or_come_often(void *arg)
{
	uint64_t n = test_count(500, 50000), random = test_seed();

	(void)arg;
	while (n--)
		cancel_or_come(&random);
	return 0;
}

TEST(the_last_one_and_a_cancellation_agree)
{
	FOR_WORKERS(w)
		test_result(test_run(w, cancel_or_come_often, NULL), 0);
}

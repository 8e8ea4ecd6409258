/* SPDX-License-Identifier: MIT */
/*
 * sem_test.c - co_sem.  Cancellation: sync_test.c.
 */
#include "harness.h"

#include <limits.h>
#include <pthread.h>

#include <weft/scope.h>
#include <weft/sync.h>

static struct co_sem sem;
static int order[1000], n_order;

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
	sem = (struct co_sem)CO_SEM_INIT(2);
	test_result(co_sem_wait(&sem), 0);
	test_result(co_sem_try_wait(&sem), 0);
	test_result(co_sem_try_wait(&sem), -EAGAIN);
	test_result(co_sem_post(&sem), 0);
	test_result(co_sem_wait(&sem), 0);
	test_result(co_sem_try_wait(&sem), -EAGAIN);
	sem = (struct co_sem)CO_SEM_INIT(INT_MAX);
	test_result(co_sem_post(&sem), -EOVERFLOW);
	test_result(co_sem_try_wait(&sem), 0);
	test_result(co_sem_post(&sem), 0);
	test_result(co_sem_post(&sem), -EOVERFLOW);
	return 0;
}

TEST(it_counts_permits_up_to_a_limit)
{
	FOR_WORKERS(w)
		test_result(test_run(w, basics, NULL), 0);
	test_result(basics(NULL), 0);
}

static int
wait_in_order(void *arg)
{
	int code = co_sem_wait(&sem);

	if (code == 0)
		order[n_order++] = (int)(intptr_t)arg;
	return code;
}

static int
in_order(void *arg)
{
	struct co_scope s;
	intptr_t i;

	(void)arg;
	sem = (struct co_sem)CO_SEM_INIT(0);
	n_order = 0;
	co_scope(s) {
		for (i = 0; i < 200; i++) {
			test_result(co_spawn(wait_in_order, (void *)i), 0);
			settle();
		}
		for (i = 0; i < 200; i++)
			test_result(co_sem_post(&sem), 0);
	}
	ck_assert_int_eq(n_order, 200);
	for (i = 0; i < 200; i++)
		ck_assert_int_eq(order[i], i);
	return 0;
}

TEST(permits_go_to_waiters_in_order_and_these_run_in_order)
{
	test_result(test_run(1, in_order, NULL), 0);
}

static int
no_barging(void *arg)
{
	struct co_scope s;

	(void)arg;
	sem = (struct co_sem)CO_SEM_INIT(0);
	n_order = 0;
	co_scope(s) {
		test_result(co_spawn(wait_in_order, NULL), 0);
		settle();
		test_result(co_sem_post(&sem), 0);
		test_result(co_sem_try_wait(&sem), -EAGAIN);
	}
	ck_assert_int_eq(n_order, 1);
	return 0;
}

TEST(a_permit_that_is_on_its_way_is_not_taken_by_another)
{
	test_result(test_run(1, no_barging, NULL), 0);
}

static int
passed_on(void *arg)
{
	struct co_task t[3];
	intptr_t i;

	(void)arg;
	sem = (struct co_sem)CO_SEM_INIT(0);
	n_order = 0;
	for (i = 0; i < 3; i++) {
		test_result(co_fork(&t[i], wait_in_order, (void *)i), 0);
		settle();
	}
	co_task_cancel(&t[0]);		/* it has not run since */
	test_result(co_sem_post(&sem), 0);
	test_result(co_join(&t[0]), -ECANCELED);
	test_result(co_join(&t[1]), 0);
	co_task_cancel(&t[2]);
	test_result(co_join(&t[2]), -ECANCELED);
	test_result(co_sem_try_wait(&sem), -EAGAIN);
	return 0;
}

TEST(a_permit_for_a_cancelled_waiter_goes_to_the_next)
{
	FOR_WORKERS(w)
		test_result(test_run(w, passed_on, NULL), 0);
}

/* --- many ----------------------------------------------------------------- */

static struct {
	long rounds;
	int limit, inside;	/* inside: atomic */
} crowd;

static int
use_permits(void *arg)
{
	long i;
	int n;

	(void)arg;
	for (i = 0; i < crowd.rounds; i++) {
		test_result(co_sem_wait(&sem), 0);
		n = __atomic_add_fetch(&crowd.inside, 1, __ATOMIC_SEQ_CST);
		ck_assert_int_le(n, crowd.limit);
		if (i % 3 == 0)
			co_yield();
		__atomic_sub_fetch(&crowd.inside, 1, __ATOMIC_SEQ_CST);
		test_result(co_sem_post(&sem), 0);
	}
	return 0;
}

static void *
use_permits_thread(void *arg)
{
	use_permits(arg);
	return NULL;
}

static int
crowd_run(void *arg)
{
	struct co_scope s;
	int i;

	co_scope(s)
		for (i = 0; i < 20; i++)
			test_result(co_spawn(use_permits, arg), 0);
	return s.status;
}

TEST(it_admits_no_more_than_its_permits_on_workers_and_threads)
{
	pthread_t t[3];
	int i;

	FOR_WORKERS(w) {
		crowd.rounds = (long)test_count(200, 10000);
		crowd.limit = 3;
		sem = (struct co_sem)CO_SEM_INIT(crowd.limit);
		for (i = 0; i < 3; i++)
			ck_assert(!pthread_create(&t[i], NULL,
			    use_permits_thread, NULL));
		test_result(test_run(w, crowd_run, NULL), 0);
		for (i = 0; i < 3; i++)
			ck_assert(!pthread_join(t[i], NULL));
		for (i = 0; i < crowd.limit; i++)
			test_result(co_sem_try_wait(&sem), 0);
		test_result(co_sem_try_wait(&sem), -EAGAIN);
	}
}

/* Waiters that give up all the time: no permit goes with them. */
static int
impatient(void *arg)
{
	uint64_t n = test_count(200, 10000), random = test_seed() + 7, i;
	int code = 1;

	for (i = 0; i < n; i++) {
		co_timeout((co_time)test_below(&random, CO_US(20)))
			code = co_sem_wait(&sem);
		if (code == 0)
			test_result(co_sem_post(&sem), 0);
		else
			test_result(code, -ETIMEDOUT);
		if (i % 8 == (uint64_t)(uintptr_t)arg)
			co_yield();
	}
	return 0;
}

static int
impatient_crowd(void *arg)
{
	struct co_scope s;
	uintptr_t i;

	(void)arg;
	sem = (struct co_sem)CO_SEM_INIT(1);
	co_scope(s)
		for (i = 0; i < 8; i++)
			test_result(co_spawn(impatient, (void *)i), 0);
	test_result(co_sem_try_wait(&sem), 0);
	test_result(co_sem_try_wait(&sem), -EAGAIN);
	return 0;
}

TEST(no_permit_is_lost_or_made_by_waiters_that_give_up)
{
	FOR_WORKERS(w)
		test_result(test_run(w, impatient_crowd, NULL), 0);
}

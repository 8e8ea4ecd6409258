/* SPDX-License-Identifier: MIT */
/*
 * once_test.c - co_once.  Cancellation in general: sync_test.c.
 */
#include "harness.h"

#include <pthread.h>

#include <weft/scope.h>
#include <weft/sync.h>

static struct co_once o;
static int runs;		/* no atomic: only fn touches it */
static bool done;		/* likewise, read after co_once_do */

static int
slowly(void *arg)
{
	runs++;
	co_yield();
	test_result(co_sleep(CO_US(100)), 0);
	done = true;
	return *(int *)arg;
}

static int
ask(void *arg)
{
	int code = co_once_do(&o, slowly, arg);

	ck_assert(done);
	return code;
}

static void *
ask_thread(void *arg)
{
	test_result(ask(arg), *(int *)arg);
	return NULL;
}

static int
ask_all(void *arg)
{
	struct co_task t[20];
	int i;

	for (i = 0; i < 20; i++)
		test_result(co_fork(&t[i], ask, arg), 0);
	for (i = 0; i < 20; i++)
		test_result(co_join(&t[i]), *(int *)arg);
	test_result(ask(arg), *(int *)arg);
	return 0;
}

static void
check_result(int workers, int result)
{
	pthread_t t[3];
	int i;

	o = (struct co_once)CO_ONCE_INIT;
	runs = 0;
	done = false;
	for (i = 0; i < 3; i++)
		ck_assert(!pthread_create(&t[i], NULL, ask_thread, &result));
	test_result(test_run(workers, ask_all, &result), 0);
	for (i = 0; i < 3; i++)
		ck_assert(!pthread_join(t[i], NULL));
	ck_assert_int_eq(runs, 1);
}

TEST(it_runs_once_and_all_return_its_result_after_it)
{
	uint64_t n = test_count(20, 1000);

	FOR_WORKERS(w) {
		for (uint64_t i = 0; i < n; i++)
			check_result(w, 42);
		check_result(w, 0);
	}
}

TEST(a_failure_is_the_result_for_all_too)
{
	FOR_WORKERS(w)
		check_result(w, -EIO);
}

TEST(it_needs_a_function)
{
	int result = 3;

	o = (struct co_once)CO_ONCE_INIT;
	test_result(co_once_do(&o, NULL, NULL), -EINVAL);
	test_result(co_once_do(&o, slowly, &result), 3);
	test_result(co_once_do(&o, NULL, NULL), -EINVAL);
	ck_assert_int_eq(runs, 1);
}

/* --- cancelled ------------------------------------------------------------ */

static struct co_event inside, leave;

static int
wait_inside(void *arg)
{
	(void)arg;
	runs++;
	test_result(co_event_set(&inside), 0);
	return co_event_wait(&leave);
}

static int
ask_wait(void *arg)
{
	return co_once_do(&o, wait_inside, arg);
}

static int
cancel_one(void *arg)
{
	struct co_task runner, other;

	(void)arg;
	o = (struct co_once)CO_ONCE_INIT;
	inside = leave = (struct co_event)CO_EVENT_INIT;
	runs = 0;
	test_result(co_fork(&runner, ask_wait, NULL), 0);
	test_result(co_event_wait(&inside), 0);
	test_result(co_fork(&other, ask_wait, NULL), 0);
	co_yield();
	co_task_cancel(&other);
	test_result(co_join(&other), -ECANCELED);
	test_result(co_event_set(&leave), 0);
	test_result(co_join(&runner), 0);
	test_result(ask_wait(NULL), 0);
	ck_assert_int_eq(runs, 1);
	return 0;
}

TEST(who_is_cancelled_while_it_waits_does_not_disturb_the_others)
{
	FOR_WORKERS(w)
		test_result(test_run(w, cancel_one, NULL), 0);
}

static int
cancel_runner(void *arg)
{
	struct co_task runner, other;

	(void)arg;
	o = (struct co_once)CO_ONCE_INIT;
	inside = leave = (struct co_event)CO_EVENT_INIT;
	runs = 0;
	test_result(co_fork(&runner, ask_wait, NULL), 0);
	test_result(co_event_wait(&inside), 0);
	test_result(co_fork(&other, ask_wait, NULL), 0);
	co_yield();
	co_task_cancel(&runner);
	test_result(co_join(&runner), -ECANCELED);
	test_result(co_join(&other), -ECANCELED);	/* fn's result */
	test_result(ask_wait(NULL), -ECANCELED);
	ck_assert_int_eq(runs, 1);
	return 0;
}

TEST(what_the_function_makes_of_a_cancellation_is_the_result)
{
	FOR_WORKERS(w)
		test_result(test_run(w, cancel_runner, NULL), 0);
}

static int
ended_first(void *arg)
{
	struct co_scope s;
	int code = 1;

	(void)arg;
	o = (struct co_once)CO_ONCE_INIT;
	leave = inside = (struct co_event)CO_EVENT_INIT;
	runs = 0;
	co_scope(s) {
		co_cancel(&s);
		code = ask_wait(NULL);
	}
	test_result(code, -ECANCELED);
	ck_assert_int_eq(runs, 0);
	test_result(co_event_set(&leave), 0);
	test_result(ask_wait(NULL), 0);
	ck_assert_int_eq(runs, 1);
	return 0;
}

TEST(a_call_in_an_ended_scope_does_not_begin_it)
{
	FOR_WORKERS(w)
		test_result(test_run(w, ended_first, NULL), 0);
}

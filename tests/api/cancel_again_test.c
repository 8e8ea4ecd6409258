/* SPDX-License-Identifier: MIT */
/*
 * cancel_again_test.c - what has been cancelled, or has timed out, is ended
 * again from further outside; and is spawned into.
 */
#include "harness.h"

#include <weft/io.h>
#include <weft/scope.h>
#include <weft/sync.h>

static struct co_scope *outer, *inner;
static struct co_mutex mutex;
static struct co_cond cond;
static bool waits, returned;
static uint32_t job_may_end, job_runs;	/* [atomic] */

static void
let_run(void)
{
	int i;

	for (i = 0; i < 20; i++)
		co_yield();
}

/* --- waits that no cancellation ends -------------------------------------- */

static int
wait_cond(void)
{
	int code;

	test_result(co_mutex_lock(&mutex), 0);
	waits = true;
	code = co_cond_wait(&cond, &mutex);
	returned = true;
	test_result(co_mutex_unlock(&mutex), 0);
	return code;
}

static int
in_two_scopes(void *arg)
{
	int (*wait)(void) = *(int (**)(void))arg;
	struct co_scope a, b;
	int code = 0;

	co_scope(a) {
		outer = &a;
		co_scope(b) {
			inner = &b;
			code = wait();
		}
	}
	return code == -ECANCELED ? 0 : code;
}

static int
cancels_a_cond(void *arg)
{
	int (*wait)(void) = wait_cond;
	struct co_task t;

	(void)arg;
	mutex = (struct co_mutex)CO_MUTEX_INIT;
	cond = (struct co_cond)CO_COND_INIT;
	waits = returned = false;
	test_result(co_fork(&t, in_two_scopes, &wait), 0);
	while (!waits)
		co_yield();
	test_result(co_mutex_lock(&mutex), 0);	/* it is in the condition */
	co_cancel(inner);
	let_run();				/* now it wants the mutex */
	ck_assert(!returned);
	co_cancel(outer);
	let_run();
	ck_assert(!returned);
	test_result(co_mutex_unlock(&mutex), 0);
	test_result(co_join(&t), 0);
	ck_assert(returned);
	return 0;
}

TEST(a_cond_that_is_cancelled_twice_returns_with_its_mutex)
{
	test_result(test_run(1, cancels_a_cond, NULL), 0);
}

static int
long_job(void *arg)
{
	__atomic_store_n(&job_runs, 1, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&job_may_end, __ATOMIC_ACQUIRE))
		continue;
	*(int *)arg = 7;
	return 0;
}

static int
wait_job(void)
{
	int written = 0, code = co_blocking(long_job, &written);

	test_result(written, 7);
	returned = true;
	return code;
}

static int
cancels_a_job(void *arg)
{
	int (*wait)(void) = wait_job;
	struct co_task t;

	(void)arg;
	returned = false;
	job_may_end = job_runs = 0;
	test_result(co_fork(&t, in_two_scopes, &wait), 0);
	while (!__atomic_load_n(&job_runs, __ATOMIC_ACQUIRE))
		co_yield();
	co_cancel(inner);
	let_run();
	co_cancel(outer);
	let_run();
	ck_assert(!returned);
	__atomic_store_n(&job_may_end, 1, __ATOMIC_RELEASE);
	test_result(co_join(&t), 0);
	ck_assert(returned);
	return 0;
}

TEST(a_job_that_runs_is_waited_for_though_cancelled_twice)
{
	test_result(test_run(1, cancels_a_job, NULL), 0);
}

/* --- the reason ----------------------------------------------------------- */

static int
two_reasons(void *arg)
{
	struct co_scope a, b;

	(void)arg;
	co_scope(a) {
		co_scope(b, .timeout = CO_US(100)) {
			test_result(co_sleep(CO_SEC(100)), -ETIMEDOUT);
			co_cancel(&a);
			test_result(co_sleep(CO_SEC(100)), -ETIMEDOUT);
		}
		test_result(b.status, -ETIMEDOUT);
		test_result(co_sleep(CO_SEC(100)), -ECANCELED);
	}
	test_result(a.status, -ECANCELED);
	return 0;
}

TEST(the_first_reason_of_a_scope_stays)
{
	FOR_WORKERS(w)
		test_result(test_run(w, two_reasons, NULL), 0);
}

/* --- children that come too late ------------------------------------------ */

static int
nothing(void *arg)
{
	(void)arg;
	return 0;
}

static int
spawns_late(void *arg)
{
	test_result(co_sleep(CO_SEC(100)), -ECANCELED);
	test_result(co_spawn(nothing, NULL), -ECANCELED);
	*(bool *)arg = true;
	return 0;
}

static int
ends_at_once(void *arg)
{
	test_result(co_spawn(spawns_late, arg), 0);
	let_run();
	return 0;
}

/* co_run waits for all children, and this one does not count. */
TEST(a_child_that_the_root_scope_refused_holds_up_nobody)
{
	FOR_WORKERS(w) {
		bool done = false;

		test_result(test_run(w, ends_at_once, &done), 0);
		ck_assert(done);
	}
}

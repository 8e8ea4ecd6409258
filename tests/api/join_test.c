/* SPDX-License-Identifier: MIT */
/*
 * join_test.c - co_fork, co_join, co_task_cancel.
 */
#include "harness.h"

#include <pthread.h>

#include <weft/chan.h>
#include <weft/scope.h>
#include <weft/sync.h>

static int
give(void *arg)
{
	return (int)(intptr_t)arg;
}

static int
give_late(void *arg)
{
	int i;

	for (i = 0; i < 20; i++)
		co_yield();
	return (int)(intptr_t)arg;
}

static int
sleep_long(void *arg)
{
	(void)arg;
	return co_sleep(CO_SEC(1000));
}

/* --- results --------------------------------------------------------------- */

static int
join_results(void *arg)
{
	static const int results[] = { 0, 1, -1, 77, -ECANCELED, INT32_MIN,
	    INT32_MAX };
	struct co_task before, after;
	size_t i;

	(void)arg;
	for (i = 0; i < sizeof results / sizeof *results; i++) {
		void *v = (void *)(intptr_t)results[i];

		test_result(co_fork(&before, give, v), 0);
		test_result(co_join(&before), results[i]);
		test_result(co_fork(&before, give_late, v), 0);
		test_result(co_join(&before), results[i]);
		test_result(co_fork(&after, give, v), 0);
		test_result(co_sleep(CO_MS(1)), 0);
		test_result(co_join(&after), results[i]);
	}
	return 0;
}

TEST(the_joiner_gets_the_result_before_and_after_the_end)
{
	FOR_WORKERS(w)
		test_result(test_run(w, join_results, NULL), 0);
}

static int
fail_forked(void *arg)
{
	struct co_scope s;
	struct co_task t, u;

	(void)arg;
	co_scope(s) {
		test_result(co_fork(&t, give, (void *)-EIO), 0);
		test_result(co_fork(&u, give_late, (void *)-EIO), 0);
		test_result(co_sleep(CO_MS(1)), 0);
		test_result(co_join(&t), -EIO);
	}
	test_result(s.status, 0);
	ck_assert_uint_eq(s.failures, 0);
	test_result(co_join(&u), -EIO);		/* it has ended: no matter */
	return 0;
}

TEST(a_forked_failure_goes_to_its_joiner_and_to_nobody_else)
{
	FOR_WORKERS(w)
		test_result(test_run(w, fail_forked, NULL), 0);
}

static int
set_flag(void *arg)
{
	test_result(co_sleep(CO_MS(3)), 0);
	*(int *)arg = 1;
	return 5;
}

static int
leave_unjoined(void *arg)
{
	struct co_scope s;
	struct co_task t;
	int done = 0;

	(void)arg;
	co_scope(s)
		test_result(co_fork(&t, set_flag, &done), 0);
	ck_assert_int_eq(done, 1);
	test_result(co_join(&t), 5);
	return 0;
}

TEST(a_scope_waits_for_a_forked_task_that_nobody_joins)
{
	FOR_WORKERS(w)
		test_result(test_run(w, leave_unjoined, NULL), 0);
}

/* --- what it refuses ------------------------------------------------------- */

static struct co_task self_task;

static int
join_self(void *arg)
{
	(void)arg;
	test_result(co_join(&self_task), -EDEADLK);
	return 8;
}

static int
bad_joins(void *arg)
{
	struct co_task zero = { 0 }, t, refused;
	struct co_scope s;

	(void)arg;
	test_result(co_join(NULL), -EINVAL);
	test_result(co_join(&zero), -EINVAL);
	co_task_cancel(NULL);
	co_task_cancel(&zero);
	test_result(co_fork(&t, give, (void *)4), 0);
	test_result(co_join(&t), 4);
	test_result(co_join(&t), -EINVAL);
	test_result(co_join(&t), -EINVAL);
	co_task_cancel(&t);
	test_result(co_fork(&self_task, join_self, NULL), 0);
	test_result(co_join(&self_task), 8);
	/* A fork that failed has made nothing to be joined. */
	memset(&refused, 0xa5, sizeof refused);
	test_result(co_fork(&refused, NULL, NULL), -EINVAL);
	test_result(co_join(&refused), -EINVAL);
	co_scope(s) {
		co_cancel(&s);
		test_result(co_fork(&refused, give, NULL), -ECANCELED);
	}
	test_result(co_join(&refused), -EINVAL);
	co_task_cancel(&refused);
	return 0;
}

TEST(bad_joins_are_refused)
{
	FOR_WORKERS(w)
		test_result(test_run(w, bad_joins, NULL), 0);
	test_result(co_join(NULL), -EINVAL);
	test_result(co_join(&(struct co_task){ 0 }), -EINVAL);
}

static struct co_event release_it;
static struct co_task shared_task;

static int
wait_release(void *arg)
{
	(void)arg;
	test_result(co_event_wait(&release_it), 0);
	return 31;
}

static int
join_shared(void *arg)
{
	(void)arg;
	return co_join(&shared_task);
}

static int
two_joiners(void *arg)
{
	struct co_task first, second;

	(void)arg;
	release_it = (struct co_event)CO_EVENT_INIT;
	test_result(co_fork(&shared_task, wait_release, NULL), 0);
	test_result(co_fork(&first, join_shared, NULL), 0);
	test_result(co_fork(&second, join_shared, NULL), 0);
	test_result(co_sleep(CO_MS(2)), 0);
	co_event_set(&release_it);
	/* Whichever came second is refused. */
	int a = co_join(&first), b = co_join(&second);

	ck_assert((a == 31 && b == -EINVAL) || (a == -EINVAL && b == 31));
	return 0;
}

/* The first has been woken, and has not run: the task is his to join. */
static int
late_joiner(void *arg)
{
	struct co_spawn_options low = { .priority = CO_LOW };
	struct co_scope s;

	(void)arg;
	release_it = (struct co_event)CO_EVENT_INIT;
	test_result(co_fork(&shared_task, wait_release, NULL), 0);
	co_scope(s, .policy = CO_SUPERVISE) {
		test_result(co_spawn_with(&low, join_shared, NULL), 0);
		test_result(co_sleep(CO_MS(2)), 0);
		co_event_set(&release_it);
		co_yield();
		test_result(co_join(&shared_task), -EINVAL);
	}
	ck_assert_int_eq(s.failures, 0);
	return 0;
}

TEST(who_comes_between_the_end_and_the_joiner_is_refused)
{
	test_result(test_run(1, late_joiner, NULL), 0);
}

/* --- a handle that outlives its runtime ----------------------------------- */

static int
join_old(void *arg)
{
	return co_join(arg);
}

static int
give_31(void *arg)
{
	(void)arg;
	return 31;
}

static int
leave_it(void *arg)
{
	return co_fork(arg, give_31, NULL);
}

static int
join_it_later(void *arg)
{
	struct co_task t;

	test_result(co_fork(&t, join_old, arg), 0);
	return co_join(&t);
}

/* Records and ids come again: it is not itself that it joins. */
TEST(a_task_of_a_runtime_that_has_ended_is_joined)
{
	FOR_WORKERS(w) {
		test_result(test_run(w, leave_it, &shared_task), 0);
		test_result(test_run(w, join_it_later, &shared_task), 31);
	}
}

static uint32_t enough;

static void *
cancel_and_cancel(void *arg)
{
	while (!__atomic_load_n(&enough, __ATOMIC_RELAXED))
		co_task_cancel(arg);
	return NULL;
}

/* The handle's words are written while it is looked at, which is the caller's
   to order: here nobody does, so TSan is not asked. */
TEST(a_thread_that_cancels_meets_the_end_of_the_runtime)
{
	pthread_t thread;
	int i;

	if (TEST_TSAN)
		test_skip("the handle is forked anew unordered");
	test_result(test_run(1, leave_it, &shared_task), 0);
	enough = 0;
	ck_assert_int_eq(pthread_create(&thread, NULL, cancel_and_cancel,
	    &shared_task), 0);
	for (i = 0; i < 200; i++)
		test_run(1, leave_it, &shared_task);
	__atomic_store_n(&enough, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
}

TEST(of_two_joiners_one_is_refused)
{
	FOR_WORKERS(w)
		test_result(test_run(w, two_joiners, NULL), 0);
}

/* --- who may join ---------------------------------------------------------- */

static int
sibling_joins(void *arg)
{
	struct co_task t, joiner;

	(void)arg;
	release_it = (struct co_event)CO_EVENT_INIT;
	test_result(co_fork(&shared_task, wait_release, NULL), 0);
	test_result(co_fork(&joiner, join_shared, NULL), 0);
	test_result(co_fork(&t, give, NULL), 0);
	test_result(co_join(&t), 0);
	co_event_set(&release_it);
	test_result(co_join(&joiner), 31);
	return 0;
}

TEST(a_sibling_may_join)
{
	FOR_WORKERS(w)
		test_result(test_run(w, sibling_joins, NULL), 0);
}

static void *
thread_joins(void *arg)
{
	int i, result;
	struct co_task *t = arg;

	for (i = 0; i < 20; i++) {
		struct co_scope s;

		co_scope(s, .timeout = CO_US(200)) {
			result = co_join(t);
			if (result == -ETIMEDOUT)
				continue;
			return (void *)(intptr_t)result;
		}
	}
	return (void *)(intptr_t)co_join(t);
}

static int
joined_by_thread(void *arg)
{
	struct co_task t;
	pthread_t thread;
	void *result;

	(void)arg;
	release_it = (struct co_event)CO_EVENT_INIT;
	test_result(co_fork(&t, wait_release, NULL), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, thread_joins, &t), 0);
	test_result(co_sleep(CO_MS(2)), 0);
	co_event_set(&release_it);
	/* Not under a worker's feet: the last of it runs here. */
	test_result(co_sleep(CO_MS(5)), 0);
	pthread_join(thread, &result);
	ck_assert_int_eq((int)(intptr_t)result, 31);
	test_result(co_join(&t), -EINVAL);
	return 0;
}

TEST(a_plain_thread_may_join)
{
	int i;

	FOR_WORKERS(w)
		for (i = 0; i < 20; i++)
			test_result(test_run(w, joined_by_thread, NULL), 0);
}

/* --- cancellation ---------------------------------------------------------- */

static int
join_in_time(void *arg)
{
	struct co_scope s;
	struct co_task t;
	int i;

	(void)arg;
	release_it = (struct co_event)CO_EVENT_INIT;
	test_result(co_fork(&t, wait_release, NULL), 0);
	for (i = 0; i < 5; i++)
		co_timeout(CO_US(300))
			test_result(co_join(&t), -ETIMEDOUT);
	co_scope(s) {
		co_cancel(&s);
		test_result(co_join(&t), -ECANCELED);
	}
	co_event_set(&release_it);
	test_result(co_sleep(CO_MS(1)), 0);
	co_timeout(0)			/* ended: even what is ready fails */
		test_result(co_join(&t), -ETIMEDOUT);
	co_shield()
		test_result(co_join(&t), 31);
	return 0;
}

TEST(a_join_that_is_given_up_has_no_effect)
{
	FOR_WORKERS(w)
		test_result(test_run(w, join_in_time, NULL), 0);
}

static int
report_cancel(void *arg)
{
	int before = co_cancelled();

	(void)arg;
	test_result(co_sleep(CO_SEC(1000)), -ECANCELED);
	ck_assert(co_cancelled());
	test_result(co_sleep(0), -ECANCELED);
	co_yield();
	return 40 + before;
}

static int
cancel_tasks(void *arg)
{
	struct co_task t, u;

	(void)arg;
	test_result(co_fork(&t, report_cancel, NULL), 0);
	test_result(co_fork(&u, sleep_long, NULL), 0);
	test_result(co_sleep(CO_MS(1)), 0);
	co_task_cancel(&t);
	co_task_cancel(&t);
	test_result(co_join(&t), 40);
	ck_assert(!co_cancelled());
	co_task_cancel(&u);
	test_result(co_join(&u), -ECANCELED);
	co_task_cancel(&u);
	test_result(co_fork(&t, give, (void *)3), 0);
	test_result(co_sleep(CO_MS(1)), 0);
	co_task_cancel(&t);		/* it has ended already */
	test_result(co_join(&t), 3);
	return 0;
}

TEST(cancelling_a_task_ends_its_waits_and_no_others)
{
	FOR_WORKERS(w)
		test_result(test_run(w, cancel_tasks, NULL), 0);
}

static int
cancel_unbegun(void *arg)
{
	struct co_task t;

	(void)arg;
	test_result(co_fork(&t, report_cancel, NULL), 0);
	co_task_cancel(&t);
	test_result(co_join(&t), 41);
	return 0;
}

TEST(a_task_that_was_cancelled_before_it_began_still_runs)
{
	test_result(test_run(1, cancel_unbegun, NULL), 0);
}

static int
with_family(void *arg)
{
	struct co_scope s;
	struct co_task child;
	int code = 0, shielded = 0;

	co_scope(s) {
		code = co_fork(&child, report_cancel, NULL);
		co_event_set(arg);
		if (code == 0)
			code = co_join(&child);
		co_shield()
			shielded = co_sleep(CO_MS(1));
	}
	test_result(shielded, 0);
	test_result(s.status, -ECANCELED);
	if (code == -ECANCELED)
		return 50;
	return code;
}

static int
cancel_family(void *arg)
{
	struct co_event forked = CO_EVENT_INIT;
	struct co_task t;

	(void)arg;
	test_result(co_fork(&t, with_family, &forked), 0);
	test_result(co_event_wait(&forked), 0);
	test_result(co_sleep(CO_MS(1)), 0);
	co_task_cancel(&t);
	test_result(co_join(&t), 50);
	return 0;
}

TEST(a_cancelled_task_takes_its_children_with_it_but_not_its_shields)
{
	FOR_WORKERS(w)
		test_result(test_run(w, cancel_family, NULL), 0);
}

static void *
cancel_from_thread(void *arg)
{
	co_task_cancel(arg);
	return NULL;
}

static int
cancelled_by_thread(void *arg)
{
	struct co_task t;
	pthread_t thread;

	(void)arg;
	test_result(co_fork(&t, sleep_long, NULL), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, cancel_from_thread, &t),
	    0);
	/* Not joined before the thread is done with it. */
	pthread_join(thread, NULL);
	test_result(co_join(&t), -ECANCELED);
	return 0;
}

TEST(a_plain_thread_may_cancel_a_task)
{
	int i;

	FOR_WORKERS(w)
		for (i = 0; i < 20; i++)
			test_result(test_run(w, cancelled_by_thread, NULL), 0);
}

/* --- select ---------------------------------------------------------------- */

static int
select_joins(void *arg)
{
	struct co_task t, u;
	int got = -1, other = -1;

	(void)arg;
	release_it = (struct co_event)CO_EVENT_INIT;
	test_result(co_fork(&t, wait_release, NULL), 0);
	test_result(co_fork(&u, give_late, (void *)-3), 0);
	ck_assert_int_eq(co_select(co_on_join(&t, &got), co_on_join(&u, &other)),
	    1);
	ck_assert_int_eq(other, -3);
	test_result(co_join(&u), -EINVAL);	/* taken: joined */
	ck_assert_int_eq(co_select(co_on_join(&t, &got),
	    co_on_timeout(CO_MS(1))), 1);
	ck_assert_int_eq(co_select(co_on_join(&t, &got), co_otherwise), 1);
	test_result(co_select(co_on_join(&t, &got), co_on_join(&t)), -EINVAL);
	test_result(co_select(co_on_join(NULL), co_otherwise), -EINVAL);
	co_event_set(&release_it);
	ck_assert_int_eq(co_select(co_on_join(&t, &got)), 0);
	ck_assert_int_eq(got, 31);
	test_result(co_join(&t), -EINVAL);
	test_result(co_fork(&t, give, (void *)2), 0);
	test_result(co_sleep(CO_MS(1)), 0);
	ck_assert_int_eq(co_select(co_on_join(&t), co_otherwise), 0);
	test_result(co_join(&t), -EINVAL);
	return 0;
}

TEST(a_select_may_join)
{
	FOR_WORKERS(w)
		test_result(test_run(w, select_joins, NULL), 0);
}

/* --- many ------------------------------------------------------------------ */

static int
fork_many(void *arg)
{
	enum { N = 500 };
	static struct co_task t[N];
	uint64_t random = test_seed();
	int i, round;

	(void)arg;
	for (round = 0; round < 20; round++) {
		for (i = 0; i < N; i++)
			test_result(co_fork(&t[i], i % 3 ? give : give_late,
			    (void *)(intptr_t)(i + round)), 0);
		for (i = 0; i < (int)test_below(&random, 50); i++)
			co_yield();
		for (i = 0; i < N; i++)
			test_result(co_join(&t[i]), i + round);
	}
	return 0;
}

TEST(five_hundred_are_forked_and_joined)
{
	FOR_WORKERS(w)
		test_result(test_run(w, fork_many, NULL), 0);
}

/* The handle's memory is used for something else as soon as it was joined. */
static int
reuse_handles(void *arg)
{
	uint64_t i, n = *(uint64_t *)arg;
	int result;

	for (i = 0; i < n; i++) {
		struct co_task *t = malloc(sizeof *t);

		test_result(co_fork(t, i % 2 ? give : give_late,
		    (void *)(intptr_t)i), 0);
		if (i % 5 == 0)
			co_yield();
		result = co_join(t);
		memset(t, 0xdd, sizeof *t);
		free(t);
		ck_assert_int_eq(result, (int)i);
	}
	return 0;
}

static int
reuse_in_many(void *arg)
{
	struct co_scope s;
	int i;

	co_scope(s)
		for (i = 0; i < 8; i++)
			test_result(co_spawn(reuse_handles, arg), 0);
	return 0;
}

TEST(nobody_touches_a_handle_after_its_join)
{
	uint64_t n = test_count(3000, 200000);

	FOR_WORKERS(w)
		test_result(test_run(w, reuse_in_many, &n), 0);
}

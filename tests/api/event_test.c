/* SPDX-License-Identifier: MIT */
/*
 * event_test.c - co_event, alone and in a select.  Cancellation: sync_test.c.
 */
#include "harness.h"

#include <pthread.h>

#include <weft/chan.h>
#include <weft/scope.h>
#include <weft/sync.h>

static struct co_event e, f;
static int order[1000], n_order;

static void
settle(void)
{
	int i;

	for (i = 0; i < 4; i++)
		co_yield();
}

static void
fresh(void)
{
	e = f = (struct co_event)CO_EVENT_INIT;
	n_order = 0;
}

static int
basics(void *arg)
{
	(void)arg;
	fresh();
	test_result(co_event_set(&e), 0);
	test_result(co_event_wait(&e), 0);
	test_result(co_event_wait(&e), 0);
	test_result(co_event_set(&e), 0);
	test_result(co_event_reset(&e), 0);
	test_result(co_event_reset(&e), 0);
	ck_assert_int_eq(co_select(co_on_event(&e), co_otherwise), 1);
	test_result(co_event_set(&e), 0);
	ck_assert_int_eq(co_select(co_on_event(&e), co_otherwise), 0);
	return 0;
}

TEST(it_stays_set_until_it_is_reset)
{
	FOR_WORKERS(w)
		test_result(test_run(w, basics, NULL), 0);
	test_result(basics(NULL), 0);
}

static int
wait_in_order(void *arg)
{
	int code = co_event_wait(&e);

	order[n_order++] = (int)(intptr_t)arg;
	return code;
}

static int
set_and_reset(void *arg)
{
	struct co_scope s;
	intptr_t i;

	(void)arg;
	fresh();
	co_scope(s) {
		for (i = 0; i < 300; i++) {
			test_result(co_spawn(wait_in_order, (void *)i), 0);
			settle();
		}
		test_result(co_event_set(&e), 0);
		test_result(co_event_reset(&e), 0);
	}
	ck_assert_int_eq(n_order, 300);
	for (i = 0; i < 300; i++)
		ck_assert_int_eq(order[i], i);
	ck_assert_int_eq(co_select(co_on_event(&e), co_otherwise), 1);
	return 0;
}

TEST(setting_wakes_all_in_order_even_if_it_is_reset_at_once)
{
	test_result(test_run(1, set_and_reset, NULL), 0);
}

/* --- many ----------------------------------------------------------------- */

static int
wait_it(void *arg)
{
	__atomic_add_fetch((int *)arg, 1, __ATOMIC_SEQ_CST);
	return co_event_wait(&e);
}

static int
wake_many(void *arg)
{
	int n = (int)test_count(2000, 10000), came = 0, i;
	struct co_scope s;

	(void)arg;
	fresh();
	co_scope(s) {
		for (i = 0; i < n; i++)
			test_result(co_spawn(wait_it, &came), 0);
		while (__atomic_load_n(&came, __ATOMIC_SEQ_CST) < n / 2)
			co_yield();
		test_result(co_event_set(&e), 0);
	}
	test_result(s.status, 0);
	return 0;
}

TEST(setting_wakes_thousands_and_those_who_come_later_do_not_wait)
{
	FOR_WORKERS(w)
		test_result(test_run(w, wake_many, NULL), 0);
}

/* To and fro between a coroutine and a thread. */
static void *
echo(void *arg)
{
	uint64_t n = *(uint64_t *)arg;

	while (n--) {
		test_result(co_event_wait(&e), 0);
		test_result(co_event_reset(&e), 0);
		test_result(co_event_set(&f), 0);
	}
	return NULL;
}

static int
call(void *arg)
{
	uint64_t n = *(uint64_t *)arg;

	while (n--) {
		test_result(co_event_set(&e), 0);
		test_result(co_event_wait(&f), 0);
		test_result(co_event_reset(&f), 0);
	}
	return 0;
}

TEST(a_thread_and_a_coroutine_wake_each_other)
{
	uint64_t n = test_count(500, 20000);
	pthread_t t;

	FOR_WORKERS(w) {
		fresh();
		ck_assert(!pthread_create(&t, NULL, echo, &n));
		test_result(test_run(w, call, &n), 0);
		ck_assert(!pthread_join(t, NULL));
	}
}

/* --- gone as soon as the wait has returned -------------------------------- */

static int
set_it(void *arg)
{
	return co_event_set(arg);
}

static __attribute__((noinline)) void
call_and_wait(void)
{
	struct co_event done = CO_EVENT_INIT;

	test_result(co_spawn(set_it, &done), 0);
	test_result(co_event_wait(&done), 0);
	memset(&done, 0xa5, sizeof done);
	__asm__ volatile("" : : "r"(&done) : "memory");
}

static int
call_often(void *arg)
{
	uint64_t n = test_count(3000, 1000000);

	(void)arg;
	while (n--)
		call_and_wait();
	return 0;
}

TEST(it_may_live_in_the_frame_that_waits)
{
	FOR_WORKERS(w)
		test_result(test_run(w, call_often, NULL), 0);
}

/* --- select --------------------------------------------------------------- */

static int
select_three(void *arg)
{
	struct co_event *x = arg;

	return co_select(co_on_event(&x[0]), co_on_event(&x[1]),
	    co_on_event(&x[2]), co_on_event(&x[1]));
}

static int
select_each(void *arg)
{
	struct co_event x[3];
	struct co_task t;
	int i, code;

	(void)arg;
	for (i = 0; i < 3; i++) {
		x[0] = x[1] = x[2] = (struct co_event)CO_EVENT_INIT;
		test_result(co_fork(&t, select_three, x), 0);
		settle();
		test_result(co_event_set(&x[i]), 0);
		code = co_join(&t);
		ck_assert(code == i || (i == 1 && code == 3));
		code = select_three(x);		/* now on entry */
		ck_assert(code == i || (i == 1 && code == 3));
	}
	return 0;
}

TEST(a_select_takes_the_event_that_is_set)
{
	FOR_WORKERS(w)
		test_result(test_run(w, select_each, NULL), 0);
}

static int
select_both(void *arg)
{
	(void)arg;
	return co_select(co_on_event(&e), co_on_event(&f));
}

/* Selects and plain waits in one queue; both events set at the same time. */
static int
select_race(void *arg)
{
	uint64_t n = test_count(300, 20000);
	struct co_task a, b;
	struct co_scope s;
	int code, came = 0;

	(void)arg;
	while (n--) {
		fresh();
		co_scope(s) {
			test_result(co_fork(&a, select_both, NULL), 0);
			test_result(co_fork(&b, select_both, NULL), 0);
			test_result(co_spawn(wait_it, &came), 0);
			if (n % 2)
				co_yield();
			test_result(co_spawn(set_it, &e), 0);
			test_result(co_spawn(set_it, &f), 0);
			code = co_join(&a);
			ck_assert(code == 0 || code == 1);
			code = co_join(&b);
			ck_assert(code == 0 || code == 1);
		}
		test_result(s.status, 0);
	}
	return 0;
}

TEST(selects_and_waits_race_for_two_events)
{
	FOR_WORKERS(w)
		test_result(test_run(w, select_race, NULL), 0);
}

static int
select_gives_up(void *arg)
{
	struct co_scope s;
	int code = 1;

	(void)arg;
	fresh();
	ck_assert_int_eq(co_select(co_on_event(&e), co_on_timeout(CO_MS(1))),
	    1);
	ck_assert_int_eq(co_select(co_on_event(NULL), co_otherwise), 1);
	ck_assert_int_eq(co_select(co_on_event(NULL),
	    co_on_timeout(CO_MS(1))), 1);
	co_timeout(CO_MS(1))
		code = co_select(co_on_event(&e), co_on_event(&f));
	test_result(code, -ETIMEDOUT);
	test_result(co_event_set(&e), 0);
	co_scope(s) {
		co_cancel(&s);
		code = co_select(co_on_event(&e));
	}
	test_result(code, -ECANCELED);
	test_result(co_event_set(&f), 0);
	return 0;
}

TEST(a_select_on_events_is_cancelled_and_times_out)
{
	FOR_WORKERS(w)
		test_result(test_run(w, select_gives_up, NULL), 0);
	test_result(select_gives_up(NULL), 0);
}

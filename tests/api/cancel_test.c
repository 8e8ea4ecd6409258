/* SPDX-License-Identifier: MIT */
/*
 * cancel_test.c - cancellation: cleaning up, failures among many, handles of
 * tasks that have ended, deadlocks, storms.  Each kind of wait:
 * cancel_matrix_test.c; thousands of times: tests/stress/cancel_stress_test.c.
 */
#include "harness.h"

#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include <weft/chan.h>
#include <weft/scope.h>
#include <weft/sync.h>

#define CORO_TEST(name) \
	static int name##_body(void *arg); \
	TEST(name) \
	{ \
		FOR_WORKERS(w) \
			test_result(test_run(w, name##_body, NULL), 0); \
	} \
	static int name##_body(void *arg __attribute__((unused)))

#define load(p)		__atomic_load_n((p), __ATOMIC_SEQ_CST)
#define add(p, n)	__atomic_add_fetch((p), (n), __ATOMIC_SEQ_CST)

static int
give(void *arg)
{
	return (int)(intptr_t)arg;
}

static int
sleep_on(void *arg)
{
	int code = co_sleep(CO_FOREVER);

	if (arg)
		add((int *)arg, 1);
	return code;
}

/* --- cleaning up ------------------------------------------------------------ */

static int order[8], n_order;	/* of one coroutine's handlers */

static void
clean_quick(int *what)
{
	order[n_order++] = *what;
}

static void
clean_slow(int *what)
{
	test_result(co_sleep(1), -ECANCELED);
	co_shield()
		test_result(co_sleep(CO_US(100)), 0);
	order[n_order++] = *what;
}

static int
with_handlers(void *arg)
{
	int one __attribute__((cleanup(clean_quick))) = 1;
	int two __attribute__((cleanup(clean_slow))) = 2;
	struct co_scope s;

	(void)arg;
	co_scope(s) {
		int three __attribute__((cleanup(clean_slow))) = 3;
		int four __attribute__((cleanup(clean_quick))) = 4;

		test_result(co_sleep(CO_FOREVER), -ECANCELED);
		if (one + two + three + four == 10)
			return -EIO;	/* out of it all */
	}
	return 0;
}

/* The failure of a handler is counted where the first was a cancellation. */
CORO_TEST(handlers_run_once_inner_first_before_the_join_returns)
{
	static const int want[] = { 4, 3, 2, 1 };
	struct co_scope s;
	int i;

	n_order = 0;
	co_scope(s) {
		test_result(co_spawn(with_handlers, NULL), 0);
		for (i = 0; i < 3; i++)
			co_yield();
		co_cancel(&s);
	}
	ck_assert_int_eq(n_order, 4);
	for (i = 0; i < 4; i++)
		ck_assert_int_eq(order[i], want[i]);
	test_result(s.status, -ECANCELED);
	ck_assert_int_eq(s.failures, 1);
	return 0;
}

static int
leaves_late(void *arg)
{
	co_shield()
		test_result(co_sleep(CO_MS(1)), 0);
	add((int *)arg, 1);
	return 0;
}

CORO_TEST(leaving_is_no_cancellation_point)
{
	struct co_scope s, inner;
	int ended = 0;

	co_scope(s) {
		co_scope(inner) {
			test_result(co_spawn(leaves_late, &ended), 0);
			co_yield();
			co_cancel(&s);
		}
		ck_assert_int_eq(load(&ended), 1);
		test_result(co_scope_enter(&inner, NULL), 0);
		test_result(co_scope_leave(&inner), 0);
	}
	test_result(s.status, -ECANCELED);
	return 0;
}

CORO_TEST(what_was_spawned_runs_even_if_cancelled_before_it_began)
{
	struct co_scope s;
	struct co_task t;
	int ran = 0;

	co_scope(s) {
		test_result(co_spawn(sleep_on, &ran), 0);
		test_result(co_fork(&t, sleep_on, &ran), 0);
		co_task_cancel(&t);
		test_result(co_join(&t), -ECANCELED);
		test_result(co_fork(&t, sleep_on, &ran), 0);
		co_cancel(&s);
	}
	ck_assert_int_eq(load(&ran), 3);
	return 0;
}

/* --- failures among many ---------------------------------------------------- */

enum { MANY = 1000 };

struct crowd {
	int who, after;		/* fails, after so many yields */
	int there, ended;	/* [atomic] */
};

static int
member(void *arg)
{
	struct crowd *c = arg;
	int me = add(&c->there, 1), code = 0, i;

	if (me == c->who) {
		for (i = 0; i < c->after; i++)
			co_yield();
		code = -EIO;
	} else if (me % 3 == 0) {
		co_shield()
			test_result(co_sleep(CO_US(10)), 0);
		code = co_sleep(CO_FOREVER);
	} else {
		code = co_sleep(CO_FOREVER);
	}
	add(&c->ended, 1);
	return code;
}

CORO_TEST(one_of_a_thousand_fails_and_all_are_joined_at_once)
{
	uint64_t seed = test_seed();
	int n = (int)test_count(10, 1000), i;
	struct co_scope s;
	struct crowd c;
	co_time from;

	while (n--) {
		c = (struct crowd){ .who = 1 + (int)test_below(&seed, MANY),
			.after = (int)test_below(&seed, 20) };
		from = co_now();
		co_scope(s) {
			for (i = 0; i < MANY; i++)
				if (co_spawn(member, &c) == -EIO)
					break;
			test_result(co_sleep(CO_FOREVER), -EIO);
		}
		test_result(s.status, -EIO);
		ck_assert_int_eq(load(&c.ended), load(&c.there));
		test_between(co_now() - from, 0, CO_SEC(1) * test_slow());
	}
	return 0;
}

/* --- handles ---------------------------------------------------------------- */

enum { HANDLES = 64 };

static struct co_task handles[HANDLES];
static int forked, stop, disturbed;	/* [atomic] */

static int
bystander(void *arg)
{
	(void)arg;
	if (co_sleep(0) != 0 || co_cancelled())
		add(&disturbed, 1);
	co_yield();
	if (co_sleep(0) != 0)
		add(&disturbed, 1);
	return 0;
}

/* They end while they are cancelled; other tasks get their records. */
static int
cancel_all(void *arg)
{
	int i;

	(void)arg;
	while (!load(&stop)) {
		for (i = 0; i < load(&forked); i++)
			co_task_cancel(&handles[i]);
		co_yield();
	}
	return 0;
}

static int
short_lived(void *arg)
{
	int code;

	(void)arg;
	co_yield();
	code = co_sleep(0);
	return code == -ECANCELED ? 0 : code;
}

CORO_TEST(cancelling_who_has_ended_meets_no_other)
{
	int n = (int)test_count(50, 5000), i;
	struct co_scope s;

	disturbed = 0;
	while (n--) {
		forked = stop = 0;
		co_scope(s) {
			test_result(co_spawn(cancel_all, NULL), 0);
			for (i = 0; i < HANDLES; i++) {
				test_result(co_fork(&handles[i], short_lived,
				    NULL), 0);
				add(&forked, 1);
				test_result(co_spawn(bystander, NULL), 0);
				if (i % 4 == 0)
					co_yield();
			}
			for (i = 0; i < HANDLES; i++) {
				test_result(co_join(&handles[i]), 0);
				co_task_cancel(&handles[i]);
				test_result(co_spawn(bystander, NULL), 0);
			}
			__atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
		}
		test_result(s.status, 0);
	}
	ck_assert_int_eq(load(&disturbed), 0);
	return 0;
}

CORO_TEST(a_task_is_cancelled_once_and_hears_it_always)
{
	struct co_task t;
	int heard = 0, i;

	co_task_cancel(NULL);
	co_task_cancel(&(struct co_task){ 0 });
	test_result(co_fork(&t, sleep_on, &heard), 0);
	co_yield();
	for (i = 0; i < 100; i++)
		co_task_cancel(&t);
	test_result(co_join(&t), -ECANCELED);
	co_task_cancel(&t);
	ck_assert_int_eq(heard, 1);
	test_result(co_sleep(1), 0);	/* nobody else */
	return 0;
}

/* --- deadlocks -------------------------------------------------------------- */

static struct co_task tasks[2];

static int
join_other(void *arg)
{
	int code = co_join(arg);

	/* It may be ended only after everybody slept. */
	return code == -ECANCELED ? 7 : code;
}

static int
join_in_a_ring(void *arg)
{
	(void)arg;
	test_result(co_fork(&tasks[0], join_other, &tasks[1]), 0);
	test_result(co_fork(&tasks[1], join_other, &tasks[0]), 0);
	return 0;
}

static int
ring_main(void *arg)
{
	struct co_scope s;

	co_scope(s)
		join_in_a_ring(arg);
	return s.status;
}

static int
join_itself(void *arg)
{
	struct co_task t;

	test_result(co_join(arg), -EDEADLK);
	test_result(co_fork(&t, give, (void *)5), 0);
	test_result(co_join(&t), 5);
	test_result(co_join(&t), -EINVAL);
	return 3;
}

CORO_TEST(a_task_does_not_join_itself)
{
	test_result(co_fork(&tasks[0], join_itself, &tasks[0]), 0);
	test_result(co_join(&tasks[0]), 3);
	return 0;
}

/* A child waits for the task that waits for its children. */
static int
parent_waits(void *arg)
{
	struct co_scope s;

	(void)arg;
	co_scope(s)
		test_result(co_spawn(join_other, &tasks[0]), 0);
	return 0;
}

static int
child_waits_for_parent(void *arg)
{
	struct co_scope s;

	co_scope(s)
		test_result(co_fork(&tasks[0], parent_waits, arg), 0);
	return 0;
}

/* In shields, and in those that are entered later: all are ended. */
static int
hides(void *arg)
{
	int code = 0;

	(void)arg;
	co_shield()
		co_shield()
			code = co_sleep(CO_FOREVER);
	test_result(code, -ECANCELED);
	co_shield()
		test_result(co_sleep(1), -ECANCELED);
	return 0;
}

static int
hidden(void *arg)
{
	struct co_scope s;

	(void)arg;
	co_scope(s, .policy = CO_SUPERVISE) {
		test_result(co_spawn(hides, NULL), 0);
		co_shield()
			test_result(co_spawn(hides, NULL), 0);
	}
	co_shield()
		test_result(co_sleep(CO_FOREVER), -ECANCELED);
	return 0;
}

struct stuck {
	co_fn *fn;
	int workers;
};

static int
run_stuck(void *arg)
{
	struct stuck *k = arg;

	return -test_run(k->workers, k->fn, NULL);
}

TEST(who_waits_in_a_ring_is_told_so)
{
	static co_fn *const fns[] = { ring_main, child_waits_for_parent,
		hidden };
	struct test_child c;
	struct stuck k;
	size_t i;

	FOR_WORKERS(w) {
		for (i = 0; i < 3; i++) {
			k = (struct stuck){ fns[i], w };
			c = test_child(run_stuck, &k);
			ck_assert_msg(c.code == EDEADLK, "%zu: %d, %d, %s", i,
			    c.code, c.signal, c.err);
			test_has(c.err, "deadlock: all coroutines are asleep");
		}
	}
}

/* --- storms ----------------------------------------------------------------- */

struct storm {
	struct co_scope s;
	struct co_event ready;
	int there, most, heard, again;	/* [atomic] */
};

static int
parked(void *arg)
{
	struct storm *m = arg;
	int code;

	if (add(&m->there, 1) == m->most)
		co_event_set(&m->ready);
	code = co_sleep(CO_FOREVER);
	if (code == -ECANCELED)
		add(&m->heard, 1);
	/* Another one would be a second wake-up. */
	co_shield()
		if (co_sleep(1) != 0)
			add(&m->again, 1);
	return 0;
}

static void *
cancel_thread(void *arg)
{
	struct storm *m = arg;
	int i;

	for (i = 0; i < 10; i++)
		co_cancel(&m->s);
	return NULL;
}

static int
storm(void *arg)
{
	int n = (int)test_count(10000, 100000), threads = 64, i;
	pthread_t thread[64];
	struct storm m = { .ready = CO_EVENT_INIT, .most = n };
	co_time from = 0;

	(void)arg;
	co_scope(m.s) {
		for (i = 0; i < n; i++)
			test_result(co_spawn(parked, &m), 0);
		test_result(co_event_wait(&m.ready), 0);
		from = co_now();
		for (i = 0; i < threads; i++)
			ck_assert_int_eq(pthread_create(&thread[i], NULL,
			    cancel_thread, &m), 0);
		test_result(co_sleep(CO_FOREVER), -ECANCELED);
		for (i = 0; i < threads; i++)
			pthread_join(thread[i], NULL);
	}
	/* 2 s are asked for; others use this machine too. */
	test_between(co_now() - from, 0, CO_SEC(TEST_CHAOS ? 30 : 10) *
	    test_slow());
	test_result(m.s.status, -ECANCELED);
	ck_assert_int_eq(m.heard, n);
	ck_assert_int_eq(m.again, 0);
	return 0;
}

TEST(threads_storm_a_scope_and_each_child_hears_it_once, .seconds = 120)
{
	FOR_WORKERS(w)
		test_result(test_run(w, storm, NULL), 0);
}

/* SPDX-License-Identifier: MIT */
/*
 * scope_test.c - scopes: how they are left, what their status is.
 * Spawning into them, and threads in them: scope_spawn_test.c.  Scopes in
 * scopes: scope_tree_test.c.  How each wait is cancelled: cancel_test.c.
 */
#include "harness.h"

#include <limits.h>
#include <signal.h>

#include <weft/chan.h>
#include <weft/io.h>
#include <weft/scope.h>
#include <weft/sync.h>

/* A test whose body is a coroutine, with 1, 2, 4 and 16 workers. */
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

static int done;		/* [atomic] children that have ended */

static int
give(void *arg)
{
	return (int)(intptr_t)arg;
}

static int
nap(void *arg)
{
	int code = co_sleep((co_time)(intptr_t)arg);

	add(&done, 1);
	return code;
}

/* Sleeps until it is cancelled; what it got is its result. */
static int
sleep_on(void *arg)
{
	int code = co_sleep(CO_FOREVER);

	(void)arg;
	add(&done, 1);
	return code;
}

/* The same, but it did what it could. */
static int
sleep_on_well(void *arg)
{
	sleep_on(arg);
	return 0;
}

static void *
ptr(int n)
{
	return (void *)(intptr_t)n;
}

/* --- leaving ---------------------------------------------------------------- */

CORO_TEST(a_block_runs_once_and_ends_after_its_children)
{
	struct co_scope s;
	int runs = 0, i;

	done = 0;
	co_scope(s) {
		runs++;
		for (i = 0; i < 20; i++)
			test_result(co_spawn(nap, ptr(i * 10000)), 0);
	}
	ck_assert_int_eq(runs, 1);
	ck_assert_int_eq(load(&done), 20);
	test_result(s.status, 0);
	co_timeout(CO_SEC(100)) {
		runs++;
		test_result(co_spawn(nap, ptr(100000)), 0);
	}
	ck_assert_int_eq(load(&done), 21);
	co_shield() {
		runs++;
		test_result(co_spawn(nap, ptr(100000)), 0);
	}
	ck_assert_int_eq(load(&done), 22);
	ck_assert_int_eq(runs, 3);
	return 0;
}

enum way { BY_END, BY_BREAK, BY_CONTINUE, BY_RETURN, BY_GOTO, WAYS };

#define LEAVE(way) do { \
	test_result(co_spawn(nap, ptr(50000)), 0); \
	switch (way) { \
	case BY_RETURN: \
		return 5; \
	case BY_GOTO: \
		goto out; \
	default: \
		break; \
	} \
} while (0)

static int
leave_scope(enum way way, struct co_scope *s)
{
	co_scope(*s, .timeout = CO_SEC(100)) {
		LEAVE(way);
		if (way == BY_BREAK)
			break;
		if (way == BY_CONTINUE)
			continue;
	}
out:
	return 5;
}

static int
leave_timeout(enum way way, struct co_scope *s)
{
	(void)s;
	co_timeout(CO_SEC(100)) {
		LEAVE(way);
		if (way == BY_BREAK)
			break;
		if (way == BY_CONTINUE)
			continue;
	}
out:
	return 5;
}

static int
leave_shield(enum way way, struct co_scope *s)
{
	(void)s;
	co_shield() {
		LEAVE(way);
		if (way == BY_BREAK)
			break;
		if (way == BY_CONTINUE)
			continue;
	}
out:
	return 5;
}

/* Out of three blocks at once. */
static int
leave_all(enum way way, struct co_scope *s)
{
	int i;

	for (i = 0; i < 3; i++) {
		co_scope(*s)
			co_timeout(CO_SEC(9))
				co_shield()
					LEAVE(way);
	}
	return 5;
out:
	return 5;
}

CORO_TEST(every_way_out_of_a_block_waits_for_the_children)
{
	static int (*const leave[])(enum way, struct co_scope *) = {
		leave_scope, leave_timeout, leave_shield, leave_all };
	struct co_scope s = { .status = 0 };
	enum way way;
	size_t i;
	int want = 0;

	done = 0;
	for (i = 0; i < 4; i++) {
		for (way = BY_END; way < WAYS; way++) {
			ck_assert_int_eq(leave[i](way, &s), 5);
			want += i == 3 && way < BY_RETURN ? 3 : 1;
			ck_assert_int_eq(load(&done), want);
			ck_assert(!co_cancelled());
		}
	}
	return 0;
}

static int
spawn_siblings(void *arg)
{
	int depth = (int)(intptr_t)arg;

	if (depth > 0) {
		test_result(co_spawn(spawn_siblings, ptr(depth - 1)), 0);
		co_yield();
		test_result(co_spawn(spawn_siblings, ptr(depth - 1)), 0);
	}
	add(&done, 1);
	return 0;
}

CORO_TEST(who_has_no_scope_spawns_into_the_one_it_lives_in)
{
	struct co_scope s;

	done = 0;
	co_scope(s)
		test_result(co_spawn(spawn_siblings, ptr(9)), 0);
	ck_assert_int_eq(load(&done), 1023);
	return 0;
}

CORO_TEST(scopes_by_hand)
{
	struct co_scope a, b;

	done = 0;
	test_result(co_scope_enter(NULL, NULL), -EINVAL);
	test_result(co_scope_leave(NULL), -EINVAL);
	test_result(co_scope_enter(&a, NULL), 0);
	test_result(co_scope_enter(&b, &(struct co_scope_options){
	    .policy = CO_SUPERVISE, .timeout = CO_SEC(100) }), 0);
	test_result(co_scope_leave(&a), -EINVAL);	/* b is inside */
	test_result(co_spawn(nap, ptr(100000)), 0);
	test_result(co_spawn(give, ptr(-EIO)), 0);
	test_result(co_scope_leave(&b), 0);
	ck_assert_int_eq(b.failures, 1);
	ck_assert_int_eq(load(&done), 1);
	test_result(co_spawn(give, ptr(-EIO)), 0);
	test_result(co_scope_leave(&a), -EIO);
	test_result(co_scope_leave(&a), -EINVAL);	/* twice */
	return 0;
}

static int
leave_the_spawners(void *arg)
{
	return co_scope_leave(arg) == -EINVAL ? 0 : -EPROTO;
}

CORO_TEST(nobody_else_leaves_a_scope)
{
	struct co_scope s;

	co_scope(s)
		test_result(co_spawn(leave_the_spawners, &s), 0);
	test_result(s.status, 0);
	return 0;
}

/* --- status ----------------------------------------------------------------- */

CORO_TEST(a_failing_child_cancels_the_rest_and_the_body)
{
	struct co_scope s;

	done = 0;
	co_scope(s) {
		test_result(co_spawn(sleep_on, NULL), 0);
		test_result(co_spawn(sleep_on_well, NULL), 0);
		test_result(co_spawn(give, ptr(-EIO)), 0);
		test_result(co_sleep(CO_FOREVER), -EIO);
		ck_assert(co_cancelled());
		test_result(co_sleep(0), -EIO);
		test_result(co_spawn(give, NULL), -EIO);
	}
	test_result(s.status, -EIO);
	ck_assert_int_eq(load(&done), 2);
	ck_assert(!co_cancelled());
	test_result(co_sleep(0), 0);
	return 0;
}

CORO_TEST(supervised_failures_are_counted_and_end_nothing)
{
	struct co_scope s;
	int i;

	done = 0;
	co_scope(s, .policy = CO_SUPERVISE) {
		for (i = 0; i < 100; i++)
			test_result(co_spawn(give, ptr(i % 2 ? -EIO : 3)), 0);
		test_result(co_spawn(nap, ptr(1000000)), 0);
		test_result(co_sleep(CO_MS(2)), 0);
		ck_assert(!co_cancelled());
	}
	test_result(s.status, 0);
	ck_assert_int_eq(s.failures, 50);
	co_scope(s, .policy = CO_SUPERVISE) {
		test_result(co_spawn(give, ptr(-EIO)), 0);
		co_cancel(&s);
	}
	test_result(s.status, -ECANCELED);
	ck_assert_int_eq(s.failures, 1);
	co_scope(s, .policy = CO_SUPERVISE, .timeout = CO_MS(1))
		test_result(co_spawn(sleep_on, NULL), 0);
	test_result(s.status, -ETIMEDOUT);
	ck_assert_int_eq(s.failures, 1);
	return 0;
}

CORO_TEST(the_first_reason_stays)
{
	struct co_scope s;

	co_scope(s, .timeout = CO_MS(1)) {
		co_cancel(&s);
		test_result(co_sleep(CO_FOREVER), -ECANCELED);
		while (co_now() < s.co__deadline)
			co_yield();
		test_result(co_sleep(CO_FOREVER), -ECANCELED);
		test_result(co_spawn(give, ptr(-EIO)), -ECANCELED);
	}
	test_result(s.status, -ECANCELED);
	co_scope(s, .timeout = CO_MS(1)) {
		test_result(co_spawn(give, ptr(7)), 0);
		test_result(co_sleep(CO_FOREVER), -ETIMEDOUT);
		co_cancel(&s);
		test_result(co_sleep(CO_FOREVER), -ETIMEDOUT);
	}
	test_result(s.status, -ETIMEDOUT);
	co_scope(s) {
		test_result(co_spawn(give, ptr(-EIO)), 0);
		test_result(co_sleep(CO_FOREVER), -EIO);
		co_cancel(&s);
	}
	test_result(s.status, -EIO);
	return 0;
}

/* Every negative int is a failure, and waits give that same code; INT_MIN, which
   means another thing inside, is as INT_MIN + 1. */
CORO_TEST(a_failure_may_be_any_negative_number)
{
	static const int codes[] = { -1, -4095, -32767, -32768, -32769,
		-65536, -65537, -131072, INT_MIN + 1 };
	struct co_scope s, in;
	int code;
	size_t i;

	for (i = 0; i < 2 * sizeof codes / sizeof codes[0]; i++) {
		code = codes[i / 2];
		done = 0;
		co_scope(s) {
			test_result(co_spawn(sleep_on_well, NULL), 0);
			test_result(co_spawn(give, ptr(code == INT_MIN + 1 &&
			    i % 4 < 2 ? INT_MIN : code)), 0);
			test_result(i % 2 ? co_sleep(CO_FOREVER) :
			    co_select(co_on_signal(SIGUSR1)), code);
			co_scope(in) {
				ck_assert(co_cancelled());
				test_result(co_sleep(1), code);
				test_result(co_spawn(give, NULL), code);
			}
			test_result(in.status, code);
			test_result(co_sleep(1), code);
		}
		test_result(s.status, code);
		ck_assert_int_eq(load(&done), 1);
	}
	return 0;
}

static int
outlast(void *arg)
{
	while (!co_cancelled())
		co_yield();
	(void)arg;
	return -EIO;
}

/* The deadline ended no wait: what the child says is the first to be said. */
CORO_TEST(a_failure_after_a_deadline_that_ended_no_wait_is_the_status)
{
	struct co_scope s;

	co_scope(s, .timeout = CO_MS(1))
		test_result(co_spawn(outlast, NULL), 0);
	test_result(s.status, -EIO);
	ck_assert_int_eq(s.failures, 1);
	return 0;
}

CORO_TEST(a_deadline_that_ended_no_wait_is_no_status)
{
	struct co_scope s;

	co_scope(s, .timeout = CO_MS(1))
		co_shield()
			test_result(co_sleep(CO_MS(3)), 0);
	test_result(s.status, 0);
	co_scope(s, .timeout = -1)
		;
	test_result(s.status, 0);
	co_scope(s, .timeout = CO_SEC(100))	/* it is over in time */
		test_result(co_sleep(CO_US(10)), 0);
	test_result(s.status, 0);
	return 0;
}

CORO_TEST(what_an_outer_scope_ended_is_the_status_of_the_inner)
{
	struct co_scope a, b, c;

	co_scope(a, .timeout = CO_MS(1))
		co_scope(b)
			co_scope(c)
				test_result(co_sleep(CO_SEC(9)), -ETIMEDOUT);
	test_result(a.status, -ETIMEDOUT);
	test_result(b.status, -ETIMEDOUT);
	test_result(c.status, -ETIMEDOUT);
	co_scope(a) {
		co_scope(b)
			co_scope(c) {
				co_cancel(&a);
				test_result(co_sleep(0), -ECANCELED);
			}
		test_result(b.status, -ECANCELED);
		test_result(c.status, -ECANCELED);
		co_scope(b)
			;		/* no wait in it was ended */
		test_result(b.status, 0);
	}
	test_result(a.status, -ECANCELED);
	return 0;
}

/* What nobody has met is no reason yet: the first to be met is co_cancel. */
CORO_TEST(who_cancels_what_had_ended_unnoticed_has_the_status)
{
	struct co_scope s;

	co_timeout(0)
		co_scope(s)
			if (co_spawn(give, NULL) < 0)
				co_cancel(&s);
	test_result(s.status, -ECANCELED);
	co_scope(s, .timeout = -1)
		co_cancel(&s);
	test_result(s.status, -ECANCELED);
	co_scope(s, .timeout = -1) {
		test_result(co_sleep(1), -ETIMEDOUT);
		co_cancel(&s);
	}
	test_result(s.status, -ETIMEDOUT);
	return 0;
}

/* The wait was ended by the inner scope; the outer one's deadline, which came
   later, has ended none. */
CORO_TEST(a_wait_that_the_inner_scope_ended_says_nothing_of_the_outer)
{
	struct co_scope a, b;
	bool in_time = false;

	while (!in_time) {
		co_scope(a, .timeout = CO_MS(5)) {
			co_scope(b) {
				co_sleep(CO_US(50));
				co_cancel(&b);
				in_time = co_now() < a.co__deadline;
				while (in_time &&
				    co_now() < a.co__deadline + CO_MS(3))
					co_yield();
				if (in_time)
					test_result(co_sleep(1), -ECANCELED);
			}
			if (in_time)
				test_result(b.status, -ECANCELED);
		}
	}
	test_result(a.status, 0);
	return 0;
}

CORO_TEST(a_durations_expression_is_looked_at_once)
{
	int n = 0;

	co_timeout(CO_SEC(100 + n++))
		test_result(co_sleep(1), 0);
	ck_assert_int_eq(n, 1);
	co_timeout(CO_SEC(100 + n++))
		continue;
	ck_assert_int_eq(n, 2);
	return 0;
}

/* The wait ended with the inner shield; the cancellation outside had no part
   in it, and no wait of the outer scope met it. */
CORO_TEST(a_shield_that_fails_says_nothing_of_what_is_outside)
{
	struct co_scope a, b;

	co_scope(a) {
		co_scope(b) {
			co_cancel(&a);
			co_shield() {
				test_result(co_spawn(give, ptr(-EIO)), 0);
				test_result(co_sleep(CO_FOREVER), -EIO);
			}
		}
		test_result(b.status, 0);
	}
	test_result(a.status, -ECANCELED);
	return 0;
}

CORO_TEST(a_forked_task_fails_for_its_joiner_only)
{
	struct co_task joined, left;
	struct co_scope s;

	co_scope(s) {
		test_result(co_fork(&joined, give, ptr(-EIO)), 0);
		test_result(co_join(&joined), -EIO);
		/* Waited for, not joined. */
		test_result(co_fork(&left, give, ptr(-EIO)), 0);
	}
	test_result(s.status, 0);
	ck_assert_int_eq(s.failures, 0);
	return 0;
}

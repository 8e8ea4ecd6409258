/* SPDX-License-Identifier: MIT */
/*
 * scope_tree_test.c - scopes in scopes: what the end of one does to those
 * inside, deadlines, shields.
 */
#include "harness.h"

#include <limits.h>
#include <pthread.h>

#include <weft/chan.h>
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

static void *
ptr(int n)
{
	return (void *)(intptr_t)n;
}

/* --- trees ------------------------------------------------------------------ */

struct level {
	int depth, most, cut;	/* this one's, the deepest's, whom to cancel */
	struct co_scope *target;	/* set at level `cut` */
	struct co_event *ready;
	int codes[1001];	/* what each level's body got */
	int status[1001];
};

/* One level is a scope, and every third one a coroutine too. */
static int
descend(void *arg)
{
	struct level *l = arg;
	int depth = l->depth++;
	struct co_scope s;

	co_scope(s) {
		if (depth == l->cut)
			l->target = &s;
		if (depth == l->most)
			co_event_set(l->ready);
		else if (depth % 3 == 0)
			test_result(co_spawn(descend, l), 0);
		else
			descend(l);
		l->codes[depth] = co_sleep(CO_FOREVER);
	}
	l->status[depth] = s.status;
	return 0;
}

static void
cut_at(int most, int cut)
{
	struct co_event ready = CO_EVENT_INIT;
	struct level l = { .most = most, .cut = cut, .ready = &ready };
	struct co_scope s, outer;
	int i;

	co_scope(outer) {
		co_scope(s) {
			test_result(co_spawn(descend, &l), 0);
			test_result(co_event_wait(&ready), 0);
			co_cancel(l.target);
			if (cut > 0)
				co_cancel(&s);	/* the rest */
		}
		ck_assert(!co_cancelled());
	}
	test_result(outer.status, 0);
	for (i = 0; i <= most; i++) {
		test_result(l.codes[i], -ECANCELED);
		test_result(l.status[i], -ECANCELED);
	}
}

CORO_TEST(a_cancellation_goes_as_deep_as_the_tree)
{
	static const int depths[] = { 1, 2, 3, 10, 100, 1000 };
	size_t i;

	for (i = 0; i < sizeof depths / sizeof depths[0]; i++) {
		cut_at(depths[i], 0);
		cut_at(depths[i], depths[i] / 2);
	}
	return 0;
}

/* One of three branches of a tree is cut; the others do not notice. */
struct branch {
	struct co_scope *cut;	/* the second one's */
	struct co_event ready, go;
	int there;
};

static int
leaf(void *arg)
{
	struct branch *b = arg;

	if (add(&b->there, 1) == 27)
		co_event_set(&b->ready);
	return co_event_wait(&b->go);
}

static int
middle(void *arg)
{
	struct branch *b = arg;
	struct co_scope s;
	int i;

	co_scope(s)
		for (i = 0; i < 3; i++)
			test_result(co_spawn(leaf, b), 0);
	return s.status;
}

static int
third(void *arg)
{
	struct branch *b = arg;
	struct co_scope s;
	int i;

	co_scope(s) {
		__atomic_store_n(&b->cut, &s, __ATOMIC_SEQ_CST);
		for (i = 0; i < 3; i++)
			test_result(co_spawn(middle, b), 0);
	}
	return s.status;
}

CORO_TEST(exactly_the_subtree_is_cancelled)
{
	struct branch b = { .ready = CO_EVENT_INIT, .go = CO_EVENT_INIT };
	struct co_task t[3];
	struct co_scope s;
	int i;

	co_scope(s) {
		for (i = 0; i < 3; i++) {
			b.cut = NULL;
			test_result(co_fork(&t[i], third, &b), 0);
			while (!__atomic_load_n(&b.cut, __ATOMIC_SEQ_CST))
				co_yield();
		}
		test_result(co_event_wait(&b.ready), 0);
		co_cancel(b.cut);	/* the last one's */
		test_result(co_join(&t[2]), -ECANCELED);
		ck_assert(!co_cancelled());
		co_event_set(&b.go);
		test_result(co_join(&t[0]), 0);
		test_result(co_join(&t[1]), 0);
	}
	test_result(s.status, 0);
	return 0;
}

/* --- deadlines -------------------------------------------------------------- */

CORO_TEST(zero_is_no_deadline_and_negative_ones_have_passed)
{
	struct co_scope s;
	static const co_time passed[] = { -1, -CO_SEC(1), INT64_MIN };
	size_t i;

	co_scope(s, .timeout = 0, .deadline = 0)
		test_result(co_sleep(CO_US(10)), 0);
	test_result(s.status, 0);
	for (i = 0; i < 3; i++) {
		co_scope(s, .timeout = passed[i]) {
			ck_assert(co_cancelled());
			test_result(co_sleep(0), -ETIMEDOUT);
			test_result(co_spawn(give, NULL), -ETIMEDOUT);
		}
		test_result(s.status, -ETIMEDOUT);
		co_scope(s, .deadline = passed[i])
			test_result(co_sleep(CO_FOREVER), -ETIMEDOUT);
		co_timeout(passed[i])
			test_result(co_sleep(1), -ETIMEDOUT);
	}
	co_timeout(0)
		test_result(co_sleep(1), -ETIMEDOUT);
	co_scope(s, .deadline = co_now())
		test_result(co_sleep(1), -ETIMEDOUT);
	co_scope(s, .timeout = CO_FOREVER, .deadline = CO_FOREVER)
		test_result(co_sleep(1), 0);
	co_timeout(CO_FOREVER)
		test_result(co_sleep(1), 0);
	return 0;
}

/* What a sleep without end gives, and that it comes in time. */
#define ENDS_AFTER(ms, code) do { \
	co_time ends__from = co_now(); \
	test_result(co_sleep(CO_FOREVER), code); \
	test_between(co_now() - ends__from, CO_MS(ms) - CO_MS(1) / 2, \
	    CO_MS(ms) + CO_MS(400) * test_slow()); \
} while (0)

CORO_TEST(the_earliest_of_all_deadlines_counts)
{
	struct co_scope s, t;

	co_scope(s, .timeout = CO_MS(4))
		co_scope(t, .timeout = CO_SEC(10))
			ENDS_AFTER(4, -ETIMEDOUT);
	test_result(s.status, -ETIMEDOUT);
	test_result(t.status, -ETIMEDOUT);
	co_scope(s, .timeout = CO_SEC(10)) {
		co_scope(t, .timeout = CO_MS(2))
			ENDS_AFTER(2, -ETIMEDOUT);
		test_result(co_sleep(1), 0);
	}
	test_result(s.status, 0);
	test_result(t.status, -ETIMEDOUT);
	co_scope(s, .timeout = CO_SEC(10), .deadline = co_now() + CO_MS(2))
		ENDS_AFTER(2, -ETIMEDOUT);
	co_scope(s, .timeout = CO_MS(2), .deadline = co_now() + CO_SEC(10))
		ENDS_AFTER(2, -ETIMEDOUT);
	co_timeout(CO_SEC(10))
		co_timeout(CO_MS(2))
			co_timeout(CO_SEC(5))
				ENDS_AFTER(2, -ETIMEDOUT);
	return 0;
}

static int
extend(void *arg)
{
	int code = 0;

	(void)arg;
	co_timeout(CO_SEC(10))
		code = co_sleep(CO_SEC(10));
	ck_assert(co_cancelled());
	return code == -ETIMEDOUT ? 0 : -EPROTO;
}

CORO_TEST(a_child_does_not_extend_the_deadline_it_was_born_under)
{
	struct co_scope s;
	co_time from = co_now();

	co_scope(s, .timeout = CO_MS(3)) {
		test_result(co_spawn(extend, NULL), 0);
		test_result(co_spawn(extend, NULL), 0);
	}
	test_result(s.status, -ETIMEDOUT);
	test_between(co_now() - from, CO_MS(3), CO_SEC(1) * test_slow());
	return 0;
}

/* Many waits in one scope with a deadline, and one that does not end. */
CORO_TEST(one_deadline_serves_many_waits)
{
	struct co_scope s;
	int i, n = 0;

	for (i = 0; i < 20; i++) {
		co_scope(s, .timeout = CO_MS(1))
			while (co_sleep(CO_US(50)) == 0)
				n++;
		test_result(s.status, -ETIMEDOUT);
	}
	ck_assert_int_gt(n, 0);
	return 0;
}

CORO_TEST(who_only_asks_or_yields_notices_the_deadline)
{
	struct co_scope s;

	co_scope(s, .timeout = CO_MS(1))
		while (!co_cancelled())
			;
	test_result(s.status, 0);	/* it ended no wait */
	co_timeout(CO_MS(1)) {
		while (!co_cancelled())
			co_yield();
		test_result(co_sleep(1), -ETIMEDOUT);
	}
	co_scope(s, .timeout = CO_MS(1))
		co_timeout(CO_SEC(9))
			while (co_sleep(0) == 0)
				;
	test_result(s.status, -ETIMEDOUT);
	co_timeout(CO_MS(1))
		while (co_sleep_until(co_now() - 1) == 0)
			;
	return 0;
}

/* --- shields ---------------------------------------------------------------- */

static int
shielded(void *arg)
{
	(void)arg;
	test_result(co_sleep(CO_FOREVER), -ECANCELED);
	ck_assert(co_cancelled());
	co_shield() {
		ck_assert(!co_cancelled());
		test_result(co_sleep(CO_US(100)), 0);
		test_result(co_spawn(nap, ptr(100000)), 0);
		co_timeout(CO_US(50)) {
			test_result(co_sleep(CO_FOREVER), -ETIMEDOUT);
			ck_assert(co_cancelled());
			co_shield()
				test_result(co_sleep(1), 0);
		}
		ck_assert(!co_cancelled());
		test_result(co_sleep(1), 0);
	}
	test_result(co_sleep(1), -ECANCELED);
	return 0;
}

CORO_TEST(in_a_shield_waits_work_and_after_it_they_do_not)
{
	struct co_task t;
	struct co_scope s;

	done = 0;
	co_scope(s) {
		test_result(co_spawn(shielded, NULL), 0);
		test_result(co_fork(&t, shielded, NULL), 0);
		co_yield();
		co_task_cancel(&t);
		test_result(co_join(&t), 0);
		co_cancel(&s);
	}
	test_result(s.status, -ECANCELED);
	ck_assert_int_eq(load(&done), 2);
	return 0;
}

/* A clean-up with a limit of its own; and as it is written without blocks. */
CORO_TEST(a_scope_may_be_a_shield_and_have_a_deadline)
{
	struct co_scope_options o = { .shield = true };
	struct co_scope s, inner, by_hand;

	co_scope(s) {
		co_cancel(&s);
		co_scope(inner, .shield = true, .timeout = CO_MS(1)) {
			test_result(co_sleep(CO_US(100)), 0);
			test_result(co_sleep(CO_FOREVER), -ETIMEDOUT);
		}
		test_result(inner.status, -ETIMEDOUT);
		test_result(co_scope_enter(&by_hand, &o), 0);
		test_result(co_sleep(CO_US(100)), 0);
		co_cancel(&by_hand);
		test_result(co_sleep(1), -ECANCELED);
		test_result(co_scope_leave(&by_hand), -ECANCELED);
		co_scope(inner, .shield = false)
			test_result(co_sleep(1), -ECANCELED);
	}
	test_result(s.status, -ECANCELED);
	return 0;
}

static int
in_shield(void *arg)
{
	struct co_event *ready = arg;
	int code = 0;

	co_shield() {
		co_event_set(&ready[0]);
		code = co_event_wait(&ready[1]);
	}
	test_result(code, 0);
	return co_sleep(1);
}

CORO_TEST(a_cancellation_that_comes_during_a_shield_is_met_after_it)
{
	struct co_event e[2] = { CO_EVENT_INIT, CO_EVENT_INIT };
	struct co_scope s;

	co_scope(s) {
		test_result(co_spawn(in_shield, e), 0);
		test_result(co_event_wait(&e[0]), 0);
		co_cancel(&s);
		co_shield()
			test_result(co_sleep(CO_US(100)), 0);
		co_event_set(&e[1]);
	}
	test_result(s.status, -ECANCELED);
	return 0;
}

CORO_TEST(a_shield_holds_off_outer_deadlines)
{
	struct co_scope s;

	co_scope(s, .timeout = CO_MS(1)) {
		co_shield() {
			test_result(co_sleep(CO_MS(3)), 0);
			ck_assert(!co_cancelled());
		}
		test_result(co_sleep(1), -ETIMEDOUT);
	}
	test_result(s.status, -ETIMEDOUT);
	return 0;
}

/* The code stays the first one that the task's home gave. */
static int
heard_first(void *arg)
{
	struct co_event *e = arg;
	struct co_scope s;

	test_result(co_sleep(CO_FOREVER), -ETIMEDOUT);
	co_shield() {
		co_event_set(&e[0]);
		test_result(co_event_wait(&e[1]), 0);
	}
	test_result(co_sleep(1), -ETIMEDOUT);
	co_scope(s)
		test_result(co_sleep(1), -ETIMEDOUT);
	test_result(co_sleep(1), -ETIMEDOUT);
	return 0;
}

CORO_TEST(cancelling_a_task_whose_scope_had_ended_changes_no_code)
{
	struct co_event e[2] = { CO_EVENT_INIT, CO_EVENT_INIT };
	struct co_task t;
	struct co_scope s;

	co_scope(s, .timeout = CO_MS(1)) {
		test_result(co_fork(&t, heard_first, e), 0);
		co_shield()
			test_result(co_event_wait(&e[0]), 0);
		co_task_cancel(&t);
		co_event_set(&e[1]);
	}
	test_result(s.status, -ETIMEDOUT);
	return 0;
}

/*
 * A deadline, and what another child then does, come due in the same round of
 * timers: the deadline ends two waits, and only then does that child run.
 */
enum { FAILS, CANCELS, FAILS_IN_OUTER, WAYS };

static struct co_scope due;
static co_time due_at, last_began;	/* when both waits had begun, nearly */
static int childs_code;

static int
wait_for_the_end(void)
{
	co_time now = co_now();

	if (now > load(&last_began))
		__atomic_store_n(&last_began, now, __ATOMIC_SEQ_CST);
	return co_sleep(CO_FOREVER);
}

static int
waits(void *arg)
{
	(void)arg;
	childs_code = wait_for_the_end();
	return 0;
}

static int
comes_late(void *arg)
{
	co_shield()
		test_result(co_sleep_until(due_at - CO_US(100)), 0);
	if (*(int *)arg != CANCELS)
		return -71;
	co_cancel(&due);
	return 0;
}

static int
computes(void *arg)
{
	(void)arg;
	co_sleep_until(due_at - CO_MS(2));
	while (co_now() < due_at + CO_MS(1))
		;
	return 0;
}

static int
due_body(int *way)
{
	test_result(co_spawn(waits, NULL), 0);
	test_result(co_spawn(comes_late, way), 0);
	return wait_for_the_end();
}

/* Gives what the wait of the body was told. */
static int
run_way(int way)
{
	struct co_scope busy, outer;
	int code = 0;

	last_began = 0;
	due_at = co_now() + CO_MS(40);
	co_scope(busy) {
		test_result(co_spawn(computes, NULL), 0);
		if (way == FAILS_IN_OUTER)
			co_scope(outer, .deadline = due_at)
				co_scope(due)
					code = due_body(&way);
		else
			co_scope(due, .deadline = due_at)
				code = due_body(&way);
	}
	return code;
}

/* An end that no wait has met yet is no status: again, if one began so late. */
static int
status_of_the_first(void *arg)
{
	int way, code;

	(void)arg;
	for (way = 0; way < WAYS; way++) {
		do
			code = run_way(way);
		while (last_began > due_at - CO_MS(20));
		ck_assert_int_lt(code, 0);
		test_result(childs_code, code);
		test_result(due.status, code);
	}
	return 0;
}

TEST(the_status_is_what_the_waits_were_told)
{
	FOR_WORKERS(w)
		test_result(test_run(w, status_of_the_first, NULL), 0);
}

CORO_TEST(who_only_yields_hears_of_a_deadline)
{
	chan(int) c = chan_new(int, 1);
	int code = 0, v;

	ck_assert_ptr_nonnull(c);
	co_timeout(CO_MS(1)) {
		while (code == 0) {
			code = chan_send(c, 1);
			if (code == 0)
				code = chan_recv(c, &v);
			co_yield();
		}
	}
	test_result(code, -ETIMEDOUT);
	chan_unref(c);
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * cancel_matrix_test.c - every wait, ended in every way at every moment.
 *
 * The matrix: kinds of waits x ways to end one (by a sibling, a failing
 * sibling, co_task_cancel, a plain thread, a deadline) x moments (before it
 * begins, although it could complete; while it is parked; just when it
 * completes).  A wait that failed had no effect: so afterwards the same wait,
 * undisturbed, must complete with what the first one left.
 */
#include "cancel_waits.h"

#include <time.h>

#define load(p)		__atomic_load_n((p), __ATOMIC_SEQ_CST)
#define store(p, n)	__atomic_store_n((p), (n), __ATOMIC_SEQ_CST)

/* --- ways to end it, and moments -------------------------------------------- */

enum way { BY_SIBLING, BY_FAILURE, BY_TASK_CANCEL, BY_THREAD, BY_DEADLINE,
	WAYS };
enum moment { BEFORE, PARKED, RACE, MOMENTS };

static struct attempt {
	const struct kind *k;
	enum way way;
	enum moment moment;
	struct co_scope s;
	pthread_t thread;
	bool has_thread;
	int in;			/* [atomic] the wait is about to begin */
	int go;			/* [atomic] it may */
	int code;
} a;

static int
ender(void *arg)
{
	(void)arg;
	if (a.moment == PARKED)
		pause_a_little();
	if (a.way == BY_FAILURE)
		return -EIO;
	co_cancel(&a.s);
	return 0;
}

static void *
ender_thread(void *arg)
{
	struct timespec nap = { 0, 200000 };

	if (a.moment == PARKED)
		nanosleep(&nap, NULL);
	ender(NULL);
	return arg;
}

/* Inside the scope, before the wait. */
static void
prepare_end(void)
{
	switch (a.way) {
	case BY_SIBLING:
		if (co_inside()) {
			test_result(co_spawn(ender, NULL), 0);
			break;
		}
		/* fallthrough */
	case BY_THREAD:
		ck_assert_int_eq(pthread_create(&a.thread, NULL, ender_thread,
		    NULL), 0);
		a.has_thread = true;
		break;
	case BY_FAILURE:
		test_result(co_spawn(ender, NULL), 0);
		break;
	case BY_TASK_CANCEL:
	case BY_DEADLINE:
	default:
		break;
	}
	store(&a.in, 1);
	if (a.moment == BEFORE) {
		while (!co_cancelled())
			co_yield();
	} else if (a.way == BY_TASK_CANCEL) {
		while (!load(&a.go))
			co_yield();
	}
}

static int
attempt(void *arg)
{
	co_time t = a.way != BY_DEADLINE ? 0 : a.moment == BEFORE ? -1 :
	    a.moment == PARKED ? CO_US(500) : CO_US(30);

	(void)arg;
	co_scope(a.s, .timeout = t) {
		prepare_end();
		a.code = a.k->wait();
		if (a.has_thread)
			pthread_join(a.thread, NULL);
	}
	return 0;
}

static void
run_attempt(void)
{
	struct co_task t;

	a.in = a.go = 0;
	a.has_thread = false;
	if (a.way != BY_TASK_CANCEL) {
		attempt(NULL);
		return;
	}
	test_result(co_fork(&t, attempt, NULL), 0);
	while (!load(&a.in))
		co_yield();
	store(&a.go, a.moment != BEFORE);
	if (a.moment == PARKED)
		pause_a_little();
	co_task_cancel(&t);
	test_result(co_join(&t), 0);
}

static int
code_of(enum way way)
{
	return way == BY_DEADLINE ? -ETIMEDOUT : way == BY_FAILURE ? -EIO :
	    -ECANCELED;
}

/* One cell of the matrix. */
static void
cell(const struct kind *k, enum way way, enum moment moment)
{
	bool raced = moment == RACE;
	struct background b;
	int code;

	a.k = k;
	a.way = way;
	a.moment = moment;
	if (k->init)
		k->init();
	if (k->finish && moment != PARKED) {
		start(&b, k->finish);
		if (!raced)
			pause_a_little();
	}
	run_attempt();
	code = a.code;
	ck_assert_msg(code == code_of(way) || (raced && code == 0),
	    "%s, way %d, moment %d: %d", k->name, way, moment, code);
	ck_assert_msg(code == 0 || a.s.status == code,
	    "%s, way %d, moment %d: status %d", k->name, way, moment,
	    a.s.status);
	if (k->finish && moment == PARKED)
		start(&b, k->finish);
	if (k->finish) {
		if (code != 0) {
			code = k->wait();
			ck_assert_msg(code == 0, "%s, way %d, moment %d, the "
			    "second time: %d", k->name, way, moment, code);
		}
		finish(&b);
	}
	if (k->fini)
		k->fini();
}

static int
matrix(void *arg)
{
	enum moment moment = (enum moment)(intptr_t)arg;
	int i, n = moment == RACE ? (int)test_count(20, 2000) : 1;
	bool plain = !co_inside();
	enum way way;
	size_t k;

	for (k = 0; k < (plain ? THREAD_KINDS : KINDS); k++) {
		for (way = 0; way < WAYS; way++) {
			if (plain && (way == BY_FAILURE ||
			    way == BY_TASK_CANCEL))
				continue;
			if (moment == RACE && !kinds[k].finish)
				continue;
			for (i = 0; i < n; i++)
				cell(&kinds[k], way, moment);
		}
	}
	return 0;
}

TEST(a_wait_in_a_scope_that_has_ended_fails_even_if_it_could_complete)
{
	FOR_WORKERS(w)
		test_result(test_run(w, matrix, (void *)BEFORE), 0);
	matrix((void *)BEFORE);
}

TEST(a_parked_wait_is_ended_and_has_had_no_effect)
{
	FOR_WORKERS(w)
		test_result(test_run(w, matrix, (void *)PARKED), 0);
	matrix((void *)PARKED);
}

TEST(a_wait_that_is_ended_as_it_completes_did_all_or_nothing)
{
	FOR_WORKERS(w)
		test_result(test_run(w, matrix, (void *)RACE), 0);
	matrix((void *)RACE);
}

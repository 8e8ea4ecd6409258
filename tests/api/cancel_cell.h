/* SPDX-License-Identifier: MIT */
/*
 * cancel_cell.h - a wait that is ended in every way at every moment.
 *
 * The matrix: kinds of waits x ways to end one (by a sibling, a failing
 * sibling, co_task_cancel, a plain thread, a deadline) x moments (before it
 * begins, although it could complete; while it is parked; just when it
 * completes).  A wait that failed is over soon, with the code of that end, and
 * so is every later one in the same scope.  It had no effect: so afterwards the
 * same wait, undisturbed, must complete with what the first one left.
 *
 * Used by the cancel_*_test.c that have a table of kinds.
 */
#ifndef WEFT_TESTS_CANCEL_CELL_H
#define WEFT_TESTS_CANCEL_CELL_H

#include "harness.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

#include <weft/scope.h>

#define load(p)		__atomic_load_n((p), __ATOMIC_SEQ_CST)
#define store(p, n)	__atomic_store_n((p), (n), __ATOMIC_SEQ_CST)

/* --- something in the background: a coroutine, or a thread ------------------ */

struct background {
	struct co_task task;
	pthread_t thread;
	bool is_thread;
	int (*fn)(void);
	int result;
};

static int
run_task(void *arg)
{
	struct background *b = arg;

	return b->fn();
}

static void *
run_thread(void *arg)
{
	struct background *b = arg;

	b->result = b->fn();
	return NULL;
}

static void
start(struct background *b, int (*fn)(void))
{
	b->fn = fn;
	b->is_thread = !co_inside();
	if (b->is_thread)
		ck_assert_int_eq(pthread_create(&b->thread, NULL, run_thread,
		    b), 0);
	else
		test_result(co_fork(&b->task, run_task, b), 0);
}

static void
finish(struct background *b)
{
	if (b->is_thread)
		pthread_join(b->thread, NULL);
	else
		b->result = co_join(&b->task);
	test_result(b->result, 0);
}

static void
pause_a_little(void)
{
	int i;

	for (i = 0; i < 5; i++)
		co_yield();
}

/* --- a kind of wait --------------------------------------------------------- */

struct kind {
	const char *name;
	void (*init)(void);	/* NULL: nothing */
	int (*wait)(void);	/* the wait: 0, or its code */
	int (*finish)(void);	/* makes one wait complete; NULL: never */
	void (*fini)(void);	/* NULL: nothing; checks what is left */
};

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
	co_time when, back;	/* it was ended, it returned */
	int code, again;	/* of a second wait in the same scope */
} a;

static int
ender(void *arg)
{
	(void)arg;
	if (a.moment == PARKED)
		pause_a_little();
	a.when = co_now();
	if (a.way == BY_FAILURE)
		return -EIO;
	co_cancel(&a.s);
	return 0;
}

static void *
ender_thread(void *arg)
{
	struct timespec nap = { 0, 200000 };
	sigset_t all;

	/* A signal that comes upon it as it ends is lost, says TSan. */
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
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
	if (a.way == BY_DEADLINE)
		a.when = co_now() + t;
	co_scope(a.s, .timeout = t) {
		prepare_end();
		a.code = a.k->wait();
		a.back = co_now();
		a.again = a.code ? a.k->wait() : 0;
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
	a.when = co_now();
	co_task_cancel(&t);
	test_result(co_join(&t), 0);
}

static int
code_of(enum way way)
{
	return way == BY_DEADLINE ? -ETIMEDOUT : way == BY_FAILURE ? -EIO :
	    -ECANCELED;
}

/* How the wait of a cell was ended. */
static void
check_end(void)
{
	const char *name = a.k->name;
	int code = a.code;

	ck_assert_msg(code == code_of(a.way) || (a.moment == RACE && code == 0),
	    "%s, way %d, moment %d: %d", name, a.way, a.moment, code);
	if (code == 0)
		return;
	ck_assert_msg(a.s.status == code, "%s, way %d, moment %d: status %d",
	    name, a.way, a.moment, a.s.status);
	ck_assert_msg(a.again == code, "%s, way %d, moment %d: then %d", name,
	    a.way, a.moment, a.again);
	ck_assert_msg(a.when <= a.back &&
	    a.back - a.when < TEST_SOON, "%s, way %d, moment %d: "
	    "%lld us after", name, a.way, a.moment,
	    (long long)(a.back - a.when) / 1000);
}

/* One cell of the matrix. */
static void
cell(const struct kind *k, enum way way, enum moment moment)
{
	struct background b;
	int code;

	a.k = k;
	a.way = way;
	a.moment = moment;
	if (k->init)
		k->init();
	if (k->finish && moment != PARKED) {
		start(&b, k->finish);
		if (moment == BEFORE)
			pause_a_little();
	}
	run_attempt();
	check_end();
	if (k->finish && moment == PARKED)
		start(&b, k->finish);
	if (k->finish) {
		code = a.code ? k->wait() : 0;
		ck_assert_msg(code == 0, "%s, way %d, moment %d, undisturbed: "
		    "%d", k->name, way, moment, code);
		finish(&b);
	}
	if (k->fini)
		k->fini();
}

struct matrix {
	const struct kind *kinds, *inside;
	enum moment moment;
};

static void
rows(const struct kind *k, enum moment moment)
{
	int i, n = moment == RACE ? (int)test_count(20, 2000) : 1;
	bool plain = !co_inside();
	enum way way;

	for (; k->name; k++) {
		if (moment == RACE && !k->finish)
			continue;
		for (way = 0; way < WAYS; way++) {
			if (plain && (way == BY_FAILURE ||
			    way == BY_TASK_CANCEL))
				continue;
			for (i = 0; i < n; i++)
				cell(k, way, moment);
		}
	}
}

static int
matrix(void *arg)
{
	const struct matrix *m = arg;

	rows(m->kinds, m->moment);
	if (m->inside && co_inside())
		rows(m->inside, m->moment);
	return 0;
}

/* In coroutines, with one thread for jobs, and in a plain thread, which cannot
   wait for what is in the second table, if any.  The last row of each has no
   name. */
static void
run_matrix(const struct kind *kinds, const struct kind *inside,
    enum moment moment)
{
	struct matrix m = { kinds, inside, moment };

	FOR_WORKERS(w) {
		struct co_options o = { .workers = w, .blocking_threads = 1 };

		test_result(co_run(&o, matrix, &m), 0);
	}
	matrix(&m);
}

#endif

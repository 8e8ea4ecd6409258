/* SPDX-License-Identifier: MIT */
/*
 * mutex_test.c - co_mutex and co_locked.  Cancellation: sync_test.c.
 */
#include "harness.h"

#include <pthread.h>
#include <signal.h>

#include <weft/scope.h>
#include <weft/sync.h>

static struct co_mutex m;
static long count;		/* under m */
static int order[1000], n_order;	/* under m */

/* All that is runnable has had a turn. */
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
	m = (struct co_mutex)CO_MUTEX_INIT;
	test_result(co_mutex_lock(&m), 0);
	test_result(co_mutex_try_lock(&m), -EAGAIN);
	test_result(co_mutex_unlock(&m), 0);
	test_result(co_mutex_try_lock(&m), 0);
	test_result(co_mutex_unlock(&m), 0);
	return 0;
}

TEST(lock_try_and_unlock)
{
	FOR_WORKERS(w)
		test_result(test_run(w, basics, NULL), 0);
	test_result(basics(NULL), 0);
}

/* --- order ---------------------------------------------------------------- */

static int
note_in_order(void *arg)
{
	int code = co_mutex_lock(&m);

	if (code)
		return code;
	order[n_order++] = (int)(intptr_t)arg;
	return co_mutex_unlock(&m);
}

static int
in_order(void *arg)
{
	intptr_t i, n = 200;
	struct co_scope s;

	(void)arg;
	m = (struct co_mutex)CO_MUTEX_INIT;
	n_order = 0;
	co_scope(s) {
		test_result(co_mutex_lock(&m), 0);
		for (i = 0; i < n; i++) {
			test_result(co_spawn(note_in_order, (void *)i), 0);
			settle();
		}
		ck_assert_int_eq(n_order, 0);
		test_result(co_mutex_unlock(&m), 0);
	}
	ck_assert_int_eq(n_order, n);
	for (i = 0; i < n; i++)
		ck_assert_int_eq(order[i], i);
	return 0;
}

TEST(waiters_get_it_in_the_order_in_which_they_came)
{
	test_result(test_run(1, in_order, NULL), 0);
}

static int
overtake(void *arg)
{
	struct co_scope s;
	int i;

	(void)arg;
	m = (struct co_mutex)CO_MUTEX_INIT;
	n_order = 0;
	co_scope(s) {
		test_result(co_mutex_lock(&m), 0);
		test_result(co_spawn(note_in_order, NULL), 0);
		settle();
		test_result(co_mutex_unlock(&m), 0);
		test_result(co_mutex_try_lock(&m), -EAGAIN);
		test_result(co_mutex_lock(&m), 0);
		i = n_order;
		test_result(co_mutex_unlock(&m), 0);
	}
	ck_assert_int_eq(i, 1);
	return 0;
}

TEST(who_unlocks_and_locks_again_does_not_overtake_a_waiter)
{
	test_result(test_run(1, overtake, NULL), 0);
}

/* Of ten waiters every other one is cancelled; the rest keep their order. */
static int
some_leave(void *arg)
{
	struct co_task t[10];
	intptr_t i;

	(void)arg;
	m = (struct co_mutex)CO_MUTEX_INIT;
	n_order = 0;
	test_result(co_mutex_lock(&m), 0);
	for (i = 0; i < 10; i++) {
		test_result(co_fork(&t[i], note_in_order, (void *)i), 0);
		settle();
	}
	for (i = 0; i < 10; i += 2)
		co_task_cancel(&t[i]);
	test_result(co_mutex_unlock(&m), 0);
	for (i = 0; i < 10; i++)
		test_result(co_join(&t[i]), i % 2 ? 0 : -ECANCELED);
	ck_assert_int_eq(n_order, 5);
	for (i = 0; i < 5; i++)
		ck_assert_int_eq(order[i], 2 * i + 1);
	test_result(co_mutex_try_lock(&m), 0);
	test_result(co_mutex_unlock(&m), 0);
	return 0;
}

TEST(cancelled_waiters_are_passed_over)
{
	test_result(test_run(1, some_leave, NULL), 0);
}

/* --- many ----------------------------------------------------------------- */

struct crowd {
	int tasks, rounds;
	bool yields;
};

static int
add_many(void *arg)
{
	const struct crowd *c = arg;
	long was;
	int i;

	for (i = 0; i < c->rounds; i++) {
		test_result(co_mutex_lock(&m), 0);
		was = count;
		if (c->yields && i % 4 == 0)
			co_yield();
		count = was + 1;
		test_result(co_mutex_unlock(&m), 0);
	}
	return 0;
}

static void *
add_many_thread(void *arg)
{
	add_many(arg);
	return NULL;
}

static int
crowd_run(void *arg)
{
	const struct crowd *c = arg;
	struct co_scope s;
	int i;

	co_scope(s)
		for (i = 0; i < c->tasks; i++)
			test_result(co_spawn(add_many, arg), 0);
	return s.status;
}

TEST(it_excludes_many_tasks_on_many_workers)
{
	struct crowd c = { 50, (int)test_count(200, 10000), true };

	FOR_WORKERS(w) {
		m = (struct co_mutex)CO_MUTEX_INIT;
		count = 0;
		test_result(test_run(w, crowd_run, &c), 0);
		ck_assert_int_eq(count, (long)c.tasks * c.rounds);
	}
}

TEST(it_excludes_threads_and_coroutines_together)
{
	struct crowd c = { 4, (int)test_count(300, 10000), false };
	pthread_t threads[3];
	int i;

	FOR_WORKERS(w) {
		m = (struct co_mutex)CO_MUTEX_INIT;
		count = 0;
		for (i = 0; i < 3; i++)
			ck_assert(!pthread_create(&threads[i], NULL,
			    add_many_thread, &c));
		test_result(test_run(w, crowd_run, &c), 0);
		for (i = 0; i < 3; i++)
			ck_assert(!pthread_join(threads[i], NULL));
		ck_assert_int_eq(count, (long)(c.tasks + 3) * c.rounds);
	}
}

/* --- freed by who locked it last ------------------------------------------ */

struct shared {
	struct co_mutex m;
	int users;
};

static int
use_and_free(void *arg)
{
	struct shared *x = arg;
	bool last;

	test_result(co_mutex_lock(&x->m), 0);
	last = --x->users == 0;
	test_result(co_mutex_unlock(&x->m), 0);
	if (last) {
		memset(x, 0xa5, sizeof *x);
		free(x);
	}
	return 0;
}

static int
free_often(void *arg)
{
	uint64_t n = test_count(500, 100000), i;
	struct shared *x;
	struct co_scope s;
	int j;

	(void)arg;
	for (i = 0; i < n; i++) {
		x = malloc(sizeof *x);
		x->m = (struct co_mutex)CO_MUTEX_INIT;
		x->users = 4;
		co_scope(s)
			for (j = 0; j < 4; j++)
				test_result(co_spawn(use_and_free, x), 0);
	}
	return 0;
}

TEST(the_last_to_unlock_may_free_it)
{
	FOR_WORKERS(w)
		test_result(test_run(w, free_often, NULL), 0);
}

/* --- misuse --------------------------------------------------------------- */

static int
unlock_it(void *arg)
{
	(void)arg;
	return co_mutex_unlock(&m);
}

static int
unlock_unlocked(void *arg)
{
	(void)arg;
	m = (struct co_mutex)CO_MUTEX_INIT;
	return -co_mutex_unlock(&m);
}

static int
unlock_anothers(void *arg)
{
	struct co_task t;
	int code;

	(void)arg;
	m = (struct co_mutex)CO_MUTEX_INIT;
	test_result(co_mutex_lock(&m), 0);
	test_result(co_fork(&t, unlock_it, NULL), 0);
	code = co_join(&t);
	test_result(co_mutex_try_lock(&m), -EAGAIN);
	test_result(co_mutex_unlock(&m), 0);
	return -code;
}

static int
run_unlock_anothers(void *arg)
{
	return test_run(1, unlock_anothers, arg);
}

/* -EPERM and no effect, or a debug build's death with words. */
static void
check_misuse(int (*fn)(void *), const char *words)
{
	struct test_child c = test_child(fn, NULL);

	if (c.signal == SIGABRT)
		test_has(c.err, words);
	else
		ck_assert_int_eq(c.code, EPERM);
}

TEST(unlocking_what_is_not_locked_is_refused)
{
	check_misuse(unlock_unlocked, "co_mutex_unlock: nobody holds it");
}

TEST(unlocking_what_another_locked_is_refused)
{
	check_misuse(run_unlock_anothers, "co_mutex_unlock: coroutine ");
}

/* --- co_locked ------------------------------------------------------------ */

static bool
is_free(void)
{
	int code = co_mutex_try_lock(&m);

	return code == 0 && co_mutex_unlock(&m) == 0;
}

static int
leave_by_return(void)
{
	co_locked(&m) {
		count = is_free();
		return 7;
	}
	return 0;
}

static int
locked_block(void *arg)
{
	struct co_mutex inner = CO_MUTEX_INIT, *p = &m;
	struct co_scope s;
	int runs = 0, i;

	(void)arg;
	m = (struct co_mutex)CO_MUTEX_INIT;
	co_locked(p++) {
		runs++;
		ck_assert(!is_free());
	}
	ck_assert_ptr_eq(p, &m + 1);		/* evaluated once */
	ck_assert(is_free());
	co_locked(&m) {
		runs++;
		break;
	}
	ck_assert(is_free());
	for (i = 0; i < 3; i++) {
		co_locked(&m) {
			co_locked(&inner) {
				runs++;
				if (i == 2)
					goto out;
				continue;
			}
		}
	}
out:
	ck_assert(is_free());
	test_result(co_mutex_try_lock(&inner), 0);
	ck_assert_int_eq(runs, 5);
	test_result(leave_by_return(), 7);
	ck_assert_int_eq(count, 0);
	ck_assert(is_free());
	co_scope(s) {
		co_cancel(&s);
		co_locked(&m)
			runs++;
		ck_assert(co_cancelled());
	}
	ck_assert_int_eq(runs, 5);
	ck_assert(is_free());
	return 0;
}

TEST(co_locked_unlocks_however_it_is_left_and_is_skipped_when_cancelled)
{
	FOR_WORKERS(w)
		test_result(test_run(w, locked_block, NULL), 0);
	test_result(locked_block(NULL), 0);
}

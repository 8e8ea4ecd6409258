/* SPDX-License-Identifier: MIT */
/*
 * scope_spawn_test.c - who may spawn into a scope, and plain threads in scopes.
 */
#include "harness.h"

#include <pthread.h>
#include <time.h>

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

static int
give(void *arg)
{
	return (int)(intptr_t)arg;
}

static int
sleep_on_well(void *arg)
{
	(void)arg;
	return co_sleep(CO_FOREVER) == -ECANCELED ? 0 : -EPROTO;
}

static void *
ptr(int n)
{
	return (void *)(intptr_t)n;
}

/* --- spawning into a given scope -------------------------------------------- */

struct given {
	struct co_scope *outer;
	struct co_event go;
};

static int
wait_for(void *arg)
{
	return co_event_wait(arg);
}

/* Spawns into the scope outside, and is itself over before that child is. */
static int
spawn_outside(void *arg)
{
	struct given *g = arg;
	struct co_spawn_options o = { .scope = g->outer };
	struct co_scope s;

	co_scope(s)
		test_result(co_spawn_with(&o, wait_for, &g->go), 0);
	test_result(s.status, 0);
	return 0;
}

CORO_TEST(a_child_may_be_given_to_a_scope_further_out)
{
	struct given g = { .go = CO_EVENT_INIT };
	struct co_scope outer, s;

	g.outer = &outer;
	co_scope(outer) {
		co_scope(s)
			test_result(co_spawn(spawn_outside, &g), 0);
		test_result(s.status, 0);
		co_event_set(&g.go);
	}
	test_result(outer.status, 0);
	co_scope(outer) {
		co_event_reset(&g.go);
		co_scope(s)
			test_result(co_spawn(spawn_outside, &g), 0);
		co_cancel(&outer);
	}
	test_result(outer.status, -ECANCELED);
	return 0;
}

CORO_TEST(a_scope_that_has_ended_takes_no_child)
{
	struct co_spawn_options o;
	struct co_scope outer, s;
	struct co_task t;

	o = (struct co_spawn_options){ .scope = &outer };
	co_scope(outer) {
		co_scope(s) {
			co_cancel(&s);
			test_result(co_spawn(give, NULL), -ECANCELED);
			test_result(co_fork(&t, give, NULL), -ECANCELED);
			test_result(co_spawn_with(&o, give, NULL), 0);
		}
		co_cancel(&outer);
		co_shield() {
			test_result(co_spawn(give, NULL), 0);
			test_result(co_spawn_with(&o, give, NULL), -ECANCELED);
		}
	}
	test_result(s.status, -ECANCELED);
	return 0;
}

/* Children that go on spawning siblings while the scope is left: refused, or
   run and waited for. */
struct breeder {
	int born, ended, refused;	/* [atomic] */
};

static int
breed(void *arg)
{
	struct breeder *b = arg;
	int i, code;

	for (i = 0; i < 3 && load(&b->born) < 500; i++) {
		code = co_spawn(breed, b);
		if (code == 0)
			add(&b->born, 1);
		else if (code == -ECANCELED)
			add(&b->refused, 1);
		else
			return code;
		co_yield();
	}
	add(&b->ended, 1);
	return 0;
}

static int
cancel_it(void *arg)
{
	int i;

	for (i = 0; i < 20; i++)
		co_yield();
	co_cancel(arg);
	return 0;
}

CORO_TEST(siblings_spawned_while_a_scope_is_left_are_waited_for)
{
	struct breeder b;
	struct co_scope s;
	int i, n = (int)test_count(50, 5000);

	for (i = 0; i < n; i++) {
		b = (struct breeder){ .born = 1 };
		co_scope(s) {
			test_result(co_spawn(breed, &b), 0);
			if (i % 2)
				test_result(co_spawn(cancel_it, &s), 0);
		}
		ck_assert_int_eq(load(&b.born), load(&b.ended));
		test_result(s.status, i % 2 ? -ECANCELED : 0);
		ck_assert(i % 2 || b.refused == 0);
	}
	return 0;
}

/* --- plain threads ---------------------------------------------------------- */

static void *
cancel_soon(void *arg)
{
	struct timespec nap_for = { 0, 2000000 };

	nanosleep(&nap_for, NULL);
	co_cancel(arg);
	return NULL;
}

static void
thread_scopes(void)
{
	struct co_scope s, t;
	pthread_t other;
	int runs = 0;

	test_result(co_spawn(give, NULL), -EINVAL);
	ck_assert(!co_cancelled());
	co_scope(s, .timeout = CO_SEC(60)) {
		runs++;
		test_result(co_spawn(give, NULL), -EINVAL);
		test_result(co_sleep(1), 0);
	}
	test_result(s.status, 0);
	co_scope(s, .timeout = CO_MS(2)) {
		runs++;
		test_result(co_sleep(CO_FOREVER), -ETIMEDOUT);
		ck_assert(co_cancelled());
		test_result(co_sleep(1), -ETIMEDOUT);
		co_shield() {
			ck_assert(!co_cancelled());
			test_result(co_sleep(1), 0);
			co_timeout(CO_MS(1))
				test_result(co_sleep(CO_FOREVER), -ETIMEDOUT);
		}
		test_result(co_sleep(1), -ETIMEDOUT);
	}
	test_result(s.status, -ETIMEDOUT);
	co_scope(s) {
		runs++;
		ck_assert_int_eq(pthread_create(&other, NULL, cancel_soon,
		    &s), 0);
		co_scope(t)
			test_result(co_sleep(CO_FOREVER), -ECANCELED);
		test_result(t.status, -ECANCELED);
		test_result(co_sleep(1), -ECANCELED);
		pthread_join(other, NULL);
	}
	test_result(s.status, -ECANCELED);
	ck_assert_int_eq(runs, 3);
	co_scope(s, .timeout = CO_MS(1))
		while (!co_cancelled())
			;
	test_result(s.status, 0);
	test_result(co_sleep(1), 0);
}

static void *
thread_main(void *arg)
{
	thread_scopes();
	return arg;
}

TEST(scopes_work_in_a_plain_thread)
{
	pthread_t t[4];
	int i;

	thread_scopes();
	for (i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, thread_main,
		    NULL), 0);
	for (i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
}

/* Beside a runtime, in both directions: who cancels has never used weft. */
static int
cancelled_by_thread(void *arg)
{
	struct co_scope s;
	pthread_t other;
	int i;

	(void)arg;
	for (i = 0; i < 5; i++) {
		co_scope(s) {
			test_result(co_spawn(sleep_on_well, NULL), 0);
			ck_assert_int_eq(pthread_create(&other, NULL,
			    cancel_soon, &s), 0);
			test_result(co_sleep(CO_FOREVER), -ECANCELED);
			pthread_join(other, NULL);
		}
		test_result(s.status, -ECANCELED);
	}
	return 0;
}

TEST(a_thread_that_never_used_weft_cancels)
{
	FOR_WORKERS(w)
		test_result(test_run(w, cancelled_by_thread, NULL), 0);
}

/* The scope of a thread is no home for the coroutines of a runtime: nothing
   would be left to wait for them. */
static int
spawn_into(void *arg)
{
	struct co_spawn_options o = { .scope = arg };

	return co_spawn_with(&o, give, NULL);
}

TEST(no_coroutine_lives_in_a_threads_scope)
{
	struct co_scope s;

	co_scope(s)
		FOR_WORKERS(w)
			test_result(test_run(w, spawn_into, &s), -EINVAL);
	test_result(s.status, 0);
}

TEST(a_thread_in_a_scope_runs_a_runtime)
{
	struct co_scope s;

	co_scope(s, .timeout = CO_SEC(100)) {
		FOR_WORKERS(w)
			test_result(test_run(w, give, ptr(3)), 3);
		test_result(co_sleep(1), 0);
		co_cancel(&s);
		test_result(test_run(2, give, ptr(3)), 3);
		test_result(co_sleep(1), -ECANCELED);
	}
	test_result(s.status, -ECANCELED);
}

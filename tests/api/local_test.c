/* SPDX-License-Identifier: MIT */
/*
 * local_test.c - task-local values: zero at first, inherited, one's own.
 */
#include "harness.h"

#include <pthread.h>

#include <weft/chan.h>
#include <weft/scope.h>

#define CORO_TEST(name) \
	static int name##_body(void *arg); \
	TEST(name) \
	{ \
		FOR_WORKERS(w) \
			test_result(test_run(w, name##_body, NULL), 0); \
	} \
	static int name##_body(void *arg __attribute__((unused)))

struct big {
	long double first;	/* wants its alignment */
	char bytes[3000];
	int last;
};

CO_LOCAL(int, number);
CO_LOCAL(int, other);
CO_LOCAL(char, letter);
CO_LOCAL(const char *, name);
CO_LOCAL(struct big, big);
CO_LOCAL(double, real);

static struct big
big_of(int n)
{
	struct big b;

	memset(&b, n, sizeof b);
	b.first = n;
	b.last = n;
	return b;
}

static void
set_all(int n)
{
	test_result(co_local_set(number, n), 0);
	test_result(co_local_set(letter, (char)('a' + n % 26)), 0);
	test_result(co_local_set(name, n % 2 ? "odd" : "even"), 0);
	test_result(co_local_set(big, big_of(n)), 0);
	test_result(co_local_set(real, n / 2.0), 0);
}

static void
check_all(int n)
{
	struct big b = co_local_get(big);

	ck_assert_int_eq(co_local_get(number), n);
	ck_assert_int_eq(co_local_get(letter), 'a' + n % 26);
	ck_assert_str_eq(co_local_get(name), n % 2 ? "odd" : "even");
	ck_assert(co_local_get(real) == n / 2.0);
	ck_assert(b.first == n && b.last == n);
	ck_assert_int_eq(b.bytes[0], (char)n);
	ck_assert_int_eq(b.bytes[2999], (char)n);
	ck_assert_int_eq(co_local_get(other), 0);
}

static void
check_zero(void)
{
	static const struct big none;
	struct big b = co_local_get(big);

	ck_assert_int_eq(co_local_get(number), 0);
	ck_assert_int_eq(co_local_get(letter), 0);
	ck_assert_ptr_null(co_local_get(name));
	ck_assert(co_local_get(real) == 0);
	ck_assert_int_eq(memcmp(b.bytes, none.bytes, sizeof b.bytes), 0);
}

CORO_TEST(values_are_zero_before_they_are_set_and_converted_as_by_assignment)
{
	int n = 0;

	check_zero();
	set_all(5);
	check_all(5);
	set_all(6);
	check_all(6);
	test_result(co_local_set(real, 3), 0);
	ck_assert(co_local_get(real) == 3.0);
	test_result(co_local_set(number, (short)2), 0);	/* converted */
	ck_assert_int_eq(co_local_get(number), 2);
	test_result(co_local_set(number, n++), 0);	/* evaluated once */
	ck_assert_int_eq(n, 1);
	ck_assert_int_eq(co_local_get(number), 0);
	return 0;
}

static int
child(void *arg)
{
	int n = (int)(intptr_t)arg;

	check_all(n);
	set_all(n + 1);
	co_yield();
	check_all(n + 1);
	return 0;
}

static int
child_of_copy(int *n)
{
	return child((void *)(intptr_t)*n);
}

static int
plain_child(void *arg)
{
	(void)arg;
	check_zero();
	set_all(9);
	co_yield();
	check_all(9);
	return 0;
}

/* What the child sets, the parent does not see; nor what the parent sets after
   the spawn the child. */
CORO_TEST(children_inherit_what_was_set_and_then_go_their_own_way)
{
	struct co_spawn_options o = { .name = "x", .stack_size = 64 * 1024 };
	struct co_task t;
	struct co_scope s;
	int i;

	co_scope(s) {
		for (i = 0; i < 3; i++)
			test_result(co_spawn(plain_child, NULL), 0);
	}
	check_zero();
	for (i = 0; i < 50; i++) {
		co_scope(s) {
			set_all(i);
			test_result(co_spawn(child, (void *)(intptr_t)i), 0);
			test_result(co_spawn_with(&o, child,
			    (void *)(intptr_t)i), 0);
			test_result(co_go(child_of_copy, i), 0);
			test_result(co_fork(&t, child, (void *)(intptr_t)i), 0);
			set_all(i + 100);
			co_yield();
			check_all(i + 100);
			test_result(co_join(&t), 0);
		}
		check_all(i + 100);
	}
	return 0;
}

static int
descend(void *arg)
{
	int n = (int)(intptr_t)arg;
	struct co_scope s;

	ck_assert_int_eq(co_local_get(number), n);
	ck_assert_int_eq(co_local_get(other), n % 2 ? n : n - 1);
	if (n == 200)
		return 0;
	test_result(co_local_set(number, n + 1), 0);
	if (n % 2 == 0)
		test_result(co_local_set(other, n + 1), 0);
	co_scope(s)
		test_result(co_spawn(descend, (void *)(intptr_t)(n + 1)), 0);
	ck_assert_int_eq(co_local_get(number), n + 1);
	return 0;
}

CORO_TEST(values_go_down_through_generations)
{
	struct co_scope s;

	test_result(co_local_set(number, 1), 0);
	test_result(co_local_set(other, 1), 0);
	co_scope(s)
		test_result(co_spawn(descend, (void *)1), 0);
	return 0;
}

static struct {
	struct co__local_key key;
	int *type;
} many[300];

static int
see_many(void *arg)
{
	size_t i;
	int v;

	(void)arg;
	for (i = 0; i < 300; i++) {
		co__local_get(&many[i].key, &v);
		ck_assert_int_eq(v, (int)i);
	}
	return 0;
}

CORO_TEST(there_may_be_hundreds)
{
	struct co_scope s;
	int i;

	for (i = 0; i < 300; i++) {
		many[i].key.size = sizeof i;
		test_result(co__local_set(&many[i].key, &i), 0);
	}
	see_many(NULL);
	co_scope(s) {
		test_result(co_spawn(see_many, NULL), 0);
		test_result(co_spawn(see_many, NULL), 0);
	}
	return 0;
}

/* They are the coroutine's, not its worker's. */
static int
wander(void *arg)
{
	int me = (int)(intptr_t)arg, i;

	test_result(co_local_set(number, me), 0);
	for (i = 0; i < 50; i++) {
		if (i % 16 == 0)
			test_result(co_sleep(CO_US(10)), 0);
		else
			co_yield();
		ck_assert_int_eq(co_local_get(number), me);
	}
	return 0;
}

CORO_TEST(they_stay_with_who_moves_from_worker_to_worker)
{
	struct co_scope s;
	int i;

	co_scope(s)
		for (i = 0; i < 200; i++)
			test_result(co_spawn(wander, (void *)(intptr_t)i), 0);
	return 0;
}

static void *
thread_main(void *arg)
{
	int n = (int)(intptr_t)arg;

	check_zero();
	set_all(n);
	check_all(n);
	return NULL;
}

TEST(a_plain_thread_has_its_own_and_they_go_with_it)
{
	pthread_t t[8];
	int i, round;

	for (round = 0; round < 3; round++) {
		for (i = 0; i < 8; i++)
			ck_assert_int_eq(pthread_create(&t[i], NULL,
			    thread_main, (void *)(intptr_t)i), 0);
		for (i = 0; i < 8; i++)
			pthread_join(t[i], NULL);
	}
	check_zero();
	set_all(3);
	FOR_WORKERS(w)
		test_result(test_run(w, plain_child, NULL), 0);
	check_all(3);
}

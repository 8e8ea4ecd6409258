/* SPDX-License-Identifier: MIT */
/*
 * cycle_test.c - co_find_cycles: each kind of circle, and what is none.
 */
#include "harness.h"

#include <weft.h>

#include <pthread.h>

static struct co_mutex a, b, c;
static struct co_rwlock rw;
static struct co_once once;
static struct co_task first, second;
static int stop;

static char *
cycles(int *ret_n)
{
	return test_written(co_find_cycles, ret_n);
}

static void
dump_has(int (*dump)(FILE *), const char *part)
{
	int code;
	char *text = test_written(dump, &code);

	ck_assert_int_eq(code, 0);
	test_has(text, part);
	free(text);
}

/* The line, once there is a circle. */
static char *
wait_for_cycle(void)
{
	char *text;
	int n;

	while ((n = co_find_cycles(NULL)) == 0)
		ck_assert_int_eq(co_sleep(CO_MS(1)), 0);
	ck_assert_int_eq(n, 1);
	text = cycles(&n);
	ck_assert_int_eq(n, 1);
	dump_has(co_dump, text);
	dump_has(co_dump_json, "\"cycles\": [\n  [ { \"id\": ");
	return text;
}

static int
busy(void *arg)
{
	(void)arg;
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
		if (co_sleep(CO_US(100)) < 0)
			break;
	return 0;
}

/* Runs fn in a scope, while others run, and looks at the circle that it and
   what it spawns make. */
static int
circle_main(void *arg)
{
	const void *const *what = arg;
	co_fn *fn = (co_fn *)what[0];
	const char *const *words = (const char *const *)&what[1];
	struct co_scope s;
	char *text;
	int i, n;

	stop = 0;
	a = b = c = (struct co_mutex)CO_MUTEX_INIT;
	rw = (struct co_rwlock)CO_RWLOCK_INIT;
	once = (struct co_once)CO_ONCE_INIT;
	co_spawn(busy, NULL);
	co_scope(s, .policy = CO_SUPERVISE) {
		ck_assert_int_eq(co_spawn(fn, NULL), 0);
		text = wait_for_cycle();
		for (i = 0; words[i]; i++)
			test_has(text, words[i]);
		free(text);
		co_cancel(&s);
	}
	text = cycles(&n);
	ck_assert_int_eq(n, 0);
	free(text);
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	return 0;
}

static void
is_circle(const void *const *what)
{
	FOR_WORKERS(w)
		ck_assert_int_eq(test_run(w, circle_main, (void *)what), 0);
}

#define IS_CIRCLE(fn, ...) \
	is_circle((const void *const[]){ (const void *)(fn), __VA_ARGS__, NULL })

static int
lock_two(struct co_mutex *x, struct co_mutex *y, const char *name)
{
	co_set_name(name);
	if (co_mutex_lock(x) < 0)
		return 0;
	if (co_sleep(CO_MS(5)) == 0 && co_mutex_lock(y) == 0)
		co_mutex_unlock(y);
	co_mutex_unlock(x);
	return 0;
}

static int
one(void *arg)
{
	(void)arg;
	return lock_two(&a, &b, "one");
}

static int
two(void *arg)
{
	(void)arg;
	return lock_two(&b, &c, "two");
}

static int
three(void *arg)
{
	(void)arg;
	return lock_two(&c, &a, "three");
}

static int
dine(void *arg)
{
	(void)arg;
	co_spawn(one, NULL);
	co_spawn(two, NULL);
	return co_spawn(three, NULL);
}

TEST(three_that_lock_in_a_circle)
{
	IS_CIRCLE(dine, "cycle: ", " \"one\"", " waits for mutex 0x", " held by ",
	    " \"two\"", ", which waits for mutex 0x", " \"three\"");
}

static int
lock_twice(void *arg)
{
	(void)arg;
	if (co_mutex_lock(&a) == 0) {
		if (co_mutex_lock(&a) == 0)
			co_mutex_unlock(&a);
		co_mutex_unlock(&a);
	}
	return 0;
}

TEST(one_that_locks_twice)
{
	IS_CIRCLE(lock_twice, " waits for mutex 0x");
}

static int
write_twice(void *arg)
{
	(void)arg;
	if (co_rwlock_wrlock(&rw) == 0) {
		if (co_rwlock_rdlock(&rw) == 0)
			co_rwlock_unlock(&rw);
		co_rwlock_unlock(&rw);
	}
	return 0;
}

TEST(a_writer_that_would_read)
{
	IS_CIRCLE(write_twice, " waits for rwlock 0x", " held by ");
}

static int
lock_a(void *arg)
{
	(void)arg;
	co_set_name("child");
	if (co_mutex_lock(&a) == 0)
		co_mutex_unlock(&a);
	return 0;
}

static int
join_holding(void *arg)
{
	(void)arg;
	co_set_name("parent");
	if (co_mutex_lock(&a) < 0)
		return 0;
	if (co_fork(&first, lock_a, NULL) == 0 && co_join(&first) < 0)
		co_task_cancel(&first);
	co_mutex_unlock(&a);
	return 0;
}

TEST(one_joins_who_waits_for_its_mutex)
{
	IS_CIRCLE(join_holding, " joins ",
	    "\"child\"", " waits for mutex 0x");
}

static int
leave_holding(void *arg)
{
	struct co_scope s;

	(void)arg;
	co_set_name("parent");
	if (co_mutex_lock(&a) < 0)
		return 0;
	co_scope(s)
		co_spawn(lock_a, NULL);
	co_mutex_unlock(&a);
	return 0;
}

TEST(a_scope_waits_for_a_child_that_waits_for_its_owner)
{
	IS_CIRCLE(leave_holding, " waits for children of scope 0x",
	    "\"child\"", " waits for mutex 0x");
}

static int
once_inside(void *arg)
{
	int code = co_once_do(&once, once_inside, arg);

	return code < 0 ? code : 0;
}

TEST(a_once_that_needs_itself)
{
	IS_CIRCLE(once_inside, " waits for once 0x", " done by ");
}

static int both;

static int
join_second(void *arg)
{
	(void)arg;
	while (!__atomic_load_n(&both, __ATOMIC_ACQUIRE))
		co_yield();
	return co_join(&second);
}

static int
join_first(void *arg)
{
	(void)arg;
	return co_join(&first);
}

static int
join_each_other(void *arg)
{
	(void)arg;
	both = 0;
	if (co_fork(&first, join_second, NULL) < 0 ||
	    co_fork(&second, join_first, NULL) < 0)
		return -1;
	__atomic_store_n(&both, 1, __ATOMIC_RELEASE);
	return 0;
}

TEST(two_that_join_each_other)
{
	IS_CIRCLE(join_each_other, " joins ", ", which joins ");
}

/* --- what is no circle ---------------------------------------------------- */

static int
with_deadline(void *arg)
{
	(void)arg;
	co_timeout(CO_MS(300))
		lock_twice(NULL);
	__atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
	return 0;
}

static int
deadline_main(void *arg)
{
	(void)arg;
	stop = 0;
	a = (struct co_mutex)CO_MUTEX_INIT;
	co_spawn(with_deadline, NULL);
	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
		ck_assert_int_eq(co_find_cycles(stderr), 0);
		co_sleep(CO_MS(1));
	}
	return 0;
}

TEST(what_a_deadline_will_end_is_none)
{
	FOR_WORKERS(w)
		ck_assert_int_eq(test_run(w, deadline_main, NULL), 0);
}

/* Everybody locks in the same order, and is waited for: no circle at any
   moment, though each edge of one is there at some. */
static int
lock_in_order(void *arg)
{
	struct co_mutex *x = &a, *y = &b;
	struct co_task t;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		if (co_mutex_lock(x) < 0)
			break;
		if (co_mutex_lock(y) == 0)
			co_mutex_unlock(y);
		co_mutex_unlock(x);
		/* Now the other way round, one after the other. */
		if (co_mutex_lock(y) == 0)
			co_mutex_unlock(y);
		if (arg && co_fork(&t, lock_a, NULL) == 0)
			(void)!co_join(&t);
		co_yield();
	}
	return 0;
}

static void *
look_often(void *arg)
{
	int i, n = (int)test_count(500, 20000);

	for (i = 0; i < n; i++)
		ck_assert_int_eq(co_find_cycles(stderr), 0);
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	return arg;
}

static int
order_main(void *arg)
{
	struct co_scope s;
	pthread_t thread;
	int i;

	stop = 0;
	a = b = (struct co_mutex)CO_MUTEX_INIT;
	co_scope(s, .policy = CO_SUPERVISE) {
		for (i = 0; i < 16; i++)
			co_spawn(lock_in_order, i % 4 ? NULL : &s);
		ck_assert_int_eq(pthread_create(&thread, NULL, look_often,
		    NULL), 0);
		while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
			co_sleep(CO_MS(1));
		pthread_join(thread, NULL);
	}
	(void)arg;
	return 0;
}

TEST(contention_in_order_is_none, .seconds = 300)
{
	FOR_WORKERS(w)
		ck_assert_int_eq(test_run(w, order_main, NULL), 0);
}

static int held;

static void *
hold_a(void *arg)
{
	ck_assert_int_eq(co_mutex_lock(&a), 0);
	__atomic_store_n(&held, 1, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE))
		co_sleep(CO_MS(1));
	co_mutex_unlock(&a);
	return arg;
}

static int
thread_main(void *arg)
{
	pthread_t thread;
	char *dump = NULL;
	int code;

	(void)arg;
	stop = held = 0;
	a = (struct co_mutex)CO_MUTEX_INIT;
	ck_assert_int_eq(pthread_create(&thread, NULL, hold_a, NULL), 0);
	while (!__atomic_load_n(&held, __ATOMIC_ACQUIRE))
		co_sleep(CO_MS(1));
	co_spawn(lock_a, NULL);
	do {
		free(dump);
		co_sleep(CO_MS(1));
		dump = test_written(co_dump, &code);
		ck_assert_int_eq(code, 0);
	} while (!strstr(dump, "held by a thread"));
	free(dump);
	ck_assert_int_eq(co_find_cycles(stderr), 0);
	__atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	return 0;
}

TEST(a_thread_that_holds_a_mutex_is_named_as_one)
{
	FOR_WORKERS(w)
		ck_assert_int_eq(test_run(w, thread_main, NULL), 0);
}

static int
full_main(void *arg)
{
	FILE *to = fopen("/dev/full", "w");
	struct co_scope s;

	(void)arg;
	a = (struct co_mutex)CO_MUTEX_INIT;
	co_scope(s) {
		co_spawn(lock_twice, NULL);
		free(wait_for_cycle());
		ck_assert_int_eq(co_find_cycles(to), -EIO);
		co_cancel(&s);
	}
	fclose(to);
	return 0;
}

TEST(a_circle_that_cannot_be_written_says_so)
{
	ck_assert_int_eq(test_run(1, full_main, NULL), 0);
}

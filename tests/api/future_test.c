/* SPDX-License-Identifier: MIT */
/*
 * future_test.c - futures: one outcome, many readers; coroutines and threads.
 */
#include "harness.h"

#include <pthread.h>

#include <weft/scope.h>
#include <weft/values.h>

#define load(p)		__atomic_load_n((p), __ATOMIC_ACQUIRE)
#define add(p, n)	__atomic_add_fetch((p), (n), __ATOMIC_ACQ_REL)

struct pair {
	long a, b;
};

static void
run(int workers, co_fn *fn, void *arg)
{
	test_result(test_run(workers, fn, arg), 0);
}

static void
wait_for(const int *n, int want)
{
	while (load(n) < want)
		co_yield();
}

/* --- the outcome --------------------------------------------------------- */

static int
outcome_main(void *arg)
{
	co_future(struct pair) f = co_future_new(struct pair);
	struct pair v = { 7, 7 };

	(void)arg;
	test_result(co_future_set(f, (struct pair){ 1, 2 }), 0);
	test_result(co_future_set(f, v), -EALREADY);
	test_result(co_future_fail(f, -EIO), -EALREADY);
	test_result(co_future_get(f, &v), 0);
	ck_assert_int_eq(v.a, 1);
	ck_assert_int_eq(v.b, 2);
	test_result(co_future_get(f, &v), 0);	/* it stays */
	co_future_unref(f);

	f = co_future_new(struct pair);
	test_result(co_future_fail(f, 0), -EINVAL);
	test_result(co_future_fail(f, 3), -EINVAL);
	test_result(co_future_fail(f, -EIO), 0);
	test_result(co_future_fail(f, -EPERM), -EALREADY);
	test_result(co_future_set(f, v), -EALREADY);
	test_result(co_future_get(f, &v), -EIO);
	ck_assert_int_eq(v.a, 1);	/* no value was written */
	co_future_unref(f);
	return 0;
}

TEST(the_first_outcome_is_the_outcome)
{
	outcome_main(NULL);
	FOR_WORKERS(w)
		run(w, outcome_main, NULL);
}

TEST(no_future_is_an_error)
{
	co_future(int) f = NULL;
	int v;

	test_result(co_future_set(f, 1), -EINVAL);
	test_result(co_future_fail(f, -EIO), -EINVAL);
	test_result(co_future_get(f, &v), -EINVAL);
	test_result(co_select(co_on_future(f, &v)), -EINVAL);
	ck_assert_ptr_null(co_future_ref(NULL));
	co_future_unref(NULL);
}

/* --- readers ------------------------------------------------------------- */

struct readers {
	co_future(long) f;
	int arrived, done;	/* [atomic] */
	int want;		/* the code to be read */
	int order[64];		/* [one worker] who was woken when */
};

static int
reader(void *arg)
{
	struct readers *r = arg;
	int id = add(&r->arrived, 1) - 1;
	long v = 0;

	test_result(co_future_get(r->f, &v), r->want);
	if (r->want == 0)
		ck_assert_int_eq(v, 42);
	r->order[(add(&r->done, 1) - 1) & 63] = id;
	co_future_unref(r->f);
	return 0;
}

static int
selecting_reader(void *arg)
{
	struct readers *r = arg;
	co_future(int) never = co_future_new(int);
	int code, status = 1, other;
	long v = 0;

	add(&r->arrived, 1);
	code = co_select(co_on_future(never, &other),
	    co_on_future(r->f, &v, &status));
	ck_assert_int_eq(code, 1);
	ck_assert_int_eq(status, r->want);
	if (r->want == 0)
		ck_assert_int_eq(v, 42);
	co_future_unref(never);
	add(&r->done, 1);
	co_future_unref(r->f);
	return 0;
}

static void *
reading_thread(void *arg)
{
	reader(arg);
	return NULL;
}

static void *
selecting_thread(void *arg)
{
	selecting_reader(arg);
	return NULL;
}

enum { READERS = 16 };

static int
readers_main(void *arg)
{
	struct readers r = { .want = *(int *)arg };
	pthread_t thread[2];
	int i, n = 0;

	r.f = co_future_new(long);
	for (i = 0; i < READERS; i++) {
		co_future_ref(r.f);
		co_spawn(i % 2 ? selecting_reader : reader, &r);
	}
	co_future_ref(co_future_ref(r.f));
	ck_assert(!pthread_create(&thread[n++], NULL, reading_thread, &r));
	ck_assert(!pthread_create(&thread[n++], NULL, selecting_thread, &r));
	wait_for(&r.arrived, READERS + 2);
	if (r.want == 0)
		test_result(co_future_set(r.f, 42), 0);
	else
		test_result(co_future_fail(r.f, r.want), 0);
	wait_for(&r.done, READERS + 2);
	while (n > 0)
		pthread_join(thread[--n], NULL);
	co_future_unref(r.f);
	return 0;
}

TEST(every_reader_gets_the_outcome)
{
	int codes[] = { 0, -EIO }, i, k;

	FOR_WORKERS(w)
		for (k = 0; k < (int)test_count(20, 2000); k++)
			for (i = 0; i < 2; i++)
				run(w, readers_main, &codes[i]);
}

static int
order_main(void *arg)
{
	struct readers r = { .want = 0 };
	int i;

	(void)arg;
	r.f = co_future_new(long);
	for (i = 0; i < 10; i++) {
		co_future_ref(r.f);
		co_spawn(reader, &r);
		wait_for(&r.arrived, i + 1);
	}
	co_future_set(r.f, 42);
	wait_for(&r.done, 10);
	for (i = 0; i < 10; i++)
		ck_assert_int_eq(r.order[i], i);
	co_future_unref(r.f);
	return 0;
}

TEST(readers_run_in_the_order_in_which_they_came)
{
	run(1, order_main, NULL);
}

/* --- many set: one wins -------------------------------------------------- */

struct setters {
	co_future(long) f;
	int arrived, won;	/* [atomic] */
	long winner;
};

static int
setter(void *arg)
{
	struct setters *s = arg;
	long id = add(&s->arrived, 1);
	int code;

	code = id % 3 ? co_future_set(s->f, id) :
	    co_future_fail(s->f, (int)-id);
	if (code == 0) {
		add(&s->won, 1);
		s->winner = id;
	} else {
		test_result(code, -EALREADY);
	}
	return 0;
}

static int
setters_main(void *arg)
{
	struct setters s = { .f = co_future_new(long) };
	struct co_scope scope;
	long v = 0;
	int i, code = 0;

	(void)arg;
	co_scope(scope) {
		for (i = 0; i < 8; i++)
			co_spawn(setter, &s);
		code = co_future_get(s.f, &v);
	}
	ck_assert_int_eq(s.won, 1);
	ck_assert_int_eq(code < 0 ? -code : v, s.winner);
	ck_assert_int_eq(code < 0, s.winner % 3 == 0);
	co_future_unref(s.f);
	return 0;
}

TEST(one_of_many_setters_wins)
{
	int k;

	FOR_WORKERS(w)
		for (k = 0; k < (int)test_count(100, 10000); k++)
			run(w, setters_main, NULL);
}

/* --- cancellation -------------------------------------------------------- */

static int
cancelled_main(void *arg)
{
	co_future(int) f = co_future_new(int);
	int v = 5, code = 0, status = 9;

	(void)arg;
	co_timeout(CO_MS(1))
		code = co_future_get(f, &v);
	test_result(code, -ETIMEDOUT);
	co_timeout(CO_MS(1))
		code = co_select(co_on_future(f, &v, &status));
	test_result(code, -ETIMEDOUT);
	ck_assert_int_eq(status, 9);
	co_future_set(f, 6);
	co_timeout(0) {		/* ended: it fails although it is ready */
		test_result(co_future_get(f, &v), -ETIMEDOUT);
		test_result(co_select(co_on_future(f, &v)), -ETIMEDOUT);
		test_result(co_select(co_on_future(f, &v, &status),
		    co_otherwise), 0);
	}
	ck_assert_int_eq(v, 6);
	ck_assert_int_eq(status, 0);
	co_future_unref(f);
	return 0;
}

TEST(a_wait_ends_with_its_scope)
{
	cancelled_main(NULL);
	FOR_WORKERS(w)
		run(w, cancelled_main, NULL);
}

struct late {
	co_future(long) f;
	int done;
};

static int
hasty(void *arg)
{
	struct late *l = arg;
	uint64_t seed = test_seed() + co_id();
	long v = 0;
	int code = 0;

	co_timeout((co_time)test_below(&seed, 60000))
		code = co_future_get(l->f, &v);
	ck_assert(code == -ETIMEDOUT ? v == 0 : code == 0 && v == 42);
	add(&l->done, 1);
	return 0;
}

static int
late_main(void *arg)
{
	struct late l = { .f = NULL };
	struct co_scope s;
	int k, i;

	(void)arg;
	for (k = 0; k < (int)test_count(200, 20000); k++) {
		l.f = co_future_new(long);
		co_scope(s) {
			for (i = 0; i < 8; i++)
				co_spawn(hasty, &l);
			co_sleep(20000);
			co_future_set(l.f, 42);
		}
		co_future_unref(l.f);	/* nobody is queued on it */
	}
	return 0;
}

TEST(deadlines_and_the_outcome_meet)
{
	(void)test_seed();	/* made before there are threads */
	FOR_WORKERS(w)
		run(w, late_main, NULL);
}

/* --- select -------------------------------------------------------------- */

static int
select_main(void *arg)
{
	co_future(int) f = co_future_new(int), g = co_future_new(int);
	co_future(int) h = co_future_new(int);
	chan(int) ch = chan_new(int, 1);
	int v = 0, status = 9, hits[2] = { 0 }, i;

	(void)arg;
	ck_assert_int_eq(co_select(co_on_future(f, &v), co_otherwise), 1);
	ck_assert_int_eq(co_select(co_on_future(f, &v),
	    co_on_timeout(CO_MS(1))), 1);
	chan_send(ch, 3);
	ck_assert_int_eq(co_select(co_on_future(f, &v), co_on_recv(ch, &v)),
	    1);
	ck_assert_int_eq(v, 3);
	co_future_fail(f, -EIO);
	ck_assert_int_eq(co_select(co_on_recv(ch, &v),
	    co_on_future(f, &v, &status)), 1);
	test_result(status, -EIO);
	ck_assert_int_eq(v, 3);
	co_future_fail(h, -ENOMEM);
	ck_assert_int_eq(co_select(co_on_recv(ch, &v),
	    co_on_future(h, &v, &status)), 1);
	test_result(status, -ENOMEM);
	co_future_unref(h);
	co_future_set(g, 11);
	for (i = 0; i < 1000; i++)
		hits[co_select(co_on_future(f, &v), co_on_future(g, &v))]++;
	test_between(hits[0], 350, 650);
	ck_assert_int_eq(v, 11);
	co_future_unref(f);
	co_future_unref(g);
	chan_unref(ch);
	return 0;
}

TEST(a_future_is_a_case_of_a_select)
{
	select_main(NULL);
	FOR_WORKERS(w)
		run(w, select_main, NULL);
}

static int
set_42(void *arg)
{
	co_future(long) f = arg;

	return co_future_set(f, 42);
}

static int
same_twice_main(void *arg)
{
	co_future(long) f = co_future_new(long);
	long a = 0, b = 0;
	int code;

	(void)arg;
	co_spawn(set_42, (void *)f);
	code = co_select(co_on_future(f, &a), co_on_future(f, &b));
	ck_assert(code == 0 ? a == 42 && b == 0 : a == 0 && b == 42);
	co_future_unref(f);
	return 0;
}

TEST(the_same_future_may_stand_in_two_cases)
{
	FOR_WORKERS(w)
		run(w, same_twice_main, NULL);
}

/* --- life, sizes --------------------------------------------------------- */

static int
last_ref(void *arg)
{
	struct late *l = arg;
	long v;

	test_result(co_future_get(l->f, &v), 0);
	co_future_unref(l->f);
	add(&l->done, 1);
	return 0;
}

static int
last_main(void *arg)
{
	struct late l = { .f = NULL };
	int k, i;

	(void)arg;
	for (k = 0; k < (int)test_count(2000, 200000); k++) {
		l.done = 0;
		l.f = co_future_new(long);
		for (i = 0; i < 3; i++) {
			co_future_ref(l.f);
			co_spawn(last_ref, &l);
		}
		co_future_set(l.f, 1);
		co_future_unref(l.f);
		wait_for(&l.done, 3);
	}
	return 0;
}

TEST(the_last_reader_frees_it)
{
	FOR_WORKERS(w)
		run(w, last_main, NULL);
}

struct empty {
};
struct big {
	char bytes[1 << 20];
};
struct __attribute__((aligned(256))) wide {
	char c;
};

TEST(values_of_any_size_and_alignment)
{
	co_future(struct empty) e = co_future_new(struct empty);
	co_future(struct big) b = co_future_new(struct big);
	co_future(struct wide) w = co_future_new(struct wide);
	struct big *big = malloc(sizeof *big), *got = malloc(sizeof *got);
	struct empty none = { };
	struct wide wide = { 'w' }, wider;

	test_result(co_future_set(e, none), 0);
	test_result(co_future_get(e, &none), 0);
	memset(big, 0x5a, sizeof *big);
	test_result(co_future_set(b, *big), 0);
	test_result(co_future_get(b, got), 0);
	ck_assert(memcmp(big, got, sizeof *big) == 0);
	test_result(co_future_set(w, wide), 0);
	test_result(co_future_get(w, &wider), 0);
	ck_assert_int_eq(wider.c, 'w');
	ck_assert_ptr_null(co__future_new(SIZE_MAX, 1));
	ck_assert_ptr_null(co__future_new(PTRDIFF_MAX, 1));
	co_future_unref(e);
	co_future_unref(b);
	co_future_unref(w);
	free(big);
	free(got);
}

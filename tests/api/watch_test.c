/* SPDX-License-Identifier: MIT */
/*
 * watch_test.c - watches: the latest value is never missed and never torn, and
 * versions only grow.
 */
#include "harness.h"

#include <pthread.h>

#include <weft/scope.h>
#include <weft/values.h>

#define load(p)		__atomic_load_n((p), __ATOMIC_ACQUIRE)
#define add(p, n)	__atomic_add_fetch((p), (n), __ATOMIC_ACQ_REL)

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

static int
plain_main(void *arg)
{
	co_watch(int) w = co_watch_new(int, 10);
	uint64_t version = 0;
	int v = 0, code = 0;

	(void)arg;
	test_result(co_watch_get(w, &v, &version), 0);
	ck_assert_int_eq(v, 10);
	ck_assert_uint_eq(version, 1);
	co_timeout(CO_MS(1))
		code = co_watch_next(w, &v, &version);
	test_result(code, -ETIMEDOUT);
	co_timeout(CO_MS(1))
		code = co_select(co_on_watch(w, &v, &version));
	test_result(code, -ETIMEDOUT);
	ck_assert_uint_eq(version, 1);
	test_result(co_watch_set(w, 11), 0);
	test_result(co_watch_set(w, 11), 0);	/* the same is new, too */
	test_result(co_watch_set(w, 12), 0);
	test_result(co_watch_next(w, &v, &version), 0);
	ck_assert_int_eq(v, 12);
	ck_assert_uint_eq(version, 4);
	version = 0;
	test_result(co_watch_next(w, &v, &version), 0);
	ck_assert_uint_eq(version, 4);
	version = 99;				/* differs, not: is less */
	test_result(co_watch_next(w, &v, &version), 0);
	ck_assert_uint_eq(version, 4);
	v = 0;
	test_result(co_watch_get(w, &v, NULL), 0);
	ck_assert_int_eq(v, 12);
	co_watch_set(w, 13);
	co_timeout(0) {
		test_result(co_watch_next(w, &v, &version), -ETIMEDOUT);
		test_result(co_watch_get(w, &v, NULL), 0);	/* no wait */
	}
	ck_assert_uint_eq(version, 4);
	ck_assert_int_eq(co_select(co_on_watch(w, &v, &version)), 0);
	ck_assert_uint_eq(version, 5);
	ck_assert_int_eq(co_select(co_on_watch(w, &v, &version),
	    co_otherwise), 1);
	co_watch_unref(co_watch_ref(w));
	co_watch_unref(w);
	return 0;
}

TEST(the_latest_value_and_its_version)
{
	plain_main(NULL);
	FOR_WORKERS(w)
		run(w, plain_main, NULL);
}

TEST(no_watch_is_an_error)
{
	co_watch(int) w = NULL;
	uint64_t version = 0;
	int v;

	test_result(co_watch_set(w, 1), -EINVAL);
	test_result(co_watch_get(w, &v, &version), -EINVAL);
	test_result(co_watch_next(w, &v, &version), -EINVAL);
	test_result(co_select(co_on_watch(w, &v, &version)), -EINVAL);
	ck_assert_ptr_null(co_watch_ref(NULL));
	co_watch_unref(NULL);
	w = co_watch_new(int, 1);
	test_result(co_watch_next(w, &v, NULL), -EINVAL);
	test_result(co_select(co_on_watch(w, &v, NULL)), -EINVAL);
	co_watch_unref(w);
}

/* --- many readers, one writer or several --------------------------------- */

struct four {
	long n, same, again, neg;	/* torn values show */
};

struct show {
	co_watch(struct four) w;
	int writers, each;
	int ready, left;	/* [atomic] */
	bool cancels;
};

static int
writer(void *arg)
{
	struct show *s = arg;
	struct four f;
	uint64_t version;
	int i;

	for (i = 1; i <= s->each; i++) {
		f = (struct four){ i, i, i, -i };
		test_result(co_watch_set(s->w, f), 0);
		test_result(co_watch_get(s->w, &f, &version), 0);
		ck_assert(f.n == f.same && f.n == f.again && f.n == -f.neg);
		if (i % 8 == 0)
			co_yield();
	}
	if (add(&s->left, 1) == s->writers) {
		f = (struct four){ -1, -1, -1, 1 };
		co_watch_set(s->w, f);
	}
	return 0;
}

static int
show_next(struct show *s, struct four *f, uint64_t *version, uint64_t *seed)
{
	co_watch(struct four) w = s->w;
	int code = 0;

	if (s->cancels)
		co_timeout((co_time)test_below(seed, 20000))
			code = co_watch_next(w, f, version);
	else if (test_below(seed, 2))
		code = co_watch_next(w, f, version);
	else
		code = co_select(co_on_watch(w, f, version),
		    co_on_timeout(CO_SEC(50)));
	return code;
}

static int
watcher(void *arg)
{
	struct show *s = arg;
	uint64_t version, before, seed = test_seed() ^ co_id();
	struct four f;
	int code;

	test_result(co_watch_get(s->w, &f, &version), 0);
	add(&s->ready, 1);
	while (f.n != -1) {
		before = version;
		code = show_next(s, &f, &version, &seed);
		ck_assert(code == 0 || code == -ETIMEDOUT);
		ck_assert(code == 0 ? version > before : version == before);
		ck_assert(f.n == f.same && f.n == f.again && f.n == -f.neg);
		/* One writer: value and version belong together. */
		ck_assert(s->writers > 1 || f.n == -1 ||
		    version == (uint64_t)f.n + 1);
	}
	ck_assert_uint_eq(version, (uint64_t)s->writers * s->each + 2);
	return 0;
}

static void *
watching_thread(void *arg)
{
	watcher(arg);
	return NULL;
}

static void *
writing_thread(void *arg)
{
	writer(arg);
	return NULL;
}

static int
show_main(void *arg)
{
	struct show *s = arg;
	struct four none = { 0, 0, 0, 0 };
	pthread_t t, u;
	struct co_scope sc;
	int i;

	s->w = co_watch_new(struct four, none);
	s->ready = s->left = 0;
	ck_assert(!pthread_create(&t, NULL, watching_thread, s));
	co_scope(sc) {
		for (i = 0; i < 5; i++)
			co_spawn(watcher, s);
		wait_for(&s->ready, 6);
		ck_assert(!pthread_create(&u, NULL, writing_thread, s));
		for (i = 1; i < s->writers; i++)
			co_spawn(writer, s);
	}
	pthread_join(t, NULL);
	pthread_join(u, NULL);
	co_watch_unref(s->w);
	return 0;
}

static void
shows(int writers, bool cancels)
{
	struct show s = { .writers = writers, .cancels = cancels };

	(void)test_seed();	/* made before there are threads */
	s.each = (int)test_count(1000, 300000);
	FOR_WORKERS(w)
		run(w, show_main, &s);
}

TEST(nobody_sees_a_torn_value_or_misses_the_last)
{
	shows(1, false);
	shows(4, false);
}

TEST(waits_that_fail_change_nothing)
{
	shows(1, true);
	shows(4, true);
}

/* --- back and forth: no wake-up is lost ---------------------------------- */

struct echo {
	co_watch(long) there, back;
	long n;
};

static int
echo(void *arg)
{
	struct echo *e = arg;
	uint64_t version = 1;
	long v = 0;

	while (v < e->n) {
		test_result(co_watch_next(e->there, &v, &version), 0);
		test_result(co_watch_set(e->back, v), 0);
	}
	return 0;
}

static void *
echo_thread(void *arg)
{
	echo(arg);
	return NULL;
}

static int
call(struct echo *e)
{
	uint64_t version = 1;
	long i, v;

	for (i = 1; i <= e->n; i++) {
		test_result(co_watch_set(e->there, i), 0);
		test_result(co_watch_next(e->back, &v, &version), 0);
		ck_assert_int_eq(v, i);
		ck_assert_uint_eq(version, (uint64_t)i + 1);
	}
	return 0;
}

static int
echo_main(void *arg)
{
	struct echo e = { .n = (long)test_count(2000, 200000) };
	pthread_t t;
	int with;

	(void)arg;
	for (with = 0; with < 2; with++) {
		e.there = co_watch_new(long, 0);
		e.back = co_watch_new(long, 0);
		if (with == 0) {
			struct co_scope s;

			co_scope(s) {
				co_spawn(echo, &e);
				call(&e);
			}
		} else {
			ck_assert(!pthread_create(&t, NULL, echo_thread, &e));
			call(&e);
			pthread_join(t, NULL);
		}
		co_watch_unref(e.there);
		co_watch_unref(e.back);
	}
	return 0;
}

TEST(back_and_forth)
{
	FOR_WORKERS(w)
		run(w, echo_main, NULL);
}

/* --- with other cases; sizes --------------------------------------------- */

static int
select_main(void *arg)
{
	co_watch(int) a = co_watch_new(int, 1), b = co_watch_new(int, 2);
	co_future(int) f = co_future_new(int);
	chan(int) ch = chan_new(int, 1);
	uint64_t va = 1, vb = 1;
	int x = 0, i, hits[3] = { 0 };

	(void)arg;
	for (i = 0; i < 1000; i++) {
		va = vb = 0;
		hits[co_select(co_on_watch(a, &x, &va),
		    co_on_watch(b, &x, &vb), co_on_recv(ch, &x))]++;
		ck_assert_uint_eq(va + vb, 1);
		ck_assert_int_eq(x, va ? 1 : 2);
	}
	test_between(hits[0], 350, 650);
	va = vb = 1;
	chan_send(ch, 7);
	ck_assert_int_eq(co_select(co_on_watch(a, &x, &va),
	    co_on_recv(ch, &x), co_on_future(f, &x)), 1);
	ck_assert_int_eq(x, 7);
	co_watch_unref(a);
	co_watch_unref(b);
	co_future_unref(f);
	chan_unref(ch);
	return 0;
}

TEST(a_watch_is_a_case_of_a_select)
{
	select_main(NULL);
	FOR_WORKERS(w)
		run(w, select_main, NULL);
}

struct empty {
};
struct big {
	char bytes[1 << 20];
};
struct __attribute__((aligned(128))) wide {
	char c;
};

TEST(values_of_any_size)
{
	struct empty none = { };
	struct wide wide = { 'x' };
	struct big *big = calloc(1, sizeof *big), *got = malloc(sizeof *got);
	co_watch(struct empty) e = co_watch_new(struct empty, none);
	co_watch(struct wide) w = co_watch_new(struct wide, wide);
	co_watch(struct big) b = co_watch_new(struct big, *big);
	uint64_t version = 1;

	test_result(co_watch_set(e, none), 0);
	test_result(co_watch_next(e, &none, &version), 0);
	ck_assert_uint_eq(version, 2);
	memset(big, 0x71, sizeof *big);
	test_result(co_watch_set(b, *big), 0);
	test_result(co_watch_get(b, got, NULL), 0);
	ck_assert(memcmp(big, got, sizeof *big) == 0);
	wide.c = 'y';
	test_result(co_watch_get(w, &wide, &version), 0);
	ck_assert_int_eq(wide.c, 'x');
	co_watch_unref(e);
	co_watch_unref(w);
	co_watch_unref(b);
	free(big);
	free(got);
}

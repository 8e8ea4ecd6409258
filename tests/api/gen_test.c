/* SPDX-License-Identifier: MIT */
/*
 * gen_test.c - generators: in coroutines and threads, on one worker after the
 * other, waiting inside, freed at any point of their life.
 */
#include "harness.h"

#include <fenv.h>
#include <pthread.h>

#include <weft/scope.h>
#include <weft/values.h>

#define load(p)		__atomic_load_n((p), __ATOMIC_ACQUIRE)
#define store(p, v)	__atomic_store_n((p), (v), __ATOMIC_RELEASE)

static void
run(int workers, co_fn *fn, void *arg)
{
	test_result(test_run(workers, fn, arg), 0);
}

static void *
as_thread(void *fn)
{
	ck_assert_int_eq(((co_fn *)fn)(NULL), 0);
	return NULL;
}

/* In coroutines, in the main thread, in one that weft has not seen. */
static void
everywhere(co_fn *fn)
{
	pthread_t t;

	ck_assert_int_eq(fn(NULL), 0);
	ck_assert(!pthread_create(&t, NULL, as_thread, (void *)fn));
	pthread_join(t, NULL);
	FOR_WORKERS(w)
		run(w, fn, NULL);
}

/* --- values -------------------------------------------------------------- */

static int
count_to(co_gen(int) g, void *arg)
{
	int i, n = *(int *)arg;

	for (i = 0; i < n; i++) {
		if (co_gen_yield(g, i) < 0)
			return -ECANCELED;
	}
	return 7;
}

static int
count_main(void *arg)
{
	int n = 1000, v, i;
	co_gen(int) g = co_gen_new(int, count_to, &n);

	(void)arg;
	for (i = 0; co_gen_next(g, &v) == 0; i++)
		ck_assert_int_eq(v, i);
	ck_assert_int_eq(i, 1000);
	test_result(co_gen_next(g, &v), -EPIPE);
	test_result(co_gen_next(g, &v), -EPIPE);
	co_gen_free(g);
	return 0;
}

TEST(values_come_in_order_and_then_it_has_ended)
{
	everywhere(count_main);
}

static int
zeroed_main(void *arg)
{
	int n, v, i;

	(void)arg;
	for (n = 0; n < 3; n++) {
		co_gen(int) g = co_gen_new(int, count_to, &n);

		for (i = 0; i < n; i++)
			test_result(co_gen_next(g, &v), 0);
		for (i = 0; i < 2; i++) {
			v = 5;
			test_result(co_gen_next(g, &v), -EPIPE);
			ck_assert_int_eq(v, 0);
		}
		co_gen_free(g);
	}
	return 0;
}

TEST(at_the_end_the_variable_is_zeroed)
{
	everywhere(zeroed_main);
}

static int
fails(co_gen(int) g, void *arg)
{
	(void)arg;
	test_result(co_gen_yield(g, 1), 0);
	return -EIO;
}

static int
fails_main(void *arg)
{
	co_gen(int) g = co_gen_new(int, fails, NULL);
	int v = 0;

	(void)arg;
	test_result(co_gen_next(g, &v), 0);
	test_result(co_gen_next(g, &v), -EIO);
	test_result(co_gen_next(g, &v), -EIO);
	ck_assert_int_eq(v, 1);
	co_gen_free(g);
	return 0;
}

TEST(a_failure_is_what_next_returns)
{
	everywhere(fails_main);
}

TEST(no_generator_is_an_error)
{
	co_gen(int) g = NULL;
	int (*none)(co_gen(int), void *) = NULL;
	int v;

	test_result(co_gen_next(g, &v), -EINVAL);
	test_result(co_gen_yield(g, 1), -EINVAL);
	co_gen_free(NULL);
	ck_assert_ptr_null(co_gen_new(int, none, NULL));
}

/* --- life ---------------------------------------------------------------- */

struct trace {
	int begun, ended, code, again;
};

static int
traced(co_gen(int) g, void *arg)
{
	struct trace *t = arg;
	int i;

	t->begun++;
	for (i = 0; (t->code = co_gen_yield(g, i)) == 0; i++)
		;
	t->again = co_gen_yield(g, i);	/* it fails for good */
	t->ended++;
	return 0;
}

static int
freed_main(void *arg)
{
	struct trace t = { 0 };
	co_gen(int) g = co_gen_new(int, traced, &t);
	int v, n;

	(void)arg;
	co_gen_free(g);
	ck_assert_int_eq(t.begun, 0);	/* begins at the first next */
	for (n = 1; n < 4; n++) {
		t = (struct trace){ 0 };
		g = co_gen_new(int, traced, &t);
		ck_assert_int_eq(t.begun, 0);
		for (int i = 0; i < n; i++)
			test_result(co_gen_next(g, &v), 0);
		ck_assert_int_eq(v, n - 1);
		co_gen_free(g);
		ck_assert_int_eq(t.begun, 1);
		ck_assert_int_eq(t.ended, 1);
		test_result(t.code, -ECANCELED);
		test_result(t.again, -ECANCELED);
	}
	return 0;
}

TEST(freeing_lets_the_function_end)
{
	everywhere(freed_main);
}

/* Ends an inner generator, and with a wait, while it is freed itself. */
static int
cleans_up(co_gen(int) g, void *arg)
{
	int v, n = 5;
	co_gen(int) inner = co_gen_new(int, count_to, &n);

	while (co_gen_next(inner, &v) == 0 && co_gen_yield(g, v) == 0)
		;
	co_gen_free(inner);
	*(int *)arg = co_sleep(CO_US(10));
	return 0;
}

static int
cleans_up_main(void *arg)
{
	int slept = 9, v;
	co_gen(int) g = co_gen_new(int, cleans_up, &slept);

	(void)arg;
	test_result(co_gen_next(g, &v), 0);
	test_result(co_gen_next(g, &v), 0);
	ck_assert_int_eq(v, 1);
	co_gen_free(g);
	test_result(slept, 0);
	return 0;
}

TEST(its_function_may_wait_and_free_others_while_it_ends)
{
	everywhere(cleans_up_main);
}

static int
many_main(void *arg)
{
	enum { MANY = 2000 };
	static co_gen(int) g[MANY];
	int n = 3, v, round, i;

	(void)arg;
	for (round = 0; round < 3; round++) {
		for (i = 0; i < MANY; i++)
			g[i] = co_gen_new(int, count_to, &n);
		for (int k = 0; k < 3; k++)
			for (i = 0; i < MANY; i++) {
				test_result(co_gen_next(g[i], &v), 0);
				ck_assert_int_eq(v, k);
			}
		for (i = 0; i < MANY; i++)
			co_gen_free(g[i]);
	}
	return 0;
}

TEST(many_generators_at_once)
{
	many_main(NULL);
	run(2, many_main, NULL);
}

/* --- what must not be ---------------------------------------------------- */

struct misuse {
	int self_next, in_scope, child, outer, after;
	co_gen(int) g;
};

static int
child_yields(void *arg)
{
	struct misuse *m = arg;

	m->child = co_gen_yield(m->g, 1);
	return 0;
}

static int
inner_yields(co_gen(int) g, void *arg)
{
	struct misuse *m = arg;

	(void)g;
	m->outer = co_gen_yield(m->g, 1);
	return 0;
}

static int
misuses(co_gen(int) g, void *arg)
{
	struct misuse *m = arg;
	co_gen(int) inner = co_gen_new(int, inner_yields, m);
	struct co_scope s;
	int v;

	m->self_next = co_gen_next(g, &v);
	co_scope(s) {
		m->in_scope = co_gen_yield(g, 1);
		if (co_inside())
			co_spawn(child_yields, m);
	}
	test_result(co_gen_next(inner, &v), -EPIPE);
	co_gen_free(inner);
	m->after = co_gen_yield(g, 5);
	return 0;
}

static int
misuse_main(void *arg)
{
	struct misuse m = { .child = -EINVAL };
	int v;

	(void)arg;
	m.g = co_gen_new(int, misuses, &m);
	test_result(co_gen_yield(m.g, 1), -EINVAL);	/* not begun */
	test_result(co_gen_next(m.g, &v), 0);
	ck_assert_int_eq(v, 5);
	test_result(co_gen_yield(m.g, 1), -EINVAL);	/* suspended */
	test_result(co_gen_next(m.g, &v), -EPIPE);
	test_result(co_gen_yield(m.g, 1), -EINVAL);	/* ended */
	test_result(m.self_next, -EDEADLK);
	test_result(m.in_scope, -EINVAL);
	test_result(m.child, -EINVAL);
	test_result(m.outer, -EINVAL);
	test_result(m.after, 0);
	co_gen_free(m.g);
	return 0;
}

TEST(yielding_from_elsewhere_is_an_error)
{
	everywhere(misuse_main);
}

/* --- waiting inside ------------------------------------------------------ */

struct pipe {
	chan(int) ch;
	int n;
};

static int
from_chan(co_gen(int) g, void *arg)
{
	struct pipe *p = arg;
	int v, code;

	while ((code = chan_recv(p->ch, &v)) == 0) {
		code = co_gen_yield(g, v * 2);
		if (code < 0)
			break;
	}
	return code == -EPIPE ? 0 : code;
}

static int
feeds(void *arg)
{
	struct pipe *p = arg;
	int i;

	for (i = 0; i < p->n; i++) {
		test_result(chan_send(p->ch, i), 0);
		if (i % 16 == 0)
			co_sleep(1);
	}
	chan_close(p->ch);
	return 0;
}

static int
waits_main(void *arg)
{
	struct pipe p = { chan_new(int, 0), (int)test_count(2000, 200000) };
	co_gen(int) g = co_gen_new(int, from_chan, &p);
	uint64_t id = co_id();
	int v, i;

	(void)arg;
	co_spawn(feeds, &p);
	for (i = 0; co_gen_next(g, &v) == 0; i++) {
		ck_assert_int_eq(v, i * 2);
		ck_assert_uint_eq(co_id(), id);
	}
	ck_assert_int_eq(i, p.n);
	co_gen_free(g);
	chan_unref(p.ch);
	return 0;
}

TEST(where_the_function_waits_the_caller_waits)
{
	FOR_WORKERS(w)
		run(w, waits_main, NULL);
}

static int
cancelled_main(void *arg)
{
	struct pipe p = { chan_new(int, 1), 0 };
	co_gen(int) g = co_gen_new(int, from_chan, &p);
	int v = 0, code = 0;

	(void)arg;
	chan_send(p.ch, 4);
	co_timeout(CO_MS(1)) {
		test_result(co_gen_next(g, &v), 0);
		code = co_gen_next(g, &v);
	}
	test_result(code, -ETIMEDOUT);	/* what the function returned */
	test_result(co_gen_next(g, &v), -ETIMEDOUT);
	ck_assert_int_eq(v, 8);
	co_gen_free(g);
	chan_unref(p.ch);
	return 0;
}

TEST(the_callers_deadline_holds_inside)
{
	everywhere(cancelled_main);
}

static int
adds(void *arg)
{
	co_sleep(CO_US(20));
	__atomic_add_fetch((int *)arg, 1, __ATOMIC_ACQ_REL);
	return 0;
}

static int
scopes(co_gen(int) g, void *arg)
{
	struct co_scope s;
	int i, k, n, code = 0;

	(void)arg;
	for (i = 0; code == 0; i++) {
		n = 0;
		co_scope(s, .timeout = CO_SEC(100)) {
			for (k = 0; k < i % 5; k++)
				co_spawn(adds, &n);
		}
		ck_assert_int_eq(s.status, 0);
		code = co_gen_yield(g, n);
	}
	return code;
}

static int
scopes_main(void *arg)
{
	co_gen(int) g = co_gen_new(int, scopes, NULL);
	struct co_scope s;
	int v, i;

	(void)arg;
	for (i = 0; i < 50; i++) {
		co_scope(s) {
			test_result(co_gen_next(g, &v), 0);
		}
		ck_assert_int_eq(v, i % 5);
	}
	co_gen_free(g);
	return 0;
}

TEST(the_function_may_enter_scopes_and_leave_them)
{
	FOR_WORKERS(w)
		run(w, scopes_main, NULL);
}

/* --- from hand to hand --------------------------------------------------- */

/* The way of a thread's rounding must not travel with the generator. */
static int
sums(co_gen(double) g, void *arg)
{
	double sum = 0;

	(void)arg;
	do {
		ck_assert_int_eq(fegetround(), FE_TONEAREST);
		sum += 0.5;
	} while (co_gen_yield(g, sum) == 0);
	return 0;
}

struct hands {
	chan(co_gen(double)) ch;
	int n, taken;
};

static int
hand(void *arg)
{
	struct hands *h = arg;
	co_gen(double) g;
	double v;
	int k;

	while (chan_recv(h->ch, &g) == 0) {
		k = __atomic_add_fetch(&h->taken, 1, __ATOMIC_ACQ_REL);
		test_result(co_gen_next(g, &v), 0);
		ck_assert(v == 0.5 * k);
		if (k < h->n) {
			test_result(chan_send(h->ch, g), 0);
			continue;
		}
		co_gen_free(g);
		chan_close(h->ch);
	}
	return 0;
}

static void *
hand_thread(void *arg)
{
	hand(arg);
	return NULL;
}

static int
hands_main(void *arg)
{
	struct hands *h = arg;
	struct co_scope s;
	pthread_t t;
	int i;

	h->ch = chan_new(co_gen(double), 1);
	h->taken = 0;
	ck_assert(!pthread_create(&t, NULL, hand_thread, h));
	co_scope(s) {
		for (i = 0; i < 8; i++)
			co_spawn(hand, h);
		chan_send(h->ch, co_gen_new(double, sums, NULL));
	}
	pthread_join(t, NULL);
	ck_assert_int_eq(h->taken, h->n);
	chan_unref(h->ch);
	return 0;
}

TEST(a_generator_goes_from_worker_to_worker_and_to_threads)
{
	struct hands h = { .n = (int)test_count(5000, 500000) };

	FOR_WORKERS(w)
		run(w, hands_main, &h);
}

/* A tree walked by generators in generators: as deep as it is high. */
struct node {
	int depth;
	int key;
};

static int
walk(co_gen(int) g, void *arg)
{
	struct node *n = arg, side;
	co_gen(int) sub;
	int i, v;

	for (i = 0; i < 2; i++) {
		if (n->depth > 0) {
			side.depth = n->depth - 1;
			side.key = 2 * n->key + i;
			sub = co_gen_new(int, walk, &side);
			while (co_gen_next(sub, &v) == 0)
				if (co_gen_yield(g, v) < 0)
					break;
			co_gen_free(sub);
		} else if (i == 0) {
			co_gen_yield(g, n->key);
		}
	}
	return 0;
}

static int
walk_main(void *arg)
{
	struct node root = { 7, 0 };
	co_gen(int) g = co_gen_new(int, walk, &root);
	int v, i;

	(void)arg;
	for (i = 0; co_gen_next(g, &v) == 0; i++)
		ck_assert_int_eq(v, i);
	ck_assert_int_eq(i, 128);
	co_gen_free(g);
	root = (struct node){ 7, 0 };
	g = co_gen_new(int, walk, &root);
	for (i = 0; i < 20; i++)	/* freed with all those inside */
		test_result(co_gen_next(g, &v), 0);
	co_gen_free(g);
	return 0;
}

TEST(generators_in_generators)
{
	everywhere(walk_main);
}

/* --- sizes, the stack ---------------------------------------------------- */

struct empty {
};
struct big {
	char bytes[1 << 20];
};

static int
gives_nothing(co_gen(struct empty) g, void *arg)
{
	struct empty e = { };

	(void)arg;
	return co_gen_yield(g, e);
}

static int
gives_much(co_gen(struct big) g, void *arg)
{
	struct big *b = arg;

	return co__gen_yield((void *)g, b);	/* no copy on this stack */
}

/* Some sizes have ways of their own. */
#define OF_SIZE(n) \
	struct of_##n { uint8_t b[n]; }; \
	static int \
	bytes_##n(co_gen(struct of_##n) g, void *arg) \
	{ \
		struct of_##n v; \
		int i; \
		(void)arg; \
		for (i = 0; i < 100; i++) { \
			memset(&v, i, sizeof v); \
			if (co_gen_yield(g, v) < 0) \
				return -1; \
		} \
		return 0; \
	} \
	static void \
	size_##n(void) \
	{ \
		co_gen(struct of_##n) g = \
		    co_gen_new(struct of_##n, bytes_##n, NULL); \
		struct { struct of_##n v; uint8_t after; } got, want; \
		int i; \
		memset(&got, 0xa5, sizeof got); \
		for (i = 0; co_gen_next(g, &got.v) == 0; i++) { \
			memset(&want, i, sizeof want); \
			want.after = 0xa5; \
			ck_assert(memcmp(&got, &want, sizeof got) == 0); \
		} \
		ck_assert_int_eq(i, 100); \
		co_gen_free(g); \
	}
OF_SIZE(1)
OF_SIZE(2)
OF_SIZE(3)
OF_SIZE(4)
OF_SIZE(5)
OF_SIZE(7)
OF_SIZE(8)
OF_SIZE(9)
OF_SIZE(16)

static int
sizes_main(void *arg)
{
	(void)arg;
	size_1();
	size_2();
	size_3();
	size_4();
	size_5();
	size_7();
	size_8();
	size_9();
	size_16();
	return 0;
}

TEST(values_of_all_small_sizes)
{
	everywhere(sizes_main);
}

TEST(values_of_no_size_and_of_a_megabyte)
{
	co_gen(struct empty) e = co_gen_new(struct empty, gives_nothing, NULL);
	struct big *from = malloc(sizeof *from), *to = malloc(sizeof *to);
	co_gen(struct big) b = co_gen_new(struct big, gives_much, from);
	struct empty none = { };

	memset(from, 0x3c, sizeof *from);
	test_result(co_gen_next(e, &none), 0);
	test_result(co_gen_next(e, &none), -EPIPE);
	test_result(co_gen_next(b, to), 0);
	ck_assert(memcmp(from, to, sizeof *to) == 0);
	test_result(co_gen_next(b, to), -EPIPE);
	co_gen_free(e);
	co_gen_free(b);
	free(from);
	free(to);
}

static int
deeper(volatile char *above)
{
	volatile char here[4096];

	here[0] = *above;
	if (here[0] == 0)	/* never */
		return 0;
	return deeper(here) + here[0];
}

static int
overflows(co_gen(int) g, void *arg)
{
	volatile char here = 1;

	(void)g, (void)arg;
	return deeper(&here);
}

static int
overflow_main(void *arg)
{
	co_gen(int) g = co_gen_new(int, overflows, NULL);
	int v;

	(void)arg;
	return co_gen_next(g, &v);
}

static int
overflow_child(void *arg)
{
	(void)arg;
	return co_run(NULL, overflow_main, NULL);
}

TEST(an_overflow_of_its_stack_is_reported)
{
	struct test_child c;

	if (test_slow() > 1)
		test_skip("the sanitizer reports it in its own way");
	c = test_child(overflow_child, NULL);
	ck_assert_int_eq(c.code, -1);
	test_has(c.err, "stack overflow in coroutine");
}

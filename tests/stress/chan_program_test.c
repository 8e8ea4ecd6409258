/* SPDX-License-Identifier: MIT */
/*
 * chan_program_test.c - programs of channels with exact results, after those
 * that Go tests its channels with: power series on demand (powser1), a chain
 * that keeps an order (fifo), many workers between two queues.
 *
 * Of Go's others, sieve and the chain of goroutines are in api/chan_test.c;
 * perm has nothing to port, as a chan(T) has no direction.
 */
#include "harness.h"

#include <weft/chan.h>
#include <weft/scope.h>
#include <weft/sync.h>

/* --- power series ---------------------------------------------------------- */

struct rat {
	int64_t num, den;
};

/* A series gives one coefficient for each demand.  Its coroutines go on for
   ever; they end with the scope. */
struct series {
	chan(int) demand;
	chan(struct rat) data;
	struct series *next;	/* [lock] of all there are */
};

static struct series *all;	/* [lock] */
static struct co_mutex lock = CO_MUTEX_INIT;

static struct rat
rat(int64_t num, int64_t den)
{
	int64_t a = num < 0 ? -num : num, b = den, c;

	while (b) {
		c = a % b;
		a = b;
		b = c;
	}
	return (struct rat){ num / a, den / a };
}

static struct rat
rat_add(struct rat a, struct rat b)
{
	return rat(a.num * b.den + b.num * a.den, a.den * b.den);
}

static struct rat
rat_mul(struct rat a, struct rat b)
{
	return rat(a.num * b.num, a.den * b.den);
}

static struct series *
series_new(void)
{
	struct series *s = calloc(1, sizeof *s);

	ck_assert_ptr_nonnull(s);
	s->demand = chan_new(int, 0);
	s->data = chan_new(struct rat, 0);
	co_shield()
		co_locked(&lock) {
			s->next = all;
			all = s;
		}
	return s;
}

static void
series_free_all(void)
{
	struct series *s;

	while ((s = all) != NULL) {
		all = s->next;
		chan_unref(s->demand);
		chan_unref(s->data);
		free(s);
	}
}

static int
get(struct series *s, struct rat *ret)
{
	int code = chan_send(s->demand, 1);

	return code < 0 ? code : chan_recv(s->data, ret);
}

/* One of each, asked for at the same time and taken as they come. */
static int
get_both(struct series *a, struct series *b, struct rat ret[2])
{
	chan(int) demand[2] = { a->demand, b->demand };
	chan(struct rat) data[2] = { NULL, NULL };
	int left, got;

	for (left = 4; left > 0; left--) {
		got = co_select(co_on_send(demand[0], 1),
		    co_on_send(demand[1], 1), co_on_recv(data[0], &ret[0]),
		    co_on_recv(data[1], &ret[1]));
		if (got < 0)
			return got;
		if (got < 2) {
			demand[got] = NULL;
			data[got] = (got == 0 ? a : b)->data;
		} else {
			data[got - 2] = NULL;
		}
	}
	return 0;
}

static int
wanted(struct series *s)
{
	int one;

	return chan_recv(s->demand, &one);
}

static int
put(struct series *s, struct rat v)
{
	int code = wanted(s);

	return code < 0 ? code : chan_send(s->data, v);
}

/* What a coroutine of a series needs, copied to its stack. */
struct op {
	struct series *a, *b, *z;
	struct rat c;
	int n;
	const int *coefficients;
};

#define start(fn, ...) \
	series_start(run_##fn, (struct op){ __VA_ARGS__ })

struct begun {
	struct op op;
	int (*fn)(struct op *);
};

static int
begin(struct begun *b)
{
	/* They all end so, and nothing else ends them. */
	test_result(b->fn(&b->op), -ECANCELED);
	return 0;
}

static struct series *
series_start(int (*fn)(struct op *), struct op o)
{
	int code;

	if (!o.z)
		o.z = series_new();
	code = co_go(begin, (struct begun){ o, fn });
	ck_assert(code == 0 || code == -ECANCELED);
	return o.z;
}

static int
run_polynomial(struct op *o)
{
	int i, code = 0;

	for (i = 0; code == 0; i++)
		code = put(o->z, rat(i < o->n ? o->coefficients[i] : 0, 1));
	return code;
}

static int
run_repeat(struct op *o)
{
	int code;

	while ((code = put(o->z, o->c)) == 0)
		continue;
	return code;
}

static int
run_scale(struct op *o)
{
	struct rat v;
	int code;

	while ((code = wanted(o->z)) == 0 && (code = get(o->a, &v)) == 0 &&
	    (code = chan_send(o->z->data, rat_mul(o->c, v))) == 0)
		continue;
	return code;
}

static int
run_copy(struct op *o)
{
	o->c = rat(1, 1);
	return run_scale(o);
}

static int
run_shift(struct op *o)
{
	int code = put(o->z, o->c);

	return code < 0 ? code : run_copy(o);
}

static int
run_add(struct op *o)
{
	struct rat v[2];
	int code;

	while ((code = wanted(o->z)) == 0 &&
	    (code = get_both(o->a, o->b, v)) == 0 &&
	    (code = chan_send(o->z->data, rat_add(v[0], v[1]))) == 0)
		continue;
	return code;
}

/* --- one series read by two: the one that is behind gets what was kept ----- */

struct split {
	struct series *in, *out[2];
	chan(int) wait;		/* until the other one may be served as well */
};

static int split_one(struct split *s);

static int
split_begin(struct split *s)
{
	int code = split_one(s);

	chan_unref(s->wait);
	test_result(code, -ECANCELED);
	return 0;
}

static int
split_next(struct split s)
{
	int code;

	chan_ref(s.wait);
	code = co_go(split_begin, s);
	if (code < 0)
		chan_unref(s.wait);
	return code;
}

/* Serves each of them once, then lets its successor do so. */
static int
split_serve(struct split *s, chan(int) release, bool both)
{
	struct rat v;
	int one, code = chan_recv(s->in->data, &v);

	if (code == 0)
		code = chan_send(s->out[0]->data, v);
	if (code == 0 && !both)
		code = chan_recv(s->wait, &one);
	if (code == 0)
		code = put(s->out[1], v);
	return code < 0 ? code : chan_send(release, 0);
}

static int
split_one(struct split *s)
{
	struct series *first = s->out[0];
	bool both = false;
	chan(int) release;
	int one, got, code;

	got = co_select(co_on_recv(first->demand, &one),
	    co_on_recv(s->wait, &one));
	if (got == 1) {
		both = true;
		got = co_select(co_on_recv(first->demand, &one),
		    co_on_recv(s->out[1]->demand, &one));
		if (got == 1) {
			s->out[0] = s->out[1];
			s->out[1] = first;
		}
	}
	if (got < 0)
		return got;
	code = chan_send(s->in->demand, 1);
	if (code < 0)
		return code;
	release = chan_new(int, 0);
	code = split_next((struct split){ s->in, { s->out[0], s->out[1] },
	    release });
	if (code == 0)
		code = split_serve(s, release, both);
	chan_unref(release);
	/* This one is done, as the next one goes on. */
	return code == 0 ? -ECANCELED : code;
}

static int
split(struct series *in, struct series *out[2])
{
	chan(int) release = chan_new(int, 0);
	int i, code;

	for (i = 0; i < 2; i++)
		if (!out[i])
			out[i] = series_new();
	code = split_next((struct split){ in, { out[0], out[1] }, release });
	if (code == 0)
		code = chan_send(release, 0);
	chan_unref(release);
	return code;
}

/* --- products and what comes of them --------------------------------------- */

static int
run_mul(struct op *o)
{
	struct series *aa[2] = { NULL, NULL }, *bb[2] = { NULL, NULL }, *w;
	struct rat v[2];
	int code = wanted(o->z);

	if (code == 0)
		code = get_both(o->a, o->b, v);
	if (code == 0)
		code = chan_send(o->z->data, rat_mul(v[0], v[1]));
	if (code == 0)
		code = split(o->a, aa);
	if (code == 0)
		code = split(o->b, bb);
	if (code < 0)
		return code;
	w = start(add, .a = start(scale, .a = bb[0], .c = v[0]),
	    .b = start(scale, .a = aa[0], .c = v[1]));
	code = wanted(o->z);
	if (code == 0)
		code = get(w, &v[0]);
	if (code == 0)
		code = chan_send(o->z->data, v[0]);
	if (code < 0)
		return code;
	o->a = start(add, .a = w, .b = start(mul, .a = aa[1], .b = bb[1]));
	return run_copy(o);
}

static int
run_differentiate(struct op *o)
{
	struct rat v;
	int i, code = wanted(o->z);

	if (code == 0)
		code = get(o->a, &v);		/* the constant */
	for (i = 1; code == 0; i++) {
		code = get(o->a, &v);
		if (code == 0)
			code = chan_send(o->z->data, rat_mul(rat(i, 1), v));
		if (code == 0)
			code = wanted(o->z);
	}
	return code;
}

static int
run_integrate(struct op *o)
{
	int i, code = put(o->z, o->c);
	struct rat v;

	for (i = 1; code == 0; i++) {
		code = wanted(o->z);
		if (code == 0)
			code = get(o->a, &v);
		if (code == 0)
			code = chan_send(o->z->data, rat_mul(v, rat(1, i)));
	}
	return code;
}

/* 1 / a: z0 = 1 / a0, and the rest is -z0 (a - a0) z. */
static int
run_reciprocal(struct op *o)
{
	struct series *zz[2] = { NULL, series_new() };
	struct rat v;
	int code = wanted(o->z);

	zz[0] = series_new();
	if (code == 0)
		code = get(o->a, &v);
	if (code < 0)
		return code;
	v = v.num < 0 ? rat(-v.den, -v.num) : rat(v.den, v.num);
	code = chan_send(o->z->data, v);
	if (code == 0)
		code = split(start(mul, .a = start(scale, .a = o->a,
		    .c = rat(-v.num, v.den)), .b = start(shift, .a = zz[0],
		    .c = v)), zz);
	o->a = zz[1];
	return code < 0 ? code : run_copy(o);
}

/* z = 1 + the integral of z a' */
static struct series *
exponential(struct series *a)
{
	struct series *zz[2] = { series_new(), series_new() };

	test_result(split(start(integrate, .a = start(mul, .a = zz[0],
	    .b = start(differentiate, .a = a)), .c = rat(1, 1)), zz), 0);
	return zz[1];
}

static void
is_series(const char *what, struct series *s, const struct rat *want, int n)
{
	struct rat v;
	int i;

	for (i = 0; i < n; i++) {
		test_result(get(s, &v), 0);
		ck_assert_msg(v.num == want[i].num && v.den == want[i].den,
		    "%s: the coefficient of x^%d is %lld/%lld", what, i,
		    (long long)v.num, (long long)v.den);
	}
}

#define ONES	start(repeat, .c = rat(1, 1))

static int
series_main(void *arg)
{
	enum { N = 10 };
	static const struct rat threes[N] = { { 3, 1 }, { 3, 1 }, { 3, 1 },
	    { 3, 1 }, { 3, 1 }, { 3, 1 }, { 3, 1 }, { 3, 1 }, { 3, 1 },
	    { 3, 1 } };
	static const struct rat up[N] = { { 1, 1 }, { 2, 1 }, { 3, 1 },
	    { 4, 1 }, { 5, 1 }, { 6, 1 }, { 7, 1 }, { 8, 1 }, { 9, 1 },
	    { 10, 1 } };
	static const struct rat minus[N] = { { 1, 1 }, { -1, 1 }, { 0, 1 },
	    { 0, 1 }, { 0, 1 }, { 0, 1 }, { 0, 1 }, { 0, 1 }, { 0, 1 },
	    { 0, 1 } };
	static const struct rat e[N] = { { 1, 1 }, { 1, 1 }, { 3, 2 },
	    { 13, 6 }, { 73, 24 }, { 167, 40 }, { 4051, 720 }, { 37633, 5040 },
	    { 43817, 4480 }, { 4596553, 362880 } };
	static const struct rat atan[N] = { { 0, 1 }, { 1, 1 }, { 0, 1 },
	    { -1, 3 }, { 0, 1 }, { 1, 5 }, { 0, 1 }, { -1, 7 }, { 0, 1 },
	    { 1, 9 } };
	static const int square[] = { 1, 0, 1 };	/* 1 + x^2 */
	struct co_scope s;

	(void)arg;
	co_scope(s) {
		is_series("1.. + 2..", start(add, .a = ONES,
		    .b = start(repeat, .c = rat(2, 1))), threes, N);
		is_series("1.. squared", start(mul, .a = ONES, .b = ONES),
		    up, N);
		is_series("1 / 1..", start(reciprocal, .a = ONES), minus, N);
		is_series("exp", exponential(ONES), e, N);
		is_series("atan", start(integrate, .a = start(reciprocal,
		    .a = start(polynomial, .n = 3, .coefficients = square)),
		    .c = rat(0, 1)), atan, N);
		co_cancel(&s);
	}
	series_free_all();
	return 0;
}

TEST(power_series_have_exact_coefficients, .seconds = 120)
{
	uint64_t i, n = test_count(3, 500);

	FOR_WORKERS(w) {
		for (i = 0; i < n; i++)
			test_result(test_run(w, series_main, NULL), 0);
		test_soak("power series", 5 * n);
	}
}

/* --- a chain that keeps an order ------------------------------------------- */

struct turn {
	chan(int) values, in, out;
	int n;
};

static int
take_turn(struct turn *t)
{
	int one, v = -1;

	test_result(chan_recv(t->in, &one), 0);
	test_result(chan_recv(t->values, &v), 0);
	ck_assert_int_eq(v, t->n);
	test_result(chan_send(t->out, 1), 0);
	chan_unref(t->in);
	chan_unref(t->out);
	return 0;
}

static int
turns_main(void *arg)
{
	chan(int) values = chan_new(int, 0), start_it = chan_new(int, 0);
	chan(int) in = chan_ref(start_it);
	int i, one, n = (int)test_count(1000, 20000);
	struct co_scope s;

	(void)arg;
	co_scope(s) {
		for (i = 0; i < n; i++) {
			chan(int) out = chan_new(int, 0);

			test_result(co_go(take_turn, (struct turn){ values, in,
			    chan_ref(out), i }), 0);
			in = out;
		}
		test_result(chan_send(start_it, 0), 0);
		for (i = 0; i < n; i++)
			test_result(chan_send(values, i), 0);
		test_result(chan_recv(in, &one), 0);
	}
	chan_unref(in);
	chan_unref(start_it);
	chan_unref(values);
	return s.status;
}

TEST(a_chain_takes_values_in_its_own_order)
{
	FOR_WORKERS(w)
		test_result(test_run(w, turns_main, NULL), 0);
}

/* --- what a send evaluates ------------------------------------------------- */

static int evaluated;

static int
once(int v)
{
	evaluated++;
	return v;
}

/* Any expression is a value, and counts once; the channel too. */
static int
expressions_main(void *arg)
{
	chan(int) c = chan_new(int, 8);
	chan(_Bool) b = chan_new(_Bool, 2);
	int at = 0, v = -1;
	chan(int) many[2] = { NULL, c };
	bool is = false;

	(void)arg;
	evaluated = 0;
	test_result(chan_send(b, once(2) == 2), 0);
	test_result(chan_recv(b, &is), 0);
	ck_assert(is);
	test_result(chan_send(many[++at], once(5) << 1 | 1), 0);
	test_result(chan_try_send(c, once(1) ? once(7) : once(8)), 0);
	ck_assert_int_eq(co_select(co_on_send(c, (once(1), once(9)))), 0);
	ck_assert_int_eq(at, 1);
	ck_assert_int_eq(evaluated, 6);
	test_result(chan_recv(many[at--], &v), 0);
	ck_assert_int_eq(v, 11);
	ck_assert_int_eq(at, 0);
	test_result(chan_recv(c, &v), 0);
	ck_assert_int_eq(v, 7);
	test_result(chan_recv(c, &v), 0);
	ck_assert_int_eq(v, 9);
	chan_unref(c);
	chan_unref(b);
	return 0;
}

TEST(a_send_evaluates_its_expressions_once)
{
	test_result(test_run(1, expressions_main, NULL), 0);
}

/* --- workers between two queues -------------------------------------------- */

enum { WORKERS = 23, PRIMES = 10 };
static const int primes[PRIMES] = { 2, 3, 7, 11, 13, 17, 19, 23, 27, 31 };

struct works {
	chan(int) in, out;
	uint64_t n;		/* items */
	int ended;		/* [atomic] workers */
};

struct work {
	struct works *all;
	int prime;		/* at these it lets others go before it */
	int again;		/* ... and puts every so many-th back */
};

static int
work(struct work *w)
{
	struct works *all_of = w->all;
	int seen = 0;

	chan_each(int, v, all_of->in) {
		if (v == w->prime)
			co_yield();
		if (++seen % w->again == 0 &&
		    chan_try_send(all_of->in, v) == 0)
			continue;
		test_result(chan_send(all_of->out, v), 0);
	}
	/* The last one says that there is no more. */
	if (__atomic_add_fetch(&all_of->ended, 1, __ATOMIC_ACQ_REL) == WORKERS)
		test_result(chan_close(all_of->out), 0);
	return 0;
}

static int
hand_in(struct works **at)
{
	struct works *w = *at;
	uint64_t i;

	for (i = 0; i < w->n; i++)
		test_result(chan_send(w->in, primes[i % PRIMES]), 0);
	return chan_close(w->in);
}

static int
works_main(void *arg)
{
	struct works w = { .in = chan_new(int, WORKERS * 3),
	    .out = chan_new(int, WORKERS * 3), .n = *(uint64_t *)arg };
	uint64_t i, n = 0, sum = 0, want = 0;
	struct co_scope s;

	for (i = 0; i < w.n; i++)
		want += (uint64_t)primes[i % PRIMES];
	co_scope(s) {
		for (i = 0; i < WORKERS; i++)
			test_result(co_go(work, (struct work){ &w,
			    primes[i % PRIMES], 3 + (int)i }), 0);
		test_result(co_go(hand_in, &w), 0);
		chan_each(int, v, w.out) {
			n++;
			sum += (uint64_t)v;
		}
	}
	test_result(s.status, 0);
	ck_assert_int_eq(w.ended, WORKERS);
	ck_assert_uint_eq(n, w.n);
	ck_assert_uint_eq(sum, want);
	chan_unref(w.in);
	chan_unref(w.out);
	return 0;
}

TEST(many_workers_hand_on_each_item_once, .seconds = 120)
{
	uint64_t n = test_count(271828, 271828 * 20);

	FOR_WORKERS(w) {
		test_result(test_run(w, works_main, &n), 0);
		test_soak("items handed on", n);
	}
}

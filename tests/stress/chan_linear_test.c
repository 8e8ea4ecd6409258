/* SPDX-License-Identifier: MIT */
/*
 * chan_linear_test.c - short histories of channel operations on several
 * workers, each of them checked to be linearizable.
 *
 * A history is four coroutines that do three operations each on one or two
 * channels of their own; and somebody who closes these when it is enough.  Each
 * operation takes a number from one clock before and after.  A history is right
 * if its operations can be put in an order in which
 *
 *	L1  none comes before one that had returned before it was called;
 *	L2  each does what a channel does that nobody else makes use of: a
 *	    queue of some capacity that is open or closed;
 *	L3  a value that goes through a channel without a buffer does so in a
 *	    send and a receive at the same place in the order, one of which was
 *	    allowed to wait;
 *	L4  who did not wait, by a try or co_otherwise, had no case that was
 *	    ready at its place in the order.  (That somebody waits at the other
 *	    end of a channel without a buffer shows in no order; this is not
 *	    checked.)
 *
 * An operation that ended by a deadline is left out: it has had no effect.
 *
 * The search goes through all orders depth first, as Wing and Gong do, and
 * remembers, as Lowe does, which operations left it in which state in vain.
 */
#include "harness.h"

#include <sched.h>

#include <weft/chan.h>
#include <weft/scope.h>

#define load(p)		__atomic_load_n((p), __ATOMIC_SEQ_CST)
#define add(p, n)	__atomic_add_fetch((p), (n), __ATOMIC_SEQ_CST)

enum {
	COROS = 4, EACH = 3, CHANS = 2, WAYS = 2,
	ALL = COROS * EACH + CHANS,	/* and the closes at the end */
	BATCH = 2500,		/* histories at a time */
	PATIENCE = 30		/* yields until the channels are closed */
};

enum direction { RECV, SEND };

struct way {
	uint8_t ch;
	uint8_t dir;
	uint8_t value;		/* to send; or received */
};

struct op {
	bool close;		/* of way[0].ch */
	bool select;
	bool otherwise;		/* or a try */
	bool limited;		/* by a deadline */
	uint8_t n, taken;	/* ways; the one that took effect */
	struct way way[WAYS];
	int code, status;	/* of the call, of the way */
	uint64_t from, to;	/* by the clock */
};

struct history {
	chan(int) ch[CHANS];
	uint8_t cap[CHANS];
	int nchans;
	int begun, ended;	/* [atomic] coroutines */
	struct op op[ALL];	/* EACH of each coroutine */
};

static uint64_t clock_now;	/* [atomic] */

/* --- making -------------------------------------------------------------- */

static void
make_op(struct history *h, struct op *op, uint8_t value, uint64_t *seed)
{
	uint64_t dice = test_below(seed, 40);
	int i;

	*op = (struct op){ .n = 1 };
	if (dice == 0)
		op->close = true;
	else if (dice < 16)
		op->select = true;
	if (op->select)
		op->n = WAYS;
	for (i = 0; i < op->n; i++) {
		op->way[i].ch = (uint8_t)test_below(seed,
		    (uint64_t)h->nchans);
		op->way[i].dir = (uint8_t)test_below(seed, 2);
		op->way[i].value = (uint8_t)(value + i);
	}
	op->otherwise = test_below(seed, 4) == 0;
	op->limited = test_below(seed, 8) == 0;
}

static void
make(struct history *h, uint64_t *seed)
{
	int i;

	memset(h, 0, sizeof *h);
	h->nchans = 1 + (int)test_below(seed, CHANS);
	for (i = 0; i < h->nchans; i++) {
		h->cap[i] = (uint8_t)test_below(seed, 3);
		h->ch[i] = chan_new(int, h->cap[i]);
	}
	for (i = 0; i < COROS * EACH; i++)
		make_op(h, &h->op[i], (uint8_t)(1 + i * WAYS), seed);
}

/* --- doing --------------------------------------------------------------- */

static int
do_single(struct history *h, struct op *op)
{
	struct way *w = &op->way[0];
	chan(int) ch = h->ch[w->ch];
	int v = 0, code;

	if (w->dir == SEND)
		return op->otherwise ? chan_try_send(ch, w->value) :
		    chan_send(ch, w->value);
	code = op->otherwise ? chan_try_recv(ch, &v) : chan_recv(ch, &v);
	w->value = (uint8_t)v;
	return code;
}

static int
do_select(struct history *h, struct op *op)
{
	struct co_case cases[WAYS + 1];
	int v[WAYS], status[WAYS], i, code;

	for (i = 0; i < op->n; i++) {
		struct way *w = &op->way[i];

		v[i] = w->dir == SEND ? w->value : 0;
		cases[i] = w->dir == SEND ?
		    co_on_send_from(h->ch[w->ch], &v[i], &status[i]) :
		    co_on_recv(h->ch[w->ch], &v[i], &status[i]);
	}
	if (op->otherwise)
		cases[i] = co_otherwise;
	code = co_select_v(cases, op->n + op->otherwise);
	if (code < 0 || code == op->n)
		return code < 0 ? code : -EAGAIN;
	op->taken = (uint8_t)code;
	op->way[code].value = (uint8_t)v[code];
	return status[code];
}

static void
do_op(struct history *h, struct op *op)
{
	int code;

	op->from = add(&clock_now, 1);
	if (op->close)
		code = chan_close(h->ch[op->way[0].ch]);
	else if (op->select)
		code = do_select(h, op);
	else
		code = do_single(h, op);
	op->to = add(&clock_now, 1);
	if (code == -EPIPE && !op->close)
		op->status = code;
	else
		op->code = code;
}

static void
do_ops(struct history *h, int me, uint64_t *seed)
{
	struct op *op = &h->op[me * EACH];
	int i;

	for (i = 0; i < EACH; i++) {
		if (!op[i].limited) {
			do_op(h, &op[i]);
			continue;
		}
		co_timeout((co_time)test_below(seed, 20000))
			do_op(h, &op[i]);
	}
}

struct batch {
	struct history *history;
	int n, workers;
	int here;		/* [atomic] */
	int numbers;		/* [atomic] */
	uint64_t seed;
};

static int
coroutine(void *arg)
{
	struct batch *b = arg;
	int me = add(&b->numbers, 1) - 1, i, k;
	uint64_t seed = b->seed + (uint64_t)me;
	struct history *h;

	for (i = 0; i < b->n; i++) {
		h = &b->history[i];
		add(&h->begun, 1);
		for (k = 0; k < PATIENCE && load(&h->begun) < COROS; k++)
			co_yield();
		do_ops(h, me, &seed);
		add(&h->ended, 1);
	}
	return 0;
}

/* Ends all that would wait for ever. */
static int
closer(void *arg)
{
	struct batch *b = arg;
	struct history *h;
	struct op *op;
	int i, k;

	for (i = 0; i < b->n; i++) {
		h = &b->history[i];
		while (load(&h->begun) < COROS && load(&h->ended) == 0)
			co_yield();
		for (k = 0; k < PATIENCE && load(&h->ended) < COROS; k++)
			co_yield();
		for (k = 0; k < h->nchans; k++) {
			op = &h->op[COROS * EACH + k];
			op->close = true;
			op->n = 1;
			op->way[0].ch = (uint8_t)k;
			do_op(h, op);
		}
	}
	return 0;
}

/* One on each worker, as none of them yields; they start the others there. */
static int
start_some(void *arg)
{
	struct co_spawn_options o = { .pinned = true };
	struct batch *b = arg;
	int64_t until = test_now() + CO_MS(20);
	int i = add(&b->here, 1) - 1;

	while (load(&b->here) < b->workers && test_now() < until)
		sched_yield();
	for (; i <= COROS; i += b->workers)
		test_result(co_spawn_with(&o, i == COROS ? closer : coroutine,
		    b), 0);
	return 0;
}

static int
batch_main(void *arg)
{
	struct batch *b = arg;
	struct co_scope s;
	int i;

	co_scope(s)
		for (i = 0; i < b->workers; i++)
			test_result(co_spawn(start_some, b), 0);
	return s.status;
}

/* --- checking ------------------------------------------------------------ */

struct state {
	uint8_t closed[CHANS], n[CHANS];
	uint8_t buf[CHANS][ALL + 2];
};

enum { TABLE = 1 << 12 };

struct search {
	const struct history *h;
	const struct op *op[ALL];
	int n;
	uint64_t generation;
	struct {
		uint64_t key, generation;
	} table[TABLE];		/* in vain; what is overwritten costs time */
};

static bool
is_ready(const struct history *h, const struct state *s, const struct way *w)
{
	if (s->closed[w->ch])
		return true;
	return w->dir == RECV ? s->n[w->ch] > 0 : s->n[w->ch] < h->cap[w->ch];
}

static bool
none_ready(const struct history *h, const struct state *s, const struct op *op)
{
	int i;

	for (i = 0; i < op->n; i++)
		if (is_ready(h, s, &op->way[i]))
			return false;
	return true;
}

/* L2, L4: could op have happened here, by itself?  Then *s is what follows. */
static bool
step(const struct history *h, struct state *s, const struct op *op)
{
	const struct way *w = &op->way[op->taken];
	int c = w->ch;

	if (op->close) {
		if ((op->code == 0) == s->closed[c])
			return false;
		s->closed[c] = 1;
		return true;
	}
	if (op->code == -EAGAIN)
		return none_ready(h, s, op);
	if (op->status == -EPIPE)
		return s->closed[c] && (w->dir == SEND ||
		    (s->n[c] == 0 && w->value == 0));
	if (w->dir == SEND) {
		if (s->closed[c] || s->n[c] >= h->cap[c])
			return false;
		s->buf[c][s->n[c]++] = w->value;
		return true;
	}
	if (s->n[c] == 0 || s->buf[c][0] != w->value)
		return false;
	memmove(s->buf[c], s->buf[c] + 1, --s->n[c]);
	s->buf[c][s->n[c]] = 0;		/* states that are equal look equal */
	return true;
}

/* L3. */
static bool
meet(const struct history *h, const struct state *s, const struct op *a,
    const struct op *b)
{
	const struct way *w = &a->way[a->taken], *v = &b->way[b->taken];

	return !a->close && !b->close && a->code == 0 && b->code == 0 &&
	    a->status == 0 && b->status == 0 && w->ch == v->ch &&
	    h->cap[w->ch] == 0 && !s->closed[w->ch] && w->dir != v->dir &&
	    w->value == v->value && !(a->otherwise && b->otherwise);
}

/* L1, for the operations that are not in `done`. */
static bool
may_be_next(const struct search *f, uint32_t done, int x)
{
	int y;

	for (y = 0; y < f->n; y++)
		if (!(done >> y & 1) && f->op[y]->to < f->op[x]->from)
			return false;
	return true;
}

static uint64_t
key_of(uint32_t done, const struct state *s)
{
	uint64_t key = done + UINT64_C(0xcbf29ce484222325);
	const uint8_t *at = (const uint8_t *)s;
	size_t i;

	for (i = 0; i < sizeof *s; i++)
		key = (key ^ at[i]) * UINT64_C(0x100000001b3);
	return key;
}

static bool
search(struct search *f, uint32_t done, struct state s)
{
	uint64_t key = key_of(done, &s);
	size_t at = (key >> 20) % TABLE;
	struct state next;
	int x, y;

	if (done == (UINT32_C(1) << f->n) - 1)
		return true;
	if (f->table[at].key == key &&
	    f->table[at].generation == f->generation)
		return false;
	for (x = 0; x < f->n; x++) {
		if ((done >> x & 1) || !may_be_next(f, done, x))
			continue;
		next = s;
		if (step(f->h, &next, f->op[x]) &&
		    search(f, done | UINT32_C(1) << x, next))
			return true;
		for (y = 0; y < x; y++) {
			if (!(done >> y & 1) && may_be_next(f, done, y) &&
			    meet(f->h, &s, f->op[x], f->op[y]) &&
			    search(f, done | UINT32_C(1) << x |
			    UINT32_C(1) << y, s))
				return true;
		}
	}
	f->table[at].key = key;
	f->table[at].generation = f->generation;
	return false;
}

static void
print(const struct history *h)
{
	const struct op *op;
	int i, k;

	for (i = 0; i < h->nchans; i++)
		fprintf(stderr, "channel %d: capacity %d\n", i, h->cap[i]);
	for (i = 0; i < COROS * EACH + h->nchans; i++) {
		op = &h->op[i];
		fprintf(stderr, "%d: %llu-%llu %s%s", i / EACH,
		    (unsigned long long)op->from, (unsigned long long)op->to,
		    op->close ? "close " : op->select ? "select " : "",
		    op->otherwise ? "try " : "");
		for (k = 0; k < op->n; k++)
			fprintf(stderr, "%s(%d, %d) ", op->way[k].dir == SEND ?
			    "send" : "recv", op->way[k].ch, op->way[k].value);
		fprintf(stderr, "= code %d, case %d, status %d\n", op->code,
		    op->taken, op->status);
	}
}

static void
check(struct search *f, const struct history *h, int number)
{
	struct state s;
	int i;

	memset(&s, 0, sizeof s);
	f->h = h;
	f->n = 0;
	f->generation++;
	for (i = 0; i < COROS * EACH + h->nchans; i++)
		if (h->op[i].code != -ETIMEDOUT)
			f->op[f->n++] = &h->op[i];
	if (search(f, 0, s))
		return;
	print(h);
	ck_abort_msg("history %d is not linearizable", number);
}

/* --- all of it ----------------------------------------------------------- */

static void
run_batch(int workers, int n, uint64_t seed)
{
	struct history *h = calloc((size_t)n, sizeof *h);
	struct search *f = calloc(1, sizeof *f);
	struct batch b = { .history = h, .n = n, .workers = workers,
	    .seed = seed };
	int i, k;

	for (i = 0; i < n; i++)
		make(&h[i], &seed);
	test_result(test_run(workers, batch_main, &b), 0);
	for (i = 0; i < n; i++) {
		check(f, &h[i], i);
		for (k = 0; k < h[i].nchans; k++)
			chan_unref(h[i].ch[k]);
	}
	free(f);
	free(h);
}

static void
histories(int workers)
{
	uint64_t n = test_count(5000, 500000), i;

	for (i = 0; i < n; i += BATCH)
		run_batch(workers, (int)(n - i < BATCH ? n - i : BATCH),
		    test_seed() + i);
	test_soak("histories", n);
}

TEST(histories_on_two_workers_are_linearizable, .seconds = 600)
{
	histories(2);
}

TEST(histories_on_four_workers_are_linearizable, .seconds = 600)
{
	histories(4);
}

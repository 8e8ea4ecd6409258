/* SPDX-License-Identifier: MIT */
/*
 * chan_message_test.c - tagged messages from many producers to many consumers:
 * none is lost, doubled, or overtaken by a later one of its producer.
 *
 * Producers are coroutines and plain threads.  They send by chan_send, by
 * chan_try_send and by selects over all channels; consumers receive likewise;
 * many of these waits are given less time than they need, and a wait that fails
 * must not have taken or sent anything.  Each channel has one counter of each
 * producer's messages: a producer numbers what it sends per channel, so that a
 * message tells which one must come before it, whichever case a select took.
 *
 * A channel's messages come out in the order they went in, but two consumers
 * may look at theirs in another one.  So each consumer checks that the numbers
 * it sees of one producer on one channel grow, and a bit for each message, set
 * by who receives it, that all came once.
 */
#include "harness.h"

#include <pthread.h>
#include <sched.h>

#include <weft/chan.h>
#include <weft/scope.h>

#define load(p)		__atomic_load_n((p), __ATOMIC_ACQUIRE)
#define add(p, n)	__atomic_add_fetch((p), (n), __ATOMIC_ACQ_REL)

enum { CHANS = 3, MOST = 8 };	/* channels; producers of a flow */

struct message {
	uint32_t from;
	uint32_t number;	/* of this producer, on this channel */
};

struct flow {
	chan(struct message) ch[CHANS];
	size_t caps[CHANS];
	int coros, threads;	/* producers of each kind */
	int consumers, eaters;	/* coroutines, threads */
	uint32_t each;		/* messages of each producer */
	int cancels;		/* of 8 waits so many are given little time */
	bool cut;		/* somebody closes while they send */
	int born, ended;	/* [atomic] producers */
	uint64_t sent, failed;	/* [atomic] */
	uint64_t got[CHANS];	/* [atomic] */
	uint32_t last[CHANS][MOST];	/* messages sent; by the producer */
	uint64_t *seen[CHANS][MOST];	/* [atomic] bits */
};

/* --- producers ----------------------------------------------------------- */

/* Little time: from none at all to about what a wake-up takes. */
static co_time
little(uint64_t *seed)
{
	return (co_time)test_below(seed, 8) * (co_time)test_below(seed, 5000);
}

/* One attempt to send; the channel it went to, or a negative code. */
static int
send_once(struct flow *f, struct message m[CHANS], uint64_t *seed)
{
	int k = (int)test_below(seed, CHANS), i, code, status = 0;

	switch (test_below(seed, 4)) {
	case 0:
		code = chan_try_send(f->ch[k], m[k]);
		break;
	case 1:
		k = code = co_select(co_on_send(f->ch[0], m[0], &status),
		    co_on_send(f->ch[1], m[1], &status),
		    co_on_send_from(f->ch[2], &m[2], &status));
		break;
	case 2:
		i = (k + 1) % CHANS;
		code = co_select(co_on_send(f->ch[k], m[k], &status),
		    co_on_send(f->ch[i], m[i], &status),
		    co_on_timeout(little(seed)));
		k = code == 1 ? i : k;
		code = code == 2 ? -EAGAIN : code;
		break;
	default:
		code = chan_send(f->ch[k], m[k]);
	}
	return code < 0 ? code : status < 0 ? status : k;
}

static int
send_one(struct flow *f, struct message m[CHANS], uint64_t *seed)
{
	int code = 0;

	if ((int)test_below(seed, 8) >= f->cancels)
		return send_once(f, m, seed);
	co_timeout(little(seed))
		code = send_once(f, m, seed);
	return code;
}

static int
produce(void *arg)
{
	struct flow *f = arg;
	uint32_t me = (uint32_t)add(&f->born, 1) - 1, n = 0;
	uint64_t seed = test_seed() + me, failed = 0;
	struct message m[CHANS] = { { me, 0 }, { me, 0 }, { me, 0 } };
	int k;

	while (n < f->each) {
		k = send_one(f, m, &seed);
		if (k == -EPIPE)
			break;
		if (k >= 0) {
			m[k].number++;
			n++;
			continue;
		}
		ck_assert(k == -EAGAIN || k == -ETIMEDOUT);
		if (k == -EAGAIN)
			co_yield();
		failed++;
	}
	for (k = 0; k < CHANS; k++)
		f->last[k][me] = m[k].number;
	add(&f->sent, n);
	add(&f->failed, failed);
	if (add(&f->ended, 1) == f->coros + f->threads)
		for (k = 0; k < CHANS; k++)
			chan_close(f->ch[k]);
	return 0;
}

/* --- consumers ----------------------------------------------------------- */

struct consumer {
	struct flow *f;
	chan(struct message) open[CHANS];	/* NULL: closed and drained */
	int left;		/* that are open */
	int only;		/* receives from this one, or -1: from all */
	uint64_t seed;
	uint32_t next[CHANS][MOST];	/* at least this number comes */
	uint64_t got[CHANS];
};

static void
check(struct consumer *c, int k, struct message m)
{
	uint64_t bit = UINT64_C(1) << (m.number & 63);
	uint64_t *word;

	ck_assert_uint_lt(m.from, MOST);
	ck_assert_uint_lt(m.number, c->f->each);
	ck_assert_uint_ge(m.number, c->next[k][m.from]);	/* in order */
	c->next[k][m.from] = m.number + 1;
	word = &c->f->seen[k][m.from][m.number / 64];
	ck_assert(!(__atomic_fetch_or(word, bit, __ATOMIC_RELAXED) & bit));
	c->got[k]++;
}

/* One that is open. */
static int
some(struct consumer *c)
{
	int k = c->only >= 0 ? c->only : (int)test_below(&c->seed, CHANS);

	while (!c->open[k])
		k = (k + 1) % CHANS;
	return k;
}

/* One attempt to receive; the code, and from which channel. */
static int
recv_once(struct consumer *c, struct message *m, int *ret_from)
{
	int k = some(c), status = 0, code;
	uint64_t how = test_below(&c->seed, c->only >= 0 ? 3 : 5);

	*ret_from = k;
	if (how == 0)
		return chan_try_recv(c->open[k], m);
	if (how == 1)
		return chan_recv(c->open[k], m);
	if (how == 2)
		code = co_select(co_on_recv(c->open[k], m, &status),
		    co_on_timeout(little(&c->seed))) == 0 ? k : -EAGAIN;
	else if (how == 3)
		code = co_select(co_on_recv(c->open[0], m, &status),
		    co_on_recv(c->open[1], m, &status),
		    co_on_recv(c->open[2], m, &status));
	else
		code = co_select(co_on_recv(c->open[0], m, &status),
		    co_on_recv(c->open[1], m, &status),
		    co_on_recv(c->open[2], m, &status), co_otherwise);
	if (code < 0)
		return code;
	if (code == CHANS)
		return -EAGAIN;
	*ret_from = code;
	return status;
}

static int
recv_one(struct consumer *c, struct message *m, int *ret_from)
{
	int code = 0;

	if ((int)test_below(&c->seed, 8) >= c->f->cancels)
		return recv_once(c, m, ret_from);
	co_timeout(little(&c->seed))
		code = recv_once(c, m, ret_from);
	return code;
}

/*
 * Those with `only` take care that no producer waits for ever, whatever the
 * others look at.
 */
static void
consume(struct flow *f, int only)
{
	struct consumer c = { .f = f, .only = only, .left = CHANS };
	struct message m;
	int k, from = 0, code;

	c.seed = test_seed() ^ (uint64_t)(uintptr_t)&c;
	for (k = 0; k < CHANS; k++)
		c.open[k] = f->ch[k];
	if (only >= 0)
		c.left = 1;
	while (c.left > 0) {
		m = (struct message){ MOST, 0 };
		code = recv_one(&c, &m, &from);
		if (code == 0) {
			check(&c, from, m);
		} else if (code == -EPIPE) {
			ck_assert(m.from == 0 && m.number == 0);
			c.open[from] = NULL;
			c.left--;
		} else {
			ck_assert(code == -EAGAIN || code == -ETIMEDOUT);
			ck_assert_uint_eq(m.from, MOST);	/* untouched */
			if (code == -EAGAIN)
				co_yield();
		}
	}
	for (k = 0; k < CHANS; k++)
		add(&f->got[k], c.got[k]);
}

static int
consume_any(void *arg)
{
	consume(arg, -1);
	return 0;
}

/* --- all of them --------------------------------------------------------- */

static void *
produce_thread(void *arg)
{
	produce(arg);
	return NULL;
}

static void *
consume_thread(void *arg)
{
	consume(arg, -1);
	return NULL;
}

/* In some order, after a time that they may or may not need. */
static int
cut(void *arg)
{
	struct flow *f = arg;
	uint64_t seed = test_seed() ^ (uint64_t)co_now();
	int k = (int)test_below(&seed, CHANS), i;

	co_sleep((co_time)test_below(&seed, CO_US(300)));
	for (i = 0; i < CHANS; i++)
		chan_close(f->ch[(k + i) % CHANS]);
	return 0;
}

static int
drain_0(void *arg)
{
	consume(arg, 0);
	return 0;
}

static int
drain_1(void *arg)
{
	consume(arg, 1);
	return 0;
}

static int
drain_2(void *arg)
{
	consume(arg, 2);
	return 0;
}

/*
 * Coroutines that talk to each other are left on one worker as long as it
 * copes.  For races they must be on several: one coroutine is started on each,
 * for which it must not yield, and then has some of the others started there,
 * three of four for good.
 */
struct spread {
	struct flow *f;
	int workers, n;
	co_fn *fn[4 * MOST];
	int here;		/* [atomic] */
};

static int
start_some(void *arg)
{
	struct spread *p = arg;
	struct co_spawn_options o = { 0 };
	int64_t until = test_now() + CO_MS(20);
	int i = add(&p->here, 1) - 1;

	while (load(&p->here) < p->workers && test_now() < until)
		sched_yield();
	for (; i < p->n; i += p->workers) {
		o.pinned = i % 4 != 0;
		test_result(co_spawn_with(&o, p->fn[i], p->f), 0);
	}
	return 0;
}

static void
start_more(struct spread *p, co_fn *fn, int n)
{
	while (n-- > 0)
		p->fn[p->n++] = fn;
}

static int
flow_main(void *arg)
{
	struct spread *p = arg;
	struct flow *f = p->f;
	pthread_t thread[2 * MOST];
	struct co_scope s;
	int i, n = 0;

	start_more(p, drain_0, 1);
	start_more(p, drain_1, 1);
	start_more(p, drain_2, 1);
	start_more(p, consume_any, f->consumers);
	start_more(p, produce, f->coros);
	start_more(p, cut, f->cut);
	co_scope(s) {
		for (i = 0; i < f->eaters; i++)
			ck_assert(!pthread_create(&thread[n++], NULL,
			    consume_thread, f));
		for (i = 0; i < f->threads; i++)
			ck_assert(!pthread_create(&thread[n++], NULL,
			    produce_thread, f));
		for (i = 0; i < p->workers; i++)
			test_result(co_spawn(start_some, p), 0);
	}
	ck_assert_int_eq(s.status, 0);
	while (n > 0)
		pthread_join(thread[--n], NULL);
	return 0;
}

/* All that were sent were received. */
static void
count(const struct flow *f)
{
	uint64_t sent, all = 0;
	int k, p;

	for (k = 0; k < CHANS; k++) {
		ck_assert_uint_eq(chan_len(f->ch[k]), 0);
		for (p = 0, sent = 0; p < f->coros + f->threads; p++)
			sent += f->last[k][p];
		ck_assert_uint_eq(f->got[k], sent);
		all += sent;
	}
	ck_assert_uint_eq(all, f->sent);
}

static void
flow(int workers, struct flow f)
{
	struct spread spread = { .f = &f, .workers = workers };
	size_t words = f.each / 64 + 1;
	int k, p;

	(void)test_seed();	/* made before there are threads */
	for (k = 0; k < CHANS; k++) {
		f.ch[k] = chan_new(struct message, f.caps[k]);
		for (p = 0; p < MOST; p++)
			f.seen[k][p] = calloc(words, sizeof(uint64_t));
	}
	test_result(test_run(workers, flow_main, &spread), 0);
	count(&f);
	if (!f.cut)
		test_soak("messages", f.each *
		    (uint64_t)(f.coros + f.threads));
	for (k = 0; k < CHANS; k++) {
		chan_unref(f.ch[k]);
		for (p = 0; p < MOST; p++)
			free(f.seen[k][p]);
	}
}

/* Of a flow in all, whoever sends them. */
static uint32_t
each_of(int producers, uint64_t few, uint64_t many)
{
	return (uint32_t)(test_count(few, many) / (uint64_t)producers);
}

TEST(coroutines_to_coroutines, .seconds = 600)
{
	struct flow f = { .caps = { 0, 1, 16 }, .coros = 6, .consumers = 4 };

	f.each = each_of(6, 100000, 10000000);
	FOR_WORKERS(w)
		flow(w, f);
}

TEST(the_same_without_limits_and_without_room, .seconds = 600)
{
	struct flow f = { .caps = { CHAN_UNBOUNDED, 2, CHAN_UNBOUNDED },
	    .coros = 6, .consumers = 4 };
	struct flow g = { .coros = 6, .consumers = 4 };	/* all of them 0 */

	f.each = g.each = each_of(6, 100000, 10000000);
	FOR_WORKERS(w) {
		flow(w, f);
		flow(w, g);
	}
}

TEST(half_of_the_waits_are_cancelled, .seconds = 600)
{
	struct flow f = { .caps = { 0, 1, 3 }, .coros = 6, .consumers = 4,
	    .cancels = 4 };

	f.each = each_of(6, 100000, 10000000);
	FOR_WORKERS(w)
		flow(w, f);
}

TEST(threads_among_them_and_waits_that_are_cancelled, .seconds = 600)
{
	struct flow f = { .caps = { 0, 1, 1024 }, .coros = 4, .threads = 3,
	    .consumers = 3, .eaters = 2, .cancels = 2 };

	f.each = each_of(7, 100000, 10000000);
	FOR_WORKERS(w)
		flow(w, f);
}

/* Sent with 0: received once.  -EPIPE: never received. */
TEST(a_close_cuts_in, .seconds = 600)
{
	struct flow f = { .caps = { 0, 1, 5 }, .coros = 5, .threads = 1,
	    .consumers = 2, .cut = true };
	int n = (int)test_count(100, 25000), i;

	f.each = 20000;
	FOR_WORKERS(w) {
		for (i = 0; i < n; i++) {
			f.cancels = i % 3;
			f.threads = i % 2;
			flow(w, f);
		}
	}
}

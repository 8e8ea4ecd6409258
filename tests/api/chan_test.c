/* SPDX-License-Identifier: MIT */
/*
 * chan_test.c - channels, through the public interface: order, sizes, and
 * programs.  See also chan_give_test.c, chan_race_test.c, chan_value_test.c.
 */
#include "harness.h"

#include <pthread.h>

#include <weft/chan.h>
#include <weft/scope.h>

#define add(p, n)	__atomic_add_fetch((p), (n), __ATOMIC_ACQ_REL)

static void
run(int workers, co_fn *fn, void *arg)
{
	test_result(test_run(workers, fn, arg), 0);
}

/* --- one coroutine -------------------------------------------------------- */

static int
fifo_main(void *arg)
{
	size_t cap = *(size_t *)arg, i, round;
	chan(int) ch = chan_new(int, cap);
	int v = -1;

	ck_assert(ch && chan_cap(ch) == cap && chan_len(ch) == 0);
	for (round = 0; round < 3; round++) {
		test_result(chan_try_recv(ch, &v), -EAGAIN);
		for (i = 0; i < cap; i++) {
			ck_assert_uint_eq(chan_len(ch), i);
			test_result(i % 2 ? chan_try_send(ch, (int)i) :
			    chan_send(ch, (int)i), 0);
		}
		test_result(chan_try_send(ch, 7), -EAGAIN);
		ck_assert_uint_eq(chan_len(ch), cap);
		for (i = 0; i < cap; i++) {
			test_result(i % 3 ? chan_try_recv(ch, &v) :
			    chan_recv(ch, &v), 0);
			ck_assert_int_eq(v, (int)i);
		}
	}
	chan_unref(ch);
	return 0;
}

TEST(values_come_out_in_order_for_every_capacity)
{
	size_t cap;

	for (cap = 0; cap < 200; cap++)
		run(1, fifo_main, &cap);
}

static int
drain_main(void *arg)
{
	size_t cap = *(size_t *)arg, i;
	chan(long) ch = chan_new(long, cap);
	long v;

	ck_assert(!chan_closed(ch));
	for (i = 0; i < cap; i++)
		test_result(chan_send(ch, (long)i + 1), 0);
	test_result(chan_close(ch), 0);
	ck_assert(chan_closed(ch));
	test_result(chan_close(ch), -EPIPE);
	test_result(chan_send(ch, 1), -EPIPE);
	test_result(chan_try_send(ch, 1), -EPIPE);
	for (i = 0; i < cap; i++) {
		test_result(chan_recv(ch, &v), 0);
		ck_assert_int_eq(v, (long)i + 1);
	}
	for (i = 0; i < 3; i++) {
		v = 99;
		test_result(chan_recv(ch, &v), -EPIPE);
		ck_assert_int_eq(v, 0);
		v = 99;
		test_result(chan_try_recv(ch, &v), -EPIPE);
		ck_assert_int_eq(v, 0);
	}
	chan_unref(ch);
	return 0;
}

TEST(a_closed_channel_drains_and_then_gives_zeroes)
{
	size_t caps[] = { 0, 1, 2, 7, 128 }, i;

	for (i = 0; i < sizeof caps / sizeof caps[0]; i++)
		run(1, drain_main, &caps[i]);
}

static int
null_main(void *arg)
{
	chan(int) none = NULL;
	struct co_scope s;
	int64_t begin;
	int v = 5, i;

	(void)arg;
	test_result(chan_close(NULL), -EINVAL);
	test_result(chan_try_send(none, 1), -EAGAIN);
	test_result(chan_try_recv(none, &v), -EAGAIN);
	ck_assert(chan_len(none) == 0 && chan_cap(none) == 0);
	ck_assert(!chan_closed(none) && chan_ref(none) == NULL);
	chan_unref(none);
	for (i = 0; i < 2; i++) {
		begin = co_now();
		co_timeout(CO_MS(50))
			test_result(i ? chan_send(none, 1) :
			    chan_recv(none, &v), -ETIMEDOUT);
		test_between(co_now() - begin, CO_MS(50),
		    CO_MS(250) * test_slow());
	}
	co_scope(s) {
		co_cancel(&s);
		test_result(chan_send(none, 1), -ECANCELED);
		test_result(chan_recv(none, &v), -ECANCELED);
	}
	ck_assert_int_eq(v, 5);
	return 0;
}

TEST(no_channel_waits_until_cancelled)
{
	FOR_WORKERS(w)
		run(w, null_main, NULL);
}

TEST(capacities_that_no_memory_holds_give_NULL)
{
	struct wide { char c[4096]; };
	chan(char) small;

	ck_assert(chan_new(int, SIZE_MAX) == NULL);
	ck_assert(chan_new(int, SIZE_MAX / 2) == NULL);
	ck_assert(chan_new(int, SIZE_MAX / 4 + 1) == NULL);
	ck_assert(chan_new(int, SIZE_MAX / 4 - 1) == NULL);
	ck_assert(chan_new(struct wide, SIZE_MAX / 4096 + 1) == NULL);
	ck_assert(chan_new(struct wide, (size_t)1 << 52) == NULL);
	ck_assert(chan_new(char, SIZE_MAX - 8) == NULL);
	small = chan_new(char, 1);
	ck_assert(small != NULL);
	chan_unref(small);
}

/* Ops of all kinds on one channel, beside a count and two counters. */
static int
oracle_main(void *arg)
{
	uint64_t seed = *(uint64_t *)arg, n = test_count(20000, 1000000);
	size_t cap = test_below(&seed, 9);
	uint64_t sent = 0, got = 0, v;
	chan(uint64_t) ch = chan_new(uint64_t, cap);
	int code;

	while (n--) {
		if (test_below(&seed, 2)) {
			code = chan_try_send(ch, sent);
			test_result(code, sent - got < cap ? 0 : -EAGAIN);
			sent += code == 0;
		} else {
			code = chan_try_recv(ch, &v);
			test_result(code, sent > got ? 0 : -EAGAIN);
			if (code == 0)
				ck_assert_uint_eq(v, got++);
		}
		ck_assert_uint_eq(chan_len(ch), sent - got);
	}
	chan_unref(ch);
	return 0;
}

TEST(length_and_capacity_are_exact_for_one_coroutine)
{
	uint64_t seed = test_seed();
	int i;

	for (i = 0; i < 5; i++, seed++)
		run(1, oracle_main, &seed);
}

enum { MOVERS = 3 };

struct moving {
	chan(int) ch;
	size_t cap;
	int each;
	int left;		/* [atomic] senders that are not done */
	bool over, looked;	/* [atomic] */
};

static int
move_in(void *arg)
{
	struct moving *m = arg;
	int i;

	for (i = 0; i < m->each; i++)
		test_result(chan_send(m->ch, i), 0);
	if (add(&m->left, -1) == 0)
		test_result(chan_close(m->ch), 0);
	return 0;
}

static int
move_out(void *arg)
{
	struct moving *m = arg;

	chan_each(int, v, m->ch)
		ck_assert(v >= 0 && v < m->each);
	return 0;
}

/* A length below 0 would be a very large one. */
static void
look(struct moving *m)
{
	size_t len = chan_len(m->ch);

	ck_assert_msg(len <= m->cap, "%zu of %zu", len, m->cap);
	ck_assert_uint_eq(chan_cap(m->ch), m->cap);
}

static int
looker(void *arg)
{
	struct moving *m = arg;

	while (!__atomic_load_n(&m->over, __ATOMIC_RELAXED)) {
		look(m);
		co_yield();
	}
	return 0;
}

static void *
looker_thread(void *arg)
{
	struct moving *m = arg;

	while (!__atomic_load_n(&m->over, __ATOMIC_RELAXED)) {
		look(m);
		__atomic_store_n(&m->looked, true, __ATOMIC_RELAXED);
	}
	return NULL;
}

static int
moving_main(void *arg)
{
	struct moving *m = arg;
	struct co_scope lookers, movers;
	int i;

	while (!__atomic_load_n(&m->looked, __ATOMIC_RELAXED))
		co_yield();
	co_scope(lookers) {
		test_result(co_spawn(looker, m), 0);
		co_scope(movers) {
			for (i = 0; i < MOVERS; i++) {
				test_result(co_spawn(move_in, m), 0);
				test_result(co_spawn(move_out, m), 0);
			}
		}
		__atomic_store_n(&m->over, true, __ATOMIC_RELAXED);
	}
	test_result(movers.status, 0);
	ck_assert_uint_eq(chan_len(m->ch), 0);
	return lookers.status;
}

TEST(whoever_looks_sees_a_length_between_0_and_the_capacity)
{
	static const size_t caps[] = { 0, 1, 2, 7 };
	struct moving m;
	pthread_t t;
	size_t i;

	FOR_WORKERS(w) {
		for (i = 0; i < sizeof caps / sizeof caps[0]; i++) {
			m = (struct moving){ .ch = chan_new(int, caps[i]),
			    .cap = caps[i], .left = MOVERS,
			    .each = (int)test_count(3000, 300000) };
			ck_assert_int_eq(pthread_create(&t, NULL,
			    looker_thread, &m), 0);
			run(w, moving_main, &m);
			pthread_join(t, NULL);
			chan_unref(m.ch);
		}
	}
}

static int
unbounded_main(void *arg)
{
	chan(int) ch = chan_new(int, CHAN_UNBOUNDED);
	int i, v, n = (int)test_count(100000, 5000000), got = 0, sent = 0;
	uint64_t seed = *(uint64_t *)arg;

	ck_assert_uint_eq(chan_cap(ch), CHAN_UNBOUNDED);
	for (i = 0; i < n; i++)
		test_result(chan_try_send(ch, i), 0);
	ck_assert_uint_eq(chan_len(ch), (size_t)n);
	for (i = 0; i < n; i++) {
		test_result(chan_recv(ch, &v), 0);
		ck_assert_int_eq(v, i);
	}
	test_result(chan_try_recv(ch, &v), -EAGAIN);
	while (got < n) {		/* about empty, across the blocks */
		if (sent < n && test_below(&seed, 2))
			test_result(chan_send(ch, sent++), 0);
		else if (chan_try_recv(ch, &v) == 0)
			ck_assert_int_eq(v, got++);
	}
	for (i = 0; i < 5000; i++)
		test_result(chan_send(ch, i), 0);
	test_result(chan_close(ch), 0);
	test_result(chan_send(ch, 1), -EPIPE);
	for (i = 0; i < 2500; i++)
		test_result(chan_recv(ch, &v), 0);
	chan_unref(ch);			/* with values inside */
	return 0;
}

TEST(an_unbounded_channel_takes_everything)
{
	uint64_t seed = test_seed();

	run(1, unbounded_main, &seed);
}

/* --- many to many --------------------------------------------------------- */

enum { TEAM = 4 };

struct team {
	chan(uint32_t) ch;
	uint32_t per;		/* values of each sender */
	int left;
	uint8_t *seen;
};

static int
team_sender(void *arg)
{
	struct team *t = arg;
	uint32_t id = (uint32_t)add(&t->left, 1) - 1, i;

	for (i = 0; i < t->per; i++)
		test_result(chan_send(t->ch, id << 24 | i), 0);
	return 0;
}

static int
team_receiver(void *arg)
{
	struct team *t = arg;
	uint32_t next[TEAM] = { 0 }, id;

	chan_each(uint32_t, v, t->ch) {
		id = v >> 24;
		ck_assert((v & 0xffffff) >= next[id]);
		next[id] = (v & 0xffffff) + 1;
		ck_assert_int_eq(add(&t->seen[id * t->per + (v & 0xffffff)],
		    1), 1);
	}
	return 0;
}

static int
team_main(void *arg)
{
	struct team t = { .per = (uint32_t)test_count(500, 20000) };
	struct co_scope receivers, senders;
	size_t i;

	t.ch = chan_new(uint32_t, *(size_t *)arg);
	t.seen = calloc(TEAM, t.per);
	co_scope(receivers) {
		for (i = 0; i < TEAM; i++)
			co_spawn(team_receiver, &t);
		co_scope(senders) {
			for (i = 0; i < TEAM; i++)
				co_spawn(team_sender, &t);
		}
		chan_close(t.ch);
	}
	for (i = 0; i < (size_t)TEAM * t.per; i++)
		ck_assert_int_eq(t.seen[i], 1);
	free(t.seen);
	chan_unref(t.ch);
	return 0;
}

TEST(four_to_four_loses_nothing_and_keeps_each_senders_order)
{
	size_t caps[] = { 0, 1, 2, 5, 64, 199, CHAN_UNBOUNDED }, i;

	FOR_WORKERS(w)
		for (i = 0; i < sizeof caps / sizeof caps[0]; i++)
			run(w, team_main, &caps[i]);
}

/* --- programs ------------------------------------------------------------- */

struct link {
	chan(int) ch;
	chan(int) out;
};

static int
chain_link(void *arg)
{
	struct link *p = arg;
	int v;

	test_result(chan_recv(p->ch, &v), 0);
	return chan_send(p->out, v + 1);
}

static int
chain_main(void *arg)
{
	int n = 10000, i, v;
	struct link *links = calloc((size_t)n, sizeof *links);
	chan(int) first = chan_new(int, 0), at = first;

	(void)arg;
	for (i = 0; i < n; i++) {
		links[i].ch = at;
		links[i].out = at = chan_new(int, 0);
		test_result(co_spawn(chain_link, &links[i]), 0);
	}
	test_result(chan_send(first, 1), 0);
	test_result(chan_recv(at, &v), 0);
	ck_assert_int_eq(v, 10001);
	co_sleep(CO_MS(1));
	chan_unref(first);
	for (i = 0; i < n; i++)
		chan_unref(links[i].out);
	free(links);
	return 0;
}

TEST(a_chain_of_ten_thousand)
{
	FOR_WORKERS(w)
		run(w, chain_main, NULL);
}

struct filter {
	chan(int) in, out;
	int prime;
};

static int
count_up(void *arg)
{
	struct filter *f = arg;
	int i;

	for (i = 2; chan_send(f->out, i) == 0; i++)
		;
	return 0;
}

static int
sieve_filter(void *arg)
{
	struct filter *f = arg;

	chan_each(int, v, f->in) {
		if (v % f->prime && chan_send(f->out, v) < 0)
			break;
	}
	return 0;
}

static int
sieve_main(void *arg)
{
	enum { PRIMES = 1000 };
	static struct filter f[PRIMES + 1];
	struct co_scope s;
	int i, last = 0;

	co_scope(s) {
		f[0].out = chan_new(int, *(size_t *)arg);
		co_spawn(count_up, &f[0]);
		for (i = 1; i <= PRIMES; i++) {
			f[i].in = f[i - 1].out;
			test_result(chan_recv(f[i].in, &last), 0);
			f[i].prime = last;
			f[i].out = chan_new(int, *(size_t *)arg);
			co_spawn(sieve_filter, &f[i]);
		}
		co_cancel(&s);
	}
	for (i = 0; i <= PRIMES; i++)
		chan_unref(f[i].out);
	ck_assert_int_eq(last, 7919);
	return 0;
}

TEST(the_prime_sieve)
{
	size_t caps[] = { 0, 3 };

	FOR_WORKERS(w) {
		run(w, sieve_main, &caps[0]);
		run(w, sieve_main, &caps[1]);
	}
}

/* SPDX-License-Identifier: MIT */
/*
 * chan_test.c - channels, through the public interface.  The groups CH of the
 * conformance scenarios; select has its own file.
 */
#include "harness.h"

#include <pthread.h>

#include <weft/chan.h>
#include <weft/scope.h>

#define load(p)		__atomic_load_n((p), __ATOMIC_ACQUIRE)
#define add(p, n)	__atomic_add_fetch((p), (n), __ATOMIC_ACQ_REL)

/* A few coroutines wait for a number that others count up. */
static void
wait_for(const int *n, int want)
{
	while (load(n) < want)
		co_yield();
}

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

/* --- waiting and waking --------------------------------------------------- */

struct pair {
	chan(int) ch;
	chan(int) out;
	int n, arrived, done, sum;
};

static int
send_one(void *arg)
{
	struct pair *p = arg;
	int id = add(&p->arrived, 1) - 1;

	test_result(chan_send(p->ch, id), 0);
	add(&p->done, 1);
	return 0;
}

static int
recv_one(void *arg)
{
	struct pair *p = arg;
	int id = add(&p->arrived, 1) - 1, v;

	test_result(chan_recv(p->ch, &v), 0);
	add(&p->done, 1);
	return chan_send(p->out, v * 10000 + id);
}

static int
blocks_main(void *arg)
{
	struct pair p = { .ch = chan_new(int, *(size_t *)arg) };
	size_t i, cap = *(size_t *)arg;
	int v;

	p.out = chan_new(int, 2);
	co_spawn(recv_one, &p);
	co_spawn(recv_one, &p);
	wait_for(&p.arrived, 2);
	co_sleep(CO_MS(1));
	ck_assert_int_eq(load(&p.done), 0);
	test_result(chan_try_recv(p.ch, &v), -EAGAIN);
	test_result(chan_try_send(p.ch, 1), 0);	/* a receiver has it */
	ck_assert_uint_eq(chan_len(p.ch), 0);
	wait_for(&p.done, 1);
	test_result(chan_send(p.ch, 1), 0);
	wait_for(&p.done, 2);

	for (i = 0; i < cap; i++)
		test_result(chan_send(p.ch, (int)i), 0);
	p.arrived = (int)cap;		/* the sender's value */
	p.done = 0;
	co_spawn(send_one, &p);
	wait_for(&p.arrived, (int)cap + 1);
	co_sleep(CO_MS(1));
	ck_assert_int_eq(load(&p.done), 0);
	test_result(chan_try_send(p.ch, 1), -EAGAIN);
	for (i = 0; i <= cap; i++) {
		test_result(chan_try_recv(p.ch, &v), 0);
		ck_assert_int_eq(v, (int)i);
	}
	wait_for(&p.done, 1);
	test_result(chan_try_recv(p.ch, &v), -EAGAIN);
	chan_unref(p.ch);
	chan_unref(p.out);
	return 0;
}

TEST(empty_and_full_block_and_one_operation_releases_one)
{
	size_t caps[] = { 0, 1, 2, 3, 16, 63, 64, 199 }, i;

	FOR_WORKERS(w)
		for (i = 0; i < sizeof caps / sizeof caps[0]; i++)
			run(w, blocks_main, &caps[i]);
}

static int
waiters_main(void *arg)
{
	struct pair p = { .ch = chan_new(int, 0) };
	int i, v, n = 1000;

	(void)arg;
	p.out = chan_new(int, (size_t)n);
	for (i = 0; i < n; i++) {
		co_spawn(recv_one, &p);
		wait_for(&p.arrived, i + 1);
	}
	for (i = 0; i < n; i++)
		test_result(chan_send(p.ch, i), 0);
	wait_for(&p.done, n);
	for (i = 0; i < n; i++) {
		test_result(chan_recv(p.out, &v), 0);
		ck_assert_int_eq(v / 10000, v % 10000);
	}
	p.arrived = 0;
	for (i = 0; i < n; i++) {
		co_spawn(send_one, &p);
		wait_for(&p.arrived, i + 1);
	}
	for (i = 0; i < n; i++) {
		test_result(chan_recv(p.ch, &v), 0);
		ck_assert_int_eq(v, i);
	}
	wait_for(&p.done, 2 * n);
	chan_unref(p.ch);
	chan_unref(p.out);
	return 0;
}

TEST(waiters_are_served_in_the_order_of_their_coming)
{
	run(1, waiters_main, NULL);	/* known order: one worker */
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

/* --- closing -------------------------------------------------------------- */

static int
closed_receiver(void *arg)
{
	struct pair *p = arg;
	int v = 9;

	add(&p->arrived, 1);
	test_result(chan_recv(p->ch, &v), -EPIPE);
	ck_assert_int_eq(v, 0);
	add(&p->done, 1);
	return 0;
}

static int
closed_selector(void *arg)
{
	struct pair *p = arg;
	chan(int) never = chan_new(int, 0);
	int v = 9, status = 1;

	add(&p->arrived, 1);
	ck_assert_int_eq(co_select(co_on_recv(never, &v),
	    co_on_recv(p->ch, &v, &status), co_on_send(never, 1)), 1);
	test_result(status, -EPIPE);
	ck_assert_int_eq(v, 0);
	add(&p->done, 1);
	chan_unref(never);
	return 0;
}

static int
closed_sender(void *arg)
{
	struct pair *p = arg;

	add(&p->arrived, 1);
	test_result(chan_send(p->ch, 1), -EPIPE);
	add(&p->done, 1);
	return 0;
}

static void *
closed_thread(void *arg)
{
	closed_receiver(arg);
	return NULL;
}

static int
close_main(void *arg)
{
	int n = (int)test_count(4000, 10000), i;
	struct pair p = { .ch = chan_new(int, 0) };
	pthread_t threads[4];

	for (i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, closed_thread, &p);
	for (i = 0; i < n; i++)
		test_result(co_spawn(i % 2 ? closed_receiver :
		    closed_selector, &p), 0);
	wait_for(&p.arrived, n + 4);
	co_sleep(CO_MS(5));
	test_result(chan_close(p.ch), 0);
	wait_for(&p.done, n + 4);
	for (i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	chan_unref(p.ch);

	p = (struct pair){ .ch = chan_new(int, *(size_t *)arg) };
	for (i = 0; i < *(int *)arg; i++)
		chan_send(p.ch, i);
	for (i = 0; i < n; i++)
		test_result(co_spawn(closed_sender, &p), 0);
	wait_for(&p.arrived, n);
	co_sleep(CO_MS(5));
	test_result(chan_close(p.ch), 0);
	wait_for(&p.done, n);
	ck_assert_uint_eq(chan_len(p.ch), *(size_t *)arg);
	chan_unref(p.ch);
	return 0;
}

TEST(close_wakes_everybody_once)
{
	size_t cap = 3;

	FOR_WORKERS(w)
		run(w, close_main, &cap);
}

static int
closer(void *arg)
{
	struct pair *p = arg;

	if (chan_close(p->ch) == 0)
		add(&p->done, 1);
	return 0;
}

static int
close_race_main(void *arg)
{
	struct co_scope s;
	struct pair p;
	int i, n = (int)test_count(200, 5000);

	(void)arg;
	while (n--) {
		p = (struct pair){ .ch = chan_new(int, 1) };
		co_scope(s)
			for (i = 0; i < 16; i++)
				co_spawn(closer, &p);
		ck_assert_int_eq(p.done, 1);
		chan_unref(p.ch);
	}
	return 0;
}

TEST(of_many_closers_one_succeeds)
{
	FOR_WORKERS(w)
		run(w, close_race_main, NULL);
}

static int
race_sender(void *arg)
{
	struct pair *p = arg;

	if (chan_send(p->ch, 1) == 0)
		add(&p->arrived, 1);
	return 0;
}

static int
race_receiver(void *arg)
{
	struct pair *p = arg;

	chan_each(int, v, p->ch)
		add(&p->sum, v);
	return 0;
}

/* Sent means received, and a failed send means that it was not. */
static int
send_close_main(void *arg)
{
	uint64_t seed = *(uint64_t *)arg;
	struct co_scope s;
	struct pair p;
	int i, n = (int)test_count(2000, 100000);

	while (n--) {
		p = (struct pair){ .ch = chan_new(int,
		    test_below(&seed, 3)) };
		co_scope(s) {
			for (i = 0; i < 4; i++)
				co_spawn(race_sender, &p);
			co_spawn(race_receiver, &p);
			if (test_below(&seed, 2))
				co_yield();
			chan_close(p.ch);
		}
		ck_assert_int_eq(p.sum, p.arrived);
		chan_unref(p.ch);
	}
	return 0;
}

TEST(a_send_that_races_with_close_is_received_or_fails)
{
	uint64_t seed = test_seed();

	FOR_WORKERS(w)
		run(w, send_close_main, &seed);
}

static int
try_receiver(void *arg)
{
	struct pair *p = arg;
	int v, code = chan_try_recv(p->ch, &v);

	ck_assert(code != -EAGAIN);
	if (code == 0)
		add(&p->sum, v);
	return 0;
}

/* A value is there before the close: no receiver may see neither. */
static int
try_close_main(void *arg)
{
	int n = (int)test_count(2000, 100000);
	struct co_scope s;
	struct pair p;

	(void)arg;
	while (n--) {
		p = (struct pair){ .ch = chan_new(int, 1) };
		chan_send(p.ch, 1);
		co_scope(s) {
			co_spawn(try_receiver, &p);
			chan_close(p.ch);
			try_receiver(&p);
		}
		ck_assert_int_eq(p.sum, 1);
		chan_unref(p.ch);
	}
	return 0;
}

TEST(a_try_sees_the_value_or_the_close)
{
	FOR_WORKERS(w)
		run(w, try_close_main, NULL);
}

/* --- try, and cancellation ------------------------------------------------ */

static int
pairs_main(void *arg)
{
	size_t cap = *(size_t *)arg, i;
	struct pair p = { .ch = chan_new(int, cap) };
	int v, code;

	p.out = chan_new(int, 1);
	co_spawn(recv_one, &p);			/* recv, then try_send */
	wait_for(&p.arrived, 1);
	while ((code = chan_try_send(p.ch, 5)) == -EAGAIN)
		co_yield();
	test_result(code, 0);
	wait_for(&p.done, 1);

	for (i = 0; i < cap; i++)
		test_result(chan_try_send(p.ch, 1), 0);
	co_spawn(send_one, &p);			/* send, then try_recv */
	wait_for(&p.arrived, 2);
	for (i = 0; i <= cap; i++) {
		while ((code = chan_try_recv(p.ch, &v)) == -EAGAIN)
			co_yield();
		ck_assert_int_eq(v, 1);
	}
	wait_for(&p.done, 2);
	test_result(chan_try_recv(p.ch, &v), -EAGAIN);
	chan_unref(p.ch);
	chan_unref(p.out);
	return 0;
}

TEST(a_try_pairs_with_whoever_waits)
{
	size_t caps[] = { 0, 1 };

	FOR_WORKERS(w) {
		run(w, pairs_main, &caps[0]);
		run(w, pairs_main, &caps[1]);
	}
}

static int
entry_main(void *arg)
{
	chan(int) ch = chan_new(int, 2);
	struct co_scope s;
	int v = 7;

	(void)arg;
	chan_send(ch, 1);
	co_scope(s) {
		co_cancel(&s);
		test_result(chan_recv(ch, &v), -ECANCELED);
		test_result(chan_send(ch, 2), -ECANCELED);
		test_result(chan_try_send(ch, 2), 0);
		co_shield()
			test_result(chan_recv(ch, &v), 0);
		ck_assert_int_eq(v, 1);
	}
	co_timeout(0)
		test_result(chan_recv(ch, &v), -ETIMEDOUT);
	ck_assert(v == 1 && chan_len(ch) == 1);
	test_result(chan_recv(ch, &v), 0);
	ck_assert_int_eq(v, 2);
	chan_unref(ch);
	return 0;
}

TEST(in_a_cancelled_scope_nothing_is_taken_or_sent)
{
	FOR_WORKERS(w)
		run(w, entry_main, NULL);
}

struct handoff {
	chan(uint64_t) ch;
	struct co_scope scope;
	int got, sent, recv_code;
	uint64_t value;
};

static int
handoff_recv(void *arg)
{
	struct handoff *h = arg;

	h->recv_code = chan_recv(h->ch, &h->value);
	h->got = h->recv_code == 0;
	return 0;
}

static int
handoff_send(void *arg)
{
	struct handoff *h = arg;

	co_timeout(CO_MS(1))
		h->sent = chan_send(h->ch, UINT64_C(0x5a5a5a5a5a5a5a5a)) == 0;
	return 0;
}

/* The receiver is cancelled in the moment in which it is sent to. */
static int
handoff_main(void *arg)
{
	int n = (int)test_count(300, 20000);
	struct handoff h;
	struct co_scope outer;

	(void)arg;
	while (n--) {
		h = (struct handoff){ .ch = chan_new(uint64_t, 0) };
		co_scope(outer) {
			co_scope(h.scope) {
				co_spawn(handoff_recv, &h);
				co_yield();
				co_spawn_with(&(struct co_spawn_options){
				    .scope = &outer }, handoff_send, &h);
				if (n % 2)
					co_yield();
				co_cancel(&h.scope);
			}
		}
		ck_assert_int_eq(h.got, h.sent);
		ck_assert(!h.got || h.value == UINT64_C(0x5a5a5a5a5a5a5a5a));
		ck_assert(h.got || h.recv_code == -ECANCELED);
		chan_unref(h.ch);
	}
	return 0;
}

TEST(a_cancelled_handoff_happened_for_both_or_for_neither)
{
	FOR_WORKERS(w)
		run(w, handoff_main, NULL);
}

/* --- kinds of values ------------------------------------------------------ */

struct nothing {
	char none[0];
};

struct tokens {
	chan(struct nothing) ch;
	int got;
};

static int
token_receiver(void *arg)
{
	struct tokens *t = arg;

	chan_each(struct nothing, v, t->ch)
		t->got++;
	return 0;
}

static int
token_main(void *arg)
{
	int n = (int)test_count(50000, 1000000), i;
	struct tokens t = { chan_new(struct nothing, *(size_t *)arg), 0 };
	struct nothing token;
	struct co_scope s;

	ck_assert_uint_eq(sizeof token, 0);
	memset(&token, 0, sizeof token);
	if (*(size_t *)arg) {
		test_result(chan_send(t.ch, token), 0);
		ck_assert_uint_eq(chan_len(t.ch), 1);
		ck_assert_int_eq(co_select(co_on_recv(t.ch, &token)), 0);
		ck_assert_int_eq(co_select(co_on_send(t.ch, token)), 0);
		t.got = -1;
	}
	co_scope(s) {
		co_spawn(token_receiver, &t);
		for (i = 0; i < n; i++)
			test_result(chan_send(t.ch, token), 0);
		chan_close(t.ch);
	}
	ck_assert_int_eq(t.got, *(size_t *)arg ? n : n);
	chan_unref(t.ch);
	return 0;
}

TEST(a_value_may_be_nothing)
{
	size_t caps[] = { 0, 1, 1000, CHAN_UNBOUNDED }, i;

	FOR_WORKERS(w)
		for (i = 0; i < 4; i++)
			run(w, token_main, &caps[i]);
}

/* Pieces of n bytes, each full of its number; checked as they arrive. */
struct pieces {
	void *ch;
	size_t size, align;
	int n;
};

static int
piece_sender(void *arg)
{
	struct pieces *p = arg;
	unsigned char *at = aligned_alloc(4096, (p->size + 4095) & ~4095ul);
	int i;

	for (i = 0; i < p->n; i++) {
		memset(at, i & 0xff, p->size);
		test_result(co__chan_send(p->ch, at), 0);
	}
	free(at);
	chan_close(p->ch);
	return 0;
}

static int
piece_main(void *arg)
{
	struct pieces *p = arg;
	unsigned char *at = aligned_alloc(4096, (p->size + 4095) & ~4095ul);
	struct co_scope s;
	size_t k;
	int i;

	co_scope(s) {
		co_spawn(piece_sender, p);
		for (i = 0; co__chan_recv(p->ch, at) == 0; i++)
			for (k = 0; k < p->size; k++)
				ck_assert(at[k] == (i & 0xff));
		ck_assert_int_eq(i, p->n);
	}
	free(at);
	return 0;
}

TEST(values_of_every_size_arrive_whole)
{
	size_t sizes[] = { 1, 2, 3, 4, 8, 16, 24, 63, 64, 65, 4096, 65535,
	    1 << 20 }, caps[] = { 0, 1, 5, CHAN_UNBOUNDED }, i, k;
	struct pieces p;

	FOR_WORKERS(w) {
		for (i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
			for (k = 0; k < 4; k++) {
				p.size = sizes[i];
				p.n = p.size < 60000 ? 50 : 6;
				p.ch = co__chan_new(p.size, 1, caps[k]);
				ck_assert_ptr_nonnull(p.ch);
				run(w, piece_main, &p);
				chan_unref(p.ch);
			}
		}
	}
}

struct wide {
	long n;
} __attribute__((aligned(64)));

static int
aligned_main(void *arg)
{
	chan(struct wide) ch = chan_new(struct wide, *(size_t *)arg);
	struct wide v;
	int i;

	for (i = 0; i < 3; i++)
		test_result(chan_try_send(ch, (struct wide){ i }), 0);
	for (i = 0; i < 3; i++) {
		test_result(chan_try_recv(ch, &v), 0);
		ck_assert(v.n == i && (uintptr_t)&v % 64 == 0);
	}
	chan_unref(ch);
	return 0;
}

TEST(alignment_is_kept)
{
	size_t caps[] = { 3, CHAN_UNBOUNDED };

	run(1, aligned_main, &caps[0]);
	run(1, aligned_main, &caps[1]);
}

struct point {
	int x, y;
};

/* Each macro, nested and with side effects. */
static int
macros_main(void *arg)
{
	chan(int) a = chan_new(int, 8), b = chan_ref(a), list[2] = { a, b };
	chan(struct point) points = chan_new(struct point, 2);
	chan(chan(int)) chans = chan_new(chan(int), 1);
	chan(const char *) words = chan_new(const char *, 1);
	chan(int) c;
	struct point p;
	const char *word;
	int v, i = 0, n = 0;

	(void)arg;
	test_result(chan_send(list[i++], i++ + 0.75), 0);
	ck_assert_int_eq(i, 2);
	test_result(chan_recv(list[--i], &v), 0);
	ck_assert_int_eq(v, 1);
	test_result(chan_send(a, chan_send(b, chan_try_recv(a, &v))), 0);
	test_result(chan_recv(a, &v), 0);
	ck_assert_int_eq(v, -EAGAIN);
	test_result(chan_recv(a, &v), 0);
	ck_assert_int_eq(v, 0);
	test_result(chan_send(points, (struct point){ 1, 2 }), 0);
	test_result(chan_send_from(points, &(struct point){ 3, 4 }), 0);
	test_result(chan_recv(points, &p), 0);
	ck_assert(p.x == 1 && p.y == 2);
	test_result(chan_recv(points, &p), 0);
	ck_assert(p.x == 3 && p.y == 4);
	test_result(chan_send(chans, a), 0);
	test_result(chan_recv(chans, &c), 0);
	ck_assert(c == a);
	test_result(chan_send(words, "word"), 0);
	test_result(chan_recv(words, &word), 0);
	ck_assert_str_eq(word, "word");
	for (i = 0; i < 6; i++)
		chan_send(a, i);
	chan_close(a);
	chan_each(int, outer, a) {
		if (outer == 0)
			continue;
		chan_each(int, inner, list[n++ * 0]) {
			if (inner == 3)
				break;
		}
		ck_assert(outer == 1 || outer == 4);
		if (outer == 4)
			goto out;
	}
out:
	ck_assert_int_eq(n, 2);
	chan_unref(a);
	chan_unref(b);
	chan_unref(points);
	chan_unref(chans);
	chan_unref(words);
	return 0;
}

TEST(the_macros_evaluate_once_and_nest)
{
	run(1, macros_main, NULL);
}

/* --- programs ------------------------------------------------------------- */

static int
chain_link(void *arg)
{
	struct pair *p = arg;
	int v;

	test_result(chan_recv(p->ch, &v), 0);
	return chan_send(p->out, v + 1);
}

static int
chain_main(void *arg)
{
	int n = 10000, i, v;
	struct pair *links = calloc((size_t)n, sizeof *links);
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

/* --- plain threads -------------------------------------------------------- */

static void *
thread_sender(void *arg)
{
	struct pair *p = arg;
	int i;

	for (i = 0; i < p->n; i++)
		test_result(chan_send(p->ch, 1), 0);
	return NULL;
}

static int
threads_main(void *arg)
{
	struct pair p = { .ch = chan_new(int, *(size_t *)arg) };
	pthread_t threads[3];
	int i, v;

	p.n = (int)test_count(1000, 100000);
	for (i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, thread_sender, &p);
	for (i = 0; i < 3 * p.n; i++) {
		test_result(chan_recv(p.ch, &v), 0);
		p.sum += v;
	}
	for (i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	ck_assert_int_eq(p.sum, 3 * p.n);
	chan_unref(p.ch);
	return 0;
}

TEST(plain_threads_send_to_coroutines)
{
	size_t caps[] = { 0, 16 };

	FOR_WORKERS(w) {
		run(w, threads_main, &caps[0]);
		run(w, threads_main, &caps[1]);
	}
	threads_main(&caps[0]);		/* and among themselves */
}

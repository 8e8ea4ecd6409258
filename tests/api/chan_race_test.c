/* SPDX-License-Identifier: MIT */
/*
 * chan_race_test.c - channels between coroutines and threads that wait, close
 * and try, all at once.  Those that are cancelled or let go: chan_give_test.c.
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

enum { CLOSERS = 64 };

struct closing {
	chan(int) ch;
	int arrived, code[CLOSERS];
};

static int
closer(void *arg)
{
	struct closing *c = arg;
	int me = add(&c->arrived, 1) - 1;

	wait_for(&c->arrived, CLOSERS);		/* on all workers */
	c->code[me] = chan_close(c->ch);
	return 0;
}

static int
close_race_main(void *arg)
{
	struct co_scope s;
	struct closing c;
	int i, won, n = (int)test_count(200, 5000);

	(void)arg;
	test_result(chan_close(NULL), -EINVAL);
	while (n--) {
		c = (struct closing){ .ch = chan_new(int, 1) };
		co_scope(s)
			for (i = 0; i < CLOSERS; i++)
				test_result(co_spawn(closer, &c), 0);
		test_result(s.status, 0);
		for (i = won = 0; i < CLOSERS; i++) {
			if (c.code[i] == 0)
				won++;
			else
				test_result(c.code[i], -EPIPE);
		}
		ck_assert_int_eq(won, 1);
		test_result(chan_close(c.ch), -EPIPE);
		chan_unref(c.ch);
	}
	return 0;
}

TEST(of_many_closers_one_succeeds, .seconds = 120)
{
	FOR_WORKERS(w)
		run(w, close_race_main, NULL);
}

enum { RACERS = 4, RACED = 3 };

/* Values are places here: each sender has some of its own. */
struct race {
	chan(int) ch;
	int arrived;
	int code[RACERS * RACED];	/* of sending it */
	int got[RACERS * RACED];	/* how often */
};

static int
race_send(struct race *r, int v)
{
	int code = -EAGAIN, status = 1;

	switch (v % 3) {
	case 0:
		return chan_send(r->ch, v);
	case 1:
		ck_assert_int_eq(co_select(co_on_send(r->ch, v, &status)), 0);
		return status;
	default:
		while ((code = chan_try_send(r->ch, v)) == -EAGAIN)
			co_yield();
		return code;
	}
}

static int
race_sender(void *arg)
{
	struct race *r = arg;
	int at = (add(&r->arrived, 1) - 1) * RACED, v;

	for (v = at; v < at + RACED; v++)
		r->code[v] = race_send(r, v);
	return 0;
}

static int
race_receiver(void *arg)
{
	struct race *r = arg;

	chan_each(int, v, r->ch) {
		ck_assert(v >= 0 && v < RACERS * RACED);
		r->got[v]++;
	}
	return 0;
}

/* Sent means received, once, and a failed send means that it was not. */
static void
race_check(const struct race *r)
{
	int v;

	for (v = 0; v < RACERS * RACED; v++) {
		if (r->code[v] != 0)
			test_result(r->code[v], -EPIPE);
		ck_assert_msg(r->got[v] == (r->code[v] == 0),
		    "sending %d gave %d, it came %d times", v, r->code[v],
		    r->got[v]);
		/* It does not open again. */
		ck_assert(v % RACED == 0 || r->code[v - 1] == 0 ||
		    r->code[v] != 0);
	}
}

static int
send_close_main(void *arg)
{
	uint64_t seed = *(uint64_t *)arg;
	struct co_scope s;
	struct race r;
	int i, n = (int)test_count(2000, 100000);

	while (n--) {
		r = (struct race){ .ch = chan_new(int, test_below(&seed, 3)) };
		co_scope(s) {
			for (i = 0; i < RACERS; i++)
				co_spawn(race_sender, &r);
			co_spawn(race_receiver, &r);
			if (n % 4 == 0)		/* elsewhere too */
				wait_for(&r.arrived, RACERS);
			for (i = (int)test_below(&seed, 4); i > 0; i--)
				co_yield();
			test_result(chan_close(r.ch), 0);
		}
		test_result(s.status, 0);
		race_check(&r);
		chan_unref(r.ch);
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

/* --- try ------------------------------------------------------------------ */

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

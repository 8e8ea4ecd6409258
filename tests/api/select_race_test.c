/* SPDX-License-Identifier: MIT */
/*
 * select_race_test.c - co_select with many cases, beside others that close,
 * cancel, select in other orders, or are plain threads.
 */
#include "harness.h"

#include <pthread.h>

#include <weft/chan.h>
#include <weft/scope.h>
#include <weft/sync.h>

#define load(p)		__atomic_load_n((p), __ATOMIC_ACQUIRE)
#define add(p, n)	__atomic_add_fetch((p), (n), __ATOMIC_ACQ_REL)

typedef chan(int) int_chan;

static void
run(int workers, co_fn *fn, void *arg)
{
	test_result(test_run(workers, fn, arg), 0);
}

/* --- close ---------------------------------------------------------------- */

enum { CHANS = 16 };

struct closing {
	int_chan ch[CHANS];
	int waiting, done;
};

static int
closing_select(void *arg)
{
	struct closing *c = arg;
	struct co_case cases[CHANS];
	int v[CHANS], status[CHANS], i, got;

	for (i = 0; i < CHANS; i++) {
		v[i] = 7;
		status[i] = 1;
		cases[i] = co_on_recv(c->ch[i], &v[i], &status[i]);
	}
	add(&c->waiting, 1);
	got = co_select_v(cases, CHANS);
	ck_assert(got >= 0 && got < CHANS);
	for (i = 0; i < CHANS; i++)
		ck_assert(i == got ? status[i] == -EPIPE && v[i] == 0 :
		    status[i] == 1 && v[i] == 7);
	ck_assert(chan_closed(c->ch[got]));
	add(&c->done, 1);
	return 0;
}

static int
closing_main(void *arg)
{
	int n = (int)test_count(60, 2000), i, selects = 64;
	uint64_t seed = *(uint64_t *)arg;
	struct closing c;
	struct co_scope s;

	while (n--) {
		c = (struct closing){ .waiting = 0 };
		for (i = 0; i < CHANS; i++)
			c.ch[i] = chan_new(int, 0);
		co_scope(s) {
			for (i = 0; i < selects; i++)
				co_spawn(closing_select, &c);
			while (test_below(&seed, 4) && load(&c.waiting) <
			    selects)
				co_yield();
			if (n % 2)
				i = (int)test_below(&seed, CHANS);
			else
				i = 0;
			for (int k = 0; k < CHANS; k++)
				test_result(chan_close(c.ch[(i + k) % CHANS]),
				    0);
		}
		ck_assert_int_eq(c.done, selects);
		for (i = 0; i < CHANS; i++)
			chan_unref(c.ch[i]);
	}
	return 0;
}

TEST(close_ends_each_select_once)
{
	uint64_t seed = test_seed();

	FOR_WORKERS(w)
		run(w, closing_main, &seed);
}

/* --- many cases ----------------------------------------------------------- */

static int
late_send(void *arg)
{
	co_yield();
	return chan_send((int_chan)arg, 11);
}

static int
many_main(void *arg)
{
	int n = *(int *)arg, i, v = 0, at, round;
	struct co_case *cases = calloc((size_t)n, sizeof *cases);
	int_chan *ch = calloc((size_t)n, sizeof *ch);
	struct co_scope s;

	for (i = 0; i < n; i++) {
		ch[i] = chan_new(int, 0);
		cases[i] = co_on_recv(ch[i], &v);
	}
	for (round = 0; round < 3; round++) {
		at = round == 0 ? 0 : round == 1 ? n / 2 : n - 1;
		co_scope(s) {
			co_spawn(late_send, ch[at]);
			ck_assert_int_eq(co_select_v(cases, n), at);
		}
		ck_assert_int_eq(v, 11);
		v = 0;
		chan_close(ch[at]);
		ck_assert_int_eq(co_select_v(cases, n), at);
		ck_assert_int_eq(v, 0);
		cases[at] = co_on_timeout(CO_SEC(100));
	}
	co_timeout(CO_MS(5))
		test_result(co_select_v(cases, n), n > 3 ? -ETIMEDOUT :
		    -ETIMEDOUT);
	for (i = 0; i < n; i++) {	/* nobody is left in a queue */
		if (!chan_closed(ch[i]))
			test_result(chan_try_send(ch[i], 1), -EAGAIN);
		chan_unref(ch[i]);
	}
	free(cases);
	free(ch);
	return 0;
}

TEST(any_number_of_cases)
{
	int n[] = { 3, 16, 17, 63, 64, 65, 1024, 65536 };
	size_t i;

	FOR_WORKERS(w)
		for (i = 0; i < sizeof n / sizeof n[0]; i++)
			run(w, many_main, &n[i]);
}

/* --- one moment ----------------------------------------------------------- */

enum { IDLE = 30 };

struct moment {
	struct co_event a, b;
	int over;
};

/* a and b take turns in being set, and one of them always is. */
static void *
moment_flip(void *arg)
{
	struct moment *m = arg;

	while (!load(&m->over)) {
		co_event_set(&m->b);
		co_event_reset(&m->a);
		co_event_set(&m->a);
		co_event_reset(&m->b);
	}
	return NULL;
}

static int
moment_main(void *arg)
{
	struct moment m = { CO_EVENT_INIT, CO_EVENT_INIT, 0 };
	int n = (int)test_count(20000, 1000000), i, v, got;
	struct co_case cases[IDLE + 3];
	int_chan idle = chan_new(int, 0);
	pthread_t thread;

	(void)arg;
	cases[0] = co_on_event(&m.a);
	for (i = 1; i <= IDLE; i++)
		cases[i] = co_on_recv(idle, &v);
	cases[IDLE + 1] = co_on_event(&m.b);
	cases[IDLE + 2] = co_otherwise;
	co_event_set(&m.a);
	pthread_create(&thread, NULL, moment_flip, &m);
	while (n--) {
		got = co_select_v(cases, IDLE + 3);
		ck_assert_msg(got == 0 || got == IDLE + 1, "chose %d", got);
	}
	add(&m.over, 1);
	pthread_join(thread, NULL);
	chan_unref(idle);
	return 0;
}

TEST(the_default_means_that_at_one_moment_nothing_was_ready)
{
	FOR_WORKERS(w)
		run(w, moment_main, NULL);
}

/* --- the order of locks --------------------------------------------------- */

enum { RING = 8, RINGERS = 16 };

struct ring {
	int_chan ch[RING];
	int n, sent, got, out;
	int_chan stop;
};

/* Selects over all channels, in an order and in directions of its own. */
static int
ringer(void *arg)
{
	struct ring *r = arg;
	uint64_t seed = (uint64_t)add(&r->out, 1);
	struct co_case cases[RING + 1];
	bool send[RING];
	int i, k, v, got;
	int_chan ch[RING], x;

	memcpy(ch, r->ch, sizeof ch);
	for (;;) {
		for (i = RING - 1; i > 0; i--) {
			k = (int)test_below(&seed, (uint64_t)i + 1);
			x = ch[i];
			ch[i] = ch[k];
			ch[k] = x;
		}
		for (i = 0; i < RING; i++) {
			send[i] = test_below(&seed, 2);
			cases[i] = send[i] ? co_on_send_from(ch[i], &v) :
			    co_on_recv(ch[i], &v);
		}
		cases[RING] = co_on_recv(r->stop, &v);
		got = co_select_v(cases, RING + 1);
		ck_assert(got >= 0);
		if (got == RING)
			return 0;
		add(send[got] ? &r->sent : &r->got, 1);
		if (load(&r->got) >= r->n)
			chan_close(r->stop);
	}
}

static int
ring_main(void *arg)
{
	struct ring r = { .n = (int)test_count(20000, 1000000) };
	struct co_scope s;
	int i;

	(void)arg;
	for (i = 0; i < RING; i++)
		r.ch[i] = chan_new(int, 0);
	r.stop = chan_new(int, 0);
	co_scope(s)
		for (i = 0; i < RINGERS; i++)
			co_spawn(ringer, &r);
	ck_assert_int_eq(r.sent, r.got);
	for (i = 0; i < RING; i++)
		chan_unref(r.ch[i]);
	chan_unref(r.stop);
	return 0;
}

TEST(selects_in_all_orders_and_directions_do_not_deadlock)
{
	FOR_WORKERS(w)
		run(w, ring_main, NULL);
}

/* --- four channels, plain and selected, sent and received, all exact ------ */

struct exact {
	int_chan ch[4];
	int n;
};

static int
exact_send(void *arg)
{
	struct exact *e = arg;
	int i, k;

	for (i = 0; i < e->n; i++)
		for (k = 0; k < 4; k++)
			test_result(chan_send(e->ch[k], i), 0);
	return 0;
}

static int
exact_recv(void *arg)
{
	struct exact *e = arg;
	int i, k, v;

	for (i = 0; i < e->n; i++)
		for (k = 0; k < 4; k++)
			test_result(chan_recv(e->ch[k], &v), 0);
	return 0;
}

/* Each channel n times, then it is taken out of the select. */
static int
exact_both(struct exact *e, bool send)
{
	int left[4] = { e->n, e->n, e->n, e->n }, v = 0, got, i;
	int_chan ch[4];

	memcpy(ch, e->ch, sizeof ch);
	for (i = 0; i < 4 * e->n; i++) {
		if (send)
			got = co_select(co_on_send(ch[3], i),
			    co_on_send(ch[2], i), co_on_send(ch[0], i),
			    co_on_send(ch[1], i));
		else
			got = co_select(co_on_recv(ch[3], &v),
			    co_on_recv(ch[2], &v), co_on_recv(ch[0], &v),
			    co_on_recv(ch[1], &v));
		ck_assert(got >= 0 && got < 4);
		got = (int[]){ 3, 2, 0, 1 }[got];
		if (--left[got] == 0)
			ch[got] = NULL;
	}
	return 0;
}

static int
exact_select_send(void *arg)
{
	return exact_both(arg, true);
}

static int
exact_select_recv(void *arg)
{
	return exact_both(arg, false);
}

static int
exact_main(void *arg)
{
	struct exact e = { .n = (int)test_count(5000, 100000) };
	struct co_scope s;
	int i;

	(void)arg;
	e.ch[0] = chan_new(int, 0);
	e.ch[1] = chan_new(int, 0);
	e.ch[2] = chan_new(int, 2);
	e.ch[3] = chan_new(int, 3);
	co_scope(s) {
		co_spawn(exact_send, &e);
		co_spawn(exact_recv, &e);
		co_spawn(exact_select_send, &e);
		co_spawn(exact_select_recv, &e);
	}
	for (i = 0; i < 4; i++) {
		ck_assert_uint_eq(chan_len(e.ch[i]), 0);
		chan_unref(e.ch[i]);
	}
	return 0;
}

TEST(plain_and_selected_ends_agree_on_every_value)
{
	FOR_WORKERS(w)
		run(w, exact_main, NULL);
}

/* --- value, cancel and deadline at once ----------------------------------- */

struct three {
	int_chan ch;
	struct co_scope inner;
	int code, v, sent;
};

static int
three_select(void *arg)
{
	struct three *t = arg;
	int_chan none = NULL;

	t->code = co_select(co_on_send(none, 1), co_on_recv(t->ch, &t->v));
	return 0;
}

static int
three_send(void *arg)
{
	struct three *t = arg;

	t->sent = chan_try_send(t->ch, 1) == 0;
	return 0;
}

static int
three_main(void *arg)
{
	int n = (int)test_count(500, 50000);
	struct co_scope outer;
	struct three t;

	(void)arg;
	while (n--) {
		t = (struct three){ .ch = chan_new(int, (size_t)(n % 2)) };
		co_scope(outer) {
			co_scope(t.inner, .timeout = CO_US(n % 40 + 1)) {
				co_spawn(three_select, &t);
				co_spawn_with(&(struct co_spawn_options){
				    .scope = &outer }, three_send, &t);
				if (n % 3)
					co_yield();
				if (n % 5 == 0)
					co_cancel(&t.inner);
			}
		}
		ck_assert(t.code == 1 || t.code == -ECANCELED ||
		    t.code == -ETIMEDOUT);
		ck_assert_int_eq(t.v, t.code == 1);
		/* Sent and not received: then it is still there. */
		ck_assert_uint_eq(chan_len(t.ch), (size_t)(t.sent - t.v));
		chan_unref(t.ch);
	}
	return 0;
}

TEST(a_select_that_ends_otherwise_leaves_the_value)
{
	FOR_WORKERS(w)
		run(w, three_main, NULL);
}

static int
closed_and_ready_main(void *arg)
{
	int_chan closed = chan_new(int, 0), ready = chan_new(int, 1);
	int n = (int)test_count(20000, 1000000), i, v, hits = 0;
	double off;

	(void)arg;
	chan_close(closed);
	for (i = 0; i < n; i++) {
		(void)!chan_try_send(ready, 1);
		hits += co_select(co_on_recv(closed, &v),
		    co_on_recv(ready, &v)) == 1;
	}
	off = hits - n / 2.0;
	ck_assert_msg(off * off / (n / 4.0) <= 23.93, "%d of %d", hits, n);
	chan_unref(closed);
	chan_unref(ready);
	return 0;
}

TEST(closed_has_no_priority)
{
	FOR_WORKERS(w)
		run(w, closed_and_ready_main, NULL);
}

/* --- other kinds, other threads ------------------------------------------- */

static int
seven(void *arg)
{
	if (arg)
		co_sleep(CO_MS(2));
	return 7;
}

static int
set_event(void *arg)
{
	co_sleep(CO_MS(2));
	return co_event_set(arg);
}

static int
kinds_main(void *arg)
{
	struct co_event e = CO_EVENT_INIT;
	int_chan ch = chan_new(int, 0);
	struct co_task task, quick;
	int v, result = 0;

	(void)arg;
	test_result(co_fork(&task, seven, "slowly"), 0);
	test_result(co_fork(&quick, seven, NULL), 0);
	ck_assert_int_eq(co_select(co_on_recv(ch, &v), co_on_event(&e),
	    co_on_join(&task, &result), co_on_timeout(CO_SEC(60))), 2);
	ck_assert_int_eq(result, 7);
	test_result(co_join(&task), -EINVAL);		/* it is joined */
	ck_assert_int_eq(co_select(co_on_recv(ch, &v), co_on_join(&quick)), 1);
	co_spawn(set_event, &e);
	ck_assert_int_eq(co_select(co_on_event(&e), co_otherwise), 1);
	ck_assert_int_eq(co_select(co_on_recv(ch, &v), co_on_event(&e)), 1);
	ck_assert_int_eq(co_select(co_on_event(&e), co_otherwise), 0);
	co_event_reset(&e);
	ck_assert_int_eq(co_select(co_on_event(&e), co_on_timeout(CO_MS(1))),
	    1);
	test_result(co_fork(&task, seven, "slowly"), 0);
	ck_assert_int_eq(co_select(co_on_join(&task), co_on_timeout(1)), 1);
	test_result(co_join(&task), 7);			/* it was not */
	chan_unref(ch);
	return 0;
}

TEST(joins_and_events_are_cases_too)
{
	FOR_WORKERS(w)
		run(w, kinds_main, NULL);
}

struct threads {
	int_chan in[2], out;
	int n;
};

static void *
thread_select(void *arg)
{
	struct threads *t = arg;
	int v, got, ended = 0;
	int_chan in[2] = { t->in[0], t->in[1] };

	while (ended < 2) {
		int status = 0;

		got = co_select(co_on_recv(in[0], &v, &status),
		    co_on_recv(in[1], &v, &status), co_on_timeout(CO_SEC(60)));
		ck_assert(got == 0 || got == 1);
		if (status == -EPIPE) {
			in[got] = NULL;
			ended++;
		} else {
			test_result(chan_send(t->out, v), 0);
		}
	}
	return NULL;
}

static int
threads_main(void *arg)
{
	struct threads t = { .n = (int)test_count(2000, 100000) };
	pthread_t threads[2];
	int i, v, sent = 0, got = 0;

	(void)arg;
	t.in[0] = chan_new(int, 0);
	t.in[1] = chan_new(int, 4);
	t.out = chan_new(int, 0);
	for (i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, thread_select, &t);
	while (got < t.n) {
		switch (sent < t.n ? co_select(co_on_recv(t.out, &v),
		    co_on_send(t.in[0], 1), co_on_send(t.in[1], 1)) :
		    co_select(co_on_recv(t.out, &v))) {
		case 0:
			got += v;
			break;
		default:
			sent++;
		}
	}
	ck_assert_int_eq(sent, got);
	chan_close(t.in[0]);
	chan_close(t.in[1]);
	for (i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	chan_unref(t.in[0]);
	chan_unref(t.in[1]);
	chan_unref(t.out);
	return 0;
}

TEST(plain_threads_select_with_coroutines)
{
	FOR_WORKERS(w)
		run(w, threads_main, NULL);
	threads_main(NULL);
}

/* --- a task that ends while a value comes --------------------------------- */

struct two_ends {
	uint64_t seed;
	chan(int) ch;
	uint64_t rounds, spin[2];
};

static void
spin_for(uint64_t n)
{
	while (n-- > 0)
		__asm__ volatile("");
}

static int
ends_soon(void *arg)
{
	spin_for(((struct two_ends *)arg)->spin[0]);
	return 5;
}

static int
sends_soon(void *arg)
{
	struct two_ends *e = arg;

	spin_for(e->spin[1]);
	return chan_send(e->ch, 1);
}

/* Both happen in each round, and each of them is seen. */
static int
both_are_seen(void *arg)
{
	struct two_ends *e = arg;
	struct co_task ends, sends;
	int v, code, result;

	while (e->rounds-- > 0) {
		e->spin[0] = test_below(&e->seed, 1500);
		e->spin[1] = test_below(&e->seed, 1500);
		test_result(co_fork(&ends, ends_soon, e), 0);
		test_result(co_fork(&sends, sends_soon, e), 0);
		v = result = 0;
		code = co_select(co_on_recv(e->ch, &v),
		    co_on_join(&ends, &result));
		if (code == 0) {
			ck_assert_int_eq(v, 1);
			test_result(co_join(&ends), 5);
		} else {	/* what was sent is there still */
			test_result(code, 1);
			test_result(result, 5);
			test_result(chan_recv(e->ch, &v), 0);
		}
		test_result(co_join(&sends), 0);
	}
	return 0;
}

TEST(a_join_does_not_lose_what_a_channel_brings, .seconds = 120)
{
	struct two_ends e = { .seed = test_seed() };

	FOR_WORKERS(w) {
		e.rounds = test_count(5000, 500000);
		e.ch = chan_new(int, 0);
		test_result(test_run(w, both_are_seen, &e), 0);
		chan_unref(e.ch);
	}
}

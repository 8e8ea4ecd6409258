/* SPDX-License-Identifier: MIT */
/*
 * select_test.c - co_select over channels, time, joins and events.  The groups
 * SE of the conformance scenarios.  Which of several: select_chance_test.c.
 */
#include "harness.h"

#include <pthread.h>

#include <weft/chan.h>
#include <weft/scope.h>
#include <weft/sync.h>

#define load(p)		__atomic_load_n((p), __ATOMIC_ACQUIRE)
#define store(p, v)	__atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define add(p, n)	__atomic_add_fetch((p), (n), __ATOMIC_ACQ_REL)

typedef chan(int) int_chan;

static void
run(int workers, co_fn *fn, void *arg)
{
	test_result(test_run(workers, fn, arg), 0);
}

/* --- the table: each kind of channel, direction, with and without default - */

enum { NIL, EMPTY, FULL, CLOSED, PEER, KINDS };

static int
peer_send(void *arg)
{
	return chan_send((int_chan)arg, 5);
}

static int
peer_recv(void *arg)
{
	int v;

	test_result(chan_recv((int_chan)arg, &v), 0);
	ck_assert_int_eq(v, 6);
	return 0;
}

static int
row(int kind, bool send, bool otherwise)
{
	int_chan ch = kind == NIL ? NULL : chan_new(int, kind != PEER);
	bool ready = kind == CLOSED || kind == PEER || kind == (send ? EMPTY :
	    FULL);
	int v = 9, status = 9, got = 9;

	if (kind == FULL)
		chan_send(ch, 5);
	if (kind == CLOSED)
		chan_close(ch);
	if (kind == PEER) {
		co_spawn(send ? peer_recv : peer_send, ch);
		co_sleep(CO_MS(1));
	}
	co_timeout(CO_MS(ready ? 10000 : 2)) {
		if (send && otherwise)
			got = co_select(co_on_send(ch, 6, &status),
			    co_otherwise);
		else if (send)
			got = co_select(co_on_send(ch, 6, &status));
		else if (otherwise)
			got = co_select(co_on_recv(ch, &v, &status),
			    co_otherwise);
		else
			got = co_select(co_on_recv(ch, &v, &status));
	}
	ck_assert_int_eq(got, ready ? 0 : otherwise ? 1 : -ETIMEDOUT);
	ck_assert_int_eq(status, !ready ? 9 : kind == CLOSED ? -EPIPE : 0);
	if (!send)
		ck_assert_int_eq(v, !ready ? 9 : kind == CLOSED ? 0 : 5);
	if (kind == PEER)
		co_sleep(CO_MS(1));
	chan_unref(ch);
	return 0;
}

static int
table_main(void *arg)
{
	int kind, how;

	(void)arg;
	for (kind = 0; kind < KINDS; kind++)
		for (how = 0; how < 4; how++)
			row(kind, how & 1, how & 2);
	return 0;
}

TEST(a_single_case_blocks_or_goes_ahead_as_the_table_says)
{
	FOR_WORKERS(w)
		run(w, table_main, NULL);
}

static int
empty_main(void *arg)
{
	int_chan none = NULL;
	struct co_scope s;
	struct co_case zero[2];
	int v;

	(void)arg;
	memset(zero, 0, sizeof zero);
	co_timeout(CO_MS(5))
		test_result(co_select(), -ETIMEDOUT);
	co_timeout(CO_MS(5))
		test_result(co_select_v(NULL, 0), -ETIMEDOUT);
	co_timeout(CO_MS(5))
		test_result(co_select_v(zero, 2), -ETIMEDOUT);
	co_timeout(CO_MS(5))
		test_result(co_select(co_on_recv(none, &v),
		    co_on_send(none, 1)), -ETIMEDOUT);
	ck_assert_int_eq(co_select(co_on_recv(none, &v), co_otherwise), 1);
	ck_assert_int_eq(co_select(co_otherwise), 0);
	ck_assert_int_eq(co_select(co_on_timeout(CO_MS(1))), 0);
	ck_assert_int_eq(co_select(co_on_recv(none, &v), co_on_timeout(0)), 1);
	ck_assert_int_eq(co_select(co_on_timeout(-1), co_otherwise), 0);
	test_result(co_select_v(zero, -1), -EINVAL);
	test_result(co_select_v(NULL, 1), -EINVAL);
	co_scope(s) {
		co_cancel(&s);
		test_result(co_select(), -ECANCELED);
		test_result(co_select(co_on_timeout(0)), -ECANCELED);
		ck_assert_int_eq(co_select(co_on_recv(none, &v),
		    co_otherwise), 1);
	}
	return 0;
}

TEST(no_cases_wait_until_cancelled)
{
	FOR_WORKERS(w)
		run(w, empty_main, NULL);
}

static int
timeouts_main(void *arg)
{
	int_chan ch = chan_new(int, 1);
	struct co_case cases[3];
	int64_t begin = co_now();
	int v = 3;

	(void)arg;
	ck_assert_int_eq(co_select(co_on_recv(ch, &v),
	    co_on_timeout(CO_MS(500)), co_on_timeout(CO_MS(20)),
	    co_on_timeout(CO_FOREVER)), 2);
	test_between(co_now() - begin, CO_MS(20), CO_MS(400) * test_slow());
	co_timeout(CO_MS(10))
		test_result(co_select(co_on_recv(ch, &v),
		    co_on_timeout(CO_SEC(1000))), -ETIMEDOUT);
	co_timeout(CO_SEC(1000))
		ck_assert_int_eq(co_select(co_on_recv(ch, &v),
		    co_on_timeout(CO_MS(10))), 1);
	ck_assert_int_eq(v, 3);

	/* A list may be used again; its timeout counts anew. */
	cases[0] = co_on_recv(ch, &v);
	cases[1] = co_on_timeout(CO_MS(15));
	cases[2] = co_on_send(ch, 8);
	ck_assert_int_eq(co_select_v(cases, 3), 2);
	ck_assert_int_eq(co_select_v(cases, 3), 0);
	begin = co_now();
	ck_assert_int_eq(co_select_v(cases, 2), 1);
	test_between(co_now() - begin, CO_MS(15), CO_MS(400) * test_slow());
	ck_assert_int_eq(v, 8);
	chan_unref(ch);
	return 0;
}

TEST(the_earliest_timeout_wins_and_never_early)
{
	FOR_WORKERS(w)
		run(w, timeouts_main, NULL);
}

/* Two that always have something, and one that also waits for a time: its
   turn comes, whatever it is told the time by.  Nothing but the watchdog ends
   a test in which it does not.  What has room is only received from: who could
   also send to himself would never wait, and keep the worker. */
static bool talk_on;	/* [atomic] */

static int_chan
back_of(int_chan ch)
{
	return chan_cap(ch) == 0 ? ch : NULL;
}

static int
talk(void *arg)
{
	int_chan ch = (int_chan)arg;
	int v;

	while (__atomic_load_n(&talk_on, __ATOMIC_RELAXED))
		if (co_select(co_on_send(ch, 1), co_on_recv(back_of(ch), &v),
		    co_on_timeout(CO_MS(1))) < 0)
			return -1;
	return 0;
}

static int
ring_later(void *arg)
{
	int code = co_sleep(CO_MS(20));

	co_event_set(arg);
	return code;
}

/* The time that is left as a case.  When none is left it is as ready as the
   others: k in a row pass it by with a chance of 2^-k. */
static void
listen_by_the_clock(int_chan ch)
{
	int64_t until = co_now() + CO_MS(20);
	int v, got, passed_by = 0;

	do {
		int64_t left = until - co_now();

		passed_by += left <= 0;
		ck_assert_int_lt(passed_by, 64);
		got = co_select(co_on_recv(ch, &v),
		    co_on_send(back_of(ch), 2),
		    co_on_timeout(left < 0 ? 0 : left));
		ck_assert_int_ge(got, 0);
	} while (got != 2);
	ck_assert_int_ge(co_now(), until);
}

static void
listen_for_a_bell(int_chan ch)
{
	struct co_event bell = CO_EVENT_INIT;
	int64_t begin = co_now();
	struct co_task t;
	int v, got;

	test_result(co_fork(&t, ring_later, &bell), 0);
	do {
		got = co_select(co_on_recv(ch, &v),
		    co_on_send(back_of(ch), 2), co_on_event(&bell));
		ck_assert_int_ge(got, 0);
	} while (got != 2);
	ck_assert_int_ge(co_now() - begin, CO_MS(20));
	test_result(co_join(&t), 0);
}

static void
listen_in_a_scope(int_chan ch)
{
	int64_t begin = co_now();
	int v, got = 0;

	co_timeout(CO_MS(20))
		while (got >= 0)
			got = co_select(co_on_recv(ch, &v),
			    co_on_send(back_of(ch), 2));
	test_result(got, -ETIMEDOUT);
	ck_assert_int_ge(co_now() - begin, CO_MS(20));
}

static int
listen_main(void *arg)
{
	int_chan ch = chan_new(int, *(size_t *)arg);
	struct co_scope s;

	__atomic_store_n(&talk_on, true, __ATOMIC_RELAXED);
	co_scope(s) {
		test_result(co_spawn(talk, ch), 0);
		test_result(co_spawn(talk, ch), 0);
		listen_by_the_clock(ch);
		listen_for_a_bell(ch);
		listen_in_a_scope(ch);
		__atomic_store_n(&talk_on, false, __ATOMIC_RELAXED);
	}
	test_result(s.status, 0);
	chan_unref(ch);
	return 0;
}

TEST(a_timeout_comes_though_others_are_always_ready)
{
	size_t caps[] = { 0, 1 };
	uint64_t i, n = test_count(2, 200);

	FOR_WORKERS(w)
		for (i = 0; i < n; i++)
			run(w, listen_main, &caps[i % 2]);
}

/* --- default -------------------------------------------------------------- */

struct duo {
	int_chan a, b;
	int result;
	int v;
};

static int
default_chooser(void *arg)
{
	struct duo *d = arg;
	int v;

	d->result = co_select(co_on_recv(d->a, &v), co_on_recv(d->b, &v),
	    co_otherwise);
	return 0;
}

/* a is full, then b too, then a is emptied: one is ready at every moment. */
static int
default_main(void *arg)
{
	int n = (int)test_count(3000, 100000), v;
	struct co_scope s;
	struct duo d;

	while (n--) {
		d = (struct duo){ chan_new(int, 1), chan_new(int, 1), -1, 0 };
		test_result(chan_send(d.a, 1), 0);
		co_scope(s) {
			co_spawn(default_chooser, &d);
			if (arg)
				test_result(chan_close(d.b), 0);
			else
				test_result(chan_send(d.b, 1), 0);
			(void)!chan_try_recv(d.a, &v);
		}
		ck_assert(d.result == 0 || d.result == 1);
		chan_unref(d.a);
		chan_unref(d.b);
	}
	return 0;
}

TEST(the_default_is_not_taken_while_something_is_ready)
{
	FOR_WORKERS(w) {
		run(w, default_main, NULL);
		run(w, default_main, "close");
	}
}

/* --- one channel in several cases ----------------------------------------- */

struct twice {
	int_chan c, d;
	int arrived, a_got, a_value, b_value;
};

static int
twice_a(void *arg)
{
	struct twice *t = arg;

	add(&t->arrived, 1);
	t->a_got = co_select(co_on_recv(t->c, &t->a_value),
	    co_on_recv(t->c, &t->a_value), co_on_recv(t->d, &t->a_value));
	return 0;
}

static int
twice_b(void *arg)
{
	struct twice *t = arg;

	while (load(&t->arrived) < 1)
		co_yield();
	add(&t->arrived, 1);
	return chan_recv(t->c, &t->b_value);
}

static int
twice_main(void *arg)
{
	struct twice t = { .a_got = -1 };
	struct co_scope s;

	t.c = chan_new(int, 0);
	t.d = chan_new(int, 0);
	(void)arg;
	co_scope(s) {
		co_spawn(twice_a, &t);
		co_spawn(twice_b, &t);
		while (load(&t.arrived) < 2)
			co_yield();
		co_sleep(CO_MS(2));
		test_result(chan_send(t.d, 7), 0);
		test_result(chan_send(t.c, 8), 0);
	}
	ck_assert(t.a_got == 2 && t.a_value == 7 && t.b_value == 8);
	test_result(chan_try_send(t.c, 1), -EAGAIN);
	chan_unref(t.c);
	chan_unref(t.d);
	return 0;
}

TEST(a_channel_may_stand_in_several_cases)
{
	FOR_WORKERS(w)
		run(w, twice_main, NULL);
}

static int
self_peer(void *arg)
{
	struct duo *d = arg;
	int me = add(&d->v, 1), n = (int)test_count(500, 5000), v, cap;

	cap = (int)chan_cap(d->a);
	for (v = 0; n > 0; n--) {
		if (co_select(co_on_send(d->a, me), co_on_recv(d->a, &v)) == 1)
			ck_assert(v != me || cap > 0);
	}
	chan_send(d->b, 1);
	return 0;
}

/* Two peers select on both directions of one channel. */
static int
self_main(void *arg)
{
	struct duo d = { chan_new(int, *(size_t *)arg), chan_new(int, 2), 0,
	    0 };
	struct co_scope s;
	int done = 0, v;

	co_timeout(CO_MS(3)) {
		if (*(size_t *)arg == 0)	/* alone: not with itself */
			test_result(co_select(co_on_send(d.a, 1),
			    co_on_recv(d.a, &v)), -ETIMEDOUT);
	}
	co_scope(s) {
		co_spawn(self_peer, &d);
		co_spawn(self_peer, &d);
		while (done < 2) {	/* a partner for who is left alone */
			switch (co_select(co_on_recv(d.b, &v),
			    co_on_timeout(CO_MS(1)))) {
			case 0:
				done++;
				break;
			default:
				(void)!chan_try_send(d.a, 99);
				(void)!chan_try_recv(d.a, &v);
			}
		}
	}
	chan_unref(d.a);
	chan_unref(d.b);
	return 0;
}

TEST(a_select_never_meets_itself)
{
	size_t caps[] = { 0, 10 };

	FOR_WORKERS(w) {
		run(w, self_main, &caps[0]);
		run(w, self_main, &caps[1]);
	}
}

/* --- exactly one ---------------------------------------------------------- */

struct mux {
	int_chan ch[4], out;
	int n, which;
};

static int
mux_sender(void *arg)
{
	struct mux *m = arg;
	int i;

	for (i = 0; i < m->n; i++)
		ck_assert(co_select(co_on_send(m->ch[0], i),
		    co_on_send(m->ch[1], i), co_on_send(m->ch[2], i),
		    co_on_send(m->ch[3], i)) >= 0);
	for (i = 0; i < 4; i++)
		chan_close(m->ch[i]);
	return 0;
}

static int
mux_copier(void *arg)
{
	struct mux *m = arg;

	chan_each(int, v, m->ch[add(&m->which, 1) - 1])
		test_result(chan_send(m->out, v), 0);
	if (add(&m->which, -1) == 0)
		chan_close(m->out);
	return 0;
}

static int
mux_main(void *arg)
{
	struct mux m = { .n = (int)test_count(20000, 1000000) };
	char *seen = calloc((size_t)m.n, 1);
	struct co_scope s;
	int i, got = 0;

	for (i = 0; i < 4; i++)
		m.ch[i] = chan_new(int, *(size_t *)arg);
	m.out = chan_new(int, 0);
	co_scope(s) {
		for (i = 0; i < 4; i++)
			co_spawn(mux_copier, &m);
		co_sleep(CO_MS(1));
		co_spawn(mux_sender, &m);
		chan_each(int, v, m.out) {
			ck_assert_int_eq(seen[v]++, 0);
			got++;
		}
	}
	ck_assert_int_eq(got, m.n);
	for (i = 0; i < 4; i++)
		chan_unref(m.ch[i]);
	chan_unref(m.out);
	free(seen);
	return 0;
}

TEST(a_select_sends_each_value_once)
{
	size_t caps[] = { 0, 2 };

	FOR_WORKERS(w) {
		run(w, mux_main, &caps[0]);
		run(w, mux_main, &caps[1]);
	}
}

struct stolen {
	int_chan a, b;
	int s_got, s_value, r_value;
};

static int
stolen_select(void *arg)
{
	struct stolen *t = arg;
	int v = 0;

	t->s_got = co_select(co_on_recv(t->a, &v), co_on_recv(t->b, &v));
	__atomic_store_n(&t->s_value, v, __ATOMIC_RELEASE);
	return 0;
}

static int
stolen_recv(void *arg)
{
	struct stolen *t = arg;

	return chan_recv(t->b, &t->r_value);
}

static int
stolen_send(void *arg)
{
	return chan_send(((struct stolen *)arg)->b, 2);
}

/* S waits for a and b, R for b; one value goes to each, at once. */
static int
stolen_main(void *arg)
{
	int n = (int)test_count(2000, 100000), v;
	struct stolen t;
	struct co_scope s;

	(void)arg;
	while (n--) {
		t = (struct stolen){ chan_new(int, 1), chan_new(int, 1),
		    -1, 0, 0 };
		co_scope(s) {
			co_spawn(stolen_select, &t);
			co_spawn(stolen_recv, &t);
			if (n % 2)
				co_yield();
			co_spawn(stolen_send, &t);
			test_result(chan_send(t.a, 1), 0);
			if (n % 4 < 2)
				co_yield();
			/* If b's value went to S, R is owed another one. */
			while (!load(&t.s_value))
				co_yield();
			if (load(&t.s_value) == 2)
				test_result(chan_send(t.b, 3), 0);
		}
		ck_assert(t.s_value == t.s_got + 1);
		if (t.s_got == 1) {	/* a's value must still be there */
			test_result(chan_try_recv(t.a, &v), 0);
			ck_assert_int_eq(t.r_value, 3);
		} else {
			ck_assert_int_eq(t.r_value, 2);
		}
		chan_unref(t.a);
		chan_unref(t.b);
	}
	return 0;
}

TEST(who_wins_elsewhere_steals_no_wake_up)
{
	FOR_WORKERS(w)
		run(w, stolen_main, NULL);
}

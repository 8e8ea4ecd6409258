/* SPDX-License-Identifier: MIT */
/*
 * timer_stress_test.c - timers against what they time: deadlines that pass
 * before the wait began, as it ends, as the scope is left.
 */
#include "harness.h"

#include <pthread.h>

#include <weft/chan.h>
#include <weft/scope.h>
#include <weft/sync.h>

#define load(p)		__atomic_load_n((p), __ATOMIC_SEQ_CST)
#define store(p, v)	__atomic_store_n((p), (v), __ATOMIC_SEQ_CST)
#define add(p, n)	__atomic_add_fetch((p), (n), __ATOMIC_SEQ_CST)

/* --- tiny timeouts ---------------------------------------------------------- */

struct feed {
	chan(int) ch;
	int stop;		/* [atomic] */
	int sent, received;	/* [atomic] */
};

static int
feeder(void *arg)
{
	struct feed *f = arg;
	uint64_t seed = test_seed() + co_id();
	int code = 0;

	while (!load(&f->stop)) {
		co_timeout((co_time)test_below(&seed, 20000))
			code = chan_send(f->ch, 1);
		if (code == 0)
			add(&f->sent, 1);
		else if (code != -ETIMEDOUT)
			return -EPROTO;
	}
	return 0;
}

static int
eater(void *arg)
{
	struct feed *f = arg;
	uint64_t seed = test_seed() + co_id();
	int n = (int)test_count(10000, 1000000), v, code = 0;

	while (n--) {
		co_timeout((co_time)test_below(&seed, 2000)) {
			if (n % 2)
				code = chan_recv(f->ch, &v);
			else
				code = co_select(co_on_recv(f->ch, &v));
		}
		if (code == 0)
			add(&f->received, 1);
		else if (code != -ETIMEDOUT)
			return -EPROTO;
	}
	return 0;
}

static int
tiny_timeouts(void *arg)
{
	struct feed f = { .ch = chan_new(int, 0) };
	struct co_scope s, eaters;
	int i;

	(void)arg;
	co_scope(s) {
		test_result(co_spawn(feeder, &f), 0);
		co_scope(eaters)
			for (i = 0; i < 3; i++)
				test_result(co_spawn(eater, &f), 0);
		test_result(eaters.status, 0);
		store(&f.stop, 1);
	}
	test_result(s.status, 0);
	ck_assert_int_eq(f.sent, f.received);
	chan_unref(f.ch);
	return 0;
}

TEST(a_timeout_that_passes_before_the_wait_began_is_not_lost, .seconds = 120)
{
	test_seed();
	FOR_WORKERS(w)
		test_result(test_run(w, tiny_timeouts, NULL), 0);
}

/* --- a timer that was satisfied does not meet the next wait ----------------- */

struct pair {
	struct co_event first, second;
	int round;		/* [atomic] whose first wait may end */
	int second_set;		/* [atomic] round in which second was set */
	int rounds;
	uint64_t seed;
};

static int
waker(void *arg)
{
	struct pair *p = arg;
	uint64_t seed = p->seed + 1;
	co_time until;
	int i;

	for (i = 1; i <= p->rounds; i++) {
		while (load(&p->round) < i)
			co_yield();
		until = co_now() + (co_time)test_below(&seed, 3000);
		while (co_now() < until)
			;
		co_event_set(&p->first);
		for (; test_below(&seed, 4) != 0; )
			co_yield();
		store(&p->second_set, i);
		co_event_set(&p->second);
	}
	return 0;
}

static int
timed_then_untimed(struct pair *p)
{
	int i, code = 0, fired = 0;

	for (i = 1; i <= p->rounds; i++) {
		store(&p->round, i);
		switch (i % 3) {
		case 0:
			co_timeout((co_time)test_below(&p->seed, 3000))
				code = co_event_wait(&p->first);
			break;
		case 1:
			code = co_select(co_on_event(&p->first),
			    co_on_timeout((co_time)test_below(&p->seed, 3000)));
			break;
		default:
			code = co_sleep((co_time)test_below(&p->seed, 3000));
			break;
		}
		fired += code == -ETIMEDOUT || code == 1;
		/* Only the real signal may end this one. */
		test_result(co_event_wait(&p->second), 0);
		ck_assert_int_eq(load(&p->second_set), i);
		test_result(co_event_wait(&p->first), 0);
		co_event_reset(&p->first);
		co_event_reset(&p->second);
	}
	return fired;
}

static int
stale_timers(void *arg)
{
	struct pair p = { .first = CO_EVENT_INIT, .second = CO_EVENT_INIT,
		.rounds = (int)test_count(5000, 1000000), .seed = test_seed() };
	struct co_scope s;

	(void)arg;
	co_scope(s) {
		test_result(co_spawn(waker, &p), 0);
		timed_then_untimed(&p);
	}
	test_result(s.status, 0);
	test_soak("timer races", (uint64_t)p.rounds);
	return 0;
}

TEST(a_timer_whose_wait_is_over_does_not_end_the_next_one, .seconds = 120)
{
	test_seed();
	FOR_WORKERS(w)
		test_result(test_run(w, stale_timers, NULL), 0);
}

/* --- deadlines of scopes that are being left -------------------------------- */

static int
nap_in_it(void *arg)
{
	return co_sleep((co_time)(intptr_t)arg) == 0 ? 0 : -EAGAIN;
}

/* Entered and left as its deadline passes; children arm it from elsewhere. */
static int
come_and_go(void *arg)
{
	uint64_t seed = test_seed() + co_id();
	int n = (int)test_count(500, 100000), code = 0;
	struct co_scope s;

	(void)arg;
	while (n--) {
		co_time d = (co_time)test_below(&seed, 30000) + 1;

		co_scope(s, .timeout = d, .policy = CO_SUPERVISE) {
			if (test_below(&seed, 3) == 0)
				co_spawn(nap_in_it, (void *)(intptr_t)
				    test_below(&seed, 30000));
			if (test_below(&seed, 2))
				code = co_sleep((co_time)test_below(&seed,
				    30000));
			if (test_below(&seed, 8) == 0)
				co_cancel(&s);
		}
		memset(&s, 0xa5, sizeof s);
		if (code != 0 && code != -ETIMEDOUT)
			return -EPROTO;
		code = 0;
		if (co_sleep(0) != 0 || co_cancelled())
			return -EPROTO;
	}
	return 0;
}

static int
many_come_and_go(void *arg)
{
	struct co_scope s;
	int i;

	(void)arg;
	co_scope(s)
		for (i = 0; i < 16; i++)
			test_result(co_spawn(come_and_go, NULL), 0);
	test_result(s.status, 0);
	return 0;
}

TEST(a_deadline_may_pass_as_its_scope_is_left, .seconds = 120)
{
	test_seed();
	FOR_WORKERS(w)
		test_result(test_run(w, many_come_and_go, NULL), 0);
}

/* --- others are not held up ------------------------------------------------- */

static int
rearm(void *arg)
{
	struct feed *f = arg;
	uint64_t seed = test_seed() + co_id();
	int v;

	while (!load(&f->stop)) {
		co_timeout(CO_SEC(1) + (co_time)test_below(&seed, 1000000)) {
			test_result(chan_send(f->ch, 1), 0);
			test_result(chan_recv(f->ch, &v), 0);
		}
		co_timeout(CO_US(1))
			(void)co_sleep(CO_US(5));
	}
	return 0;
}

static int
punctual(void *arg)
{
	struct feed f = { .ch = chan_new(int, 64) };
	int n = (int)test_count(50, 2000), late = 0, i;
	struct co_scope s;

	(void)arg;
	co_scope(s) {
		for (i = 0; i < 8; i++)
			test_result(co_spawn(rearm, &f), 0);
		for (i = 0; i < n; i++) {
			int64_t from = test_now();

			test_result(co_sleep(CO_MS(1)), 0);
			ck_assert(test_now() - from >= CO_MS(1));
			late += test_now() - from > CO_MS(21) * test_slow();
		}
		store(&f.stop, 1);
	}
	chan_unref(f.ch);
	return late;
}

TEST(timers_set_again_and_again_hold_up_nobody, .seconds = 120)
{
	test_seed();
	FOR_WORKERS(w)
		ck_assert_int_le(test_run(w, punctual, NULL), 5);
}

/* --- threads in the same races ---------------------------------------------- */

static void *
thread_races(void *arg)
{
	struct feed *f = arg;
	uint64_t seed = test_seed() + (uintptr_t)&seed;
	int n = (int)test_count(3000, 300000), v, code = 0;

	while (n--) {
		co_timeout((co_time)test_below(&seed, 100000)) {
			if (n % 2)
				code = chan_recv(f->ch, &v);
			else
				code = chan_send(f->ch, 1);
		}
		if (code == 0)
			add(n % 2 ? &f->received : &f->sent, 1);
		else if (code != -ETIMEDOUT)
			abort();
	}
	return NULL;
}

TEST(threads_time_out_as_they_are_served)
{
	struct feed f = { .ch = chan_new(int, 0) };
	pthread_t t[4];
	int i;

	test_seed();		/* made by one */
	for (i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, thread_races, &f),
		    0);
	for (i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	ck_assert_int_eq(f.sent, f.received);
	chan_unref(f.ch);
}

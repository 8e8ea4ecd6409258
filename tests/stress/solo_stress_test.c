/* SPDX-License-Identifier: MIT */
/*
 * solo_stress_test.c - a lone worker works without locks until another thread
 * comes, or another worker wakes (lock.h, SOLO): each round is one such moment.
 */
#include "harness.h"

#include <pthread.h>

#include <weft/chan.h>
#include <weft/scope.h>

#include "lock.h"

enum { ITEMS = 60, GUESTS = 20 };

struct round {
	chan(int) ch;
	uint64_t spin;
	pthread_t guest;
};

static int
sends(void *arg)
{
	struct round *r = arg;
	int i;

	for (i = 0; i < ITEMS; i++)
		test_result(chan_send(r->ch, 1), 0);
	return 0;
}

/* It is new to weft, and so ends the solo with its first call. */
static void *
guest(void *arg)
{
	struct round *r = arg;
	uint64_t i;
	int k;

	for (i = 0; i < r->spin; i++)
		__asm__ volatile("");
	for (k = 0; k < GUESTS; k++)
		test_result(chan_send(r->ch, 1), 0);
	return NULL;
}

static int
receives(void *arg)
{
	struct round *r = arg;
	struct co_task t;
	int i, v, sum = 0;

	ck_assert_int_eq(pthread_create(&r->guest, NULL, guest, r), 0);
	test_result(co_fork(&t, sends, r), 0);
	for (i = 0; i < ITEMS + GUESTS; i++) {
		test_result(chan_recv(r->ch, &v), 0);
		sum += v;
	}
	test_result(co_join(&t), 0);
	test_result(chan_try_recv(r->ch, &v), -EAGAIN);
	return sum;
}

static void
rounds(size_t capacity)
{
	uint64_t seed = test_seed(), i, n = test_count(1500, 100000);
	struct round r;

	for (i = 0; i < n; i++) {
		r.ch = chan_new(int, capacity);
		r.spin = test_below(&seed, 60000);
		test_result(test_run(1, receives, &r), ITEMS + GUESTS);
		pthread_join(r.guest, NULL);
		chan_unref(r.ch);
	}
}

TEST(a_guest_comes_while_values_are_handed_over, .seconds = 120)
{
	rounds(0);
}

TEST(a_guest_comes_while_values_are_buffered, .seconds = 120)
{
	rounds(2);
}

/* --- workers that wake ---------------------------------------------------- */

enum { VISITORS = 3 };

static struct {
	chan(int) ch;
	uint64_t visits, seed;
	uint64_t solos;		/* how often a solo was met that had not been
				   there at the last look */
	uint32_t left;		/* [atomic] visitors that will come again */
} town;

/* Computes until another worker has taken it, and then sleeps there: so each
   visit is one of a worker that has just woken. */
static int
visits(void *arg)
{
	uint64_t seed = town.seed + (uint64_t)(intptr_t)arg, i, spin;
	int k;

	for (i = 0; i < town.visits; i++) {
		for (spin = test_below(&seed, 100000); spin > 0; spin--)
			__asm__ volatile("");
		test_result(co_sleep((co_time)test_below(&seed, CO_MS(6))),
		    0);
		for (k = 0; k < GUESTS; k++)
			test_result(chan_send(town.ch, 1), 0);
	}
	a_add_acqrel(&town.left, -1u);
	return 0;
}

/* Talks to itself until all visitors have gone and it has been alone. */
static int
stays(void *arg)
{
	bool alone = false, was;
	int64_t from = test_now();

	(void)arg;
	do {
		test_result(chan_send(town.ch, 0), 0);
		was = alone;
		alone = a_load_relaxed(&co__solo) == self_get();
		town.solos += alone && !was;
		if (!co__have_membarrier && a_load_acquire(&town.left) == 0)
			break;
		ck_assert_int_lt(test_now() - from, CO_SEC(100) * test_slow());
	} while (a_load_acquire(&town.left) != 0 || town.solos == 0);
	chan_close(town.ch);
	return 0;
}

static int
town_main(void *arg)
{
	struct co_scope s;
	uint64_t got = 0;
	intptr_t i;
	int v;

	(void)arg;
	co_scope(s) {
		for (i = 0; i < VISITORS; i++)
			test_result(co_spawn(visits, (void *)i), 0);
		test_result(co_spawn(stays, NULL), 0);
		while (chan_recv(town.ch, &v) == 0)
			got += (uint64_t)v;
	}
	ck_assert_uint_eq(got, VISITORS * town.visits * GUESTS);
	return s.status;
}

TEST(workers_wake_while_another_is_alone, .seconds = 240)
{
	size_t capacity;

	town.seed = test_seed();
	town.visits = test_count(100, 30000);
	for (capacity = 0; capacity <= 2; capacity += 2)
		FOR_WORKERS(w) {
			if (w == 1)
				continue;
			town.ch = chan_new(int, capacity);
			town.left = VISITORS;
			town.solos = 0;
			test_result(test_run(w, town_main, NULL), 0);
			test_soak("solos", town.solos);
			chan_unref(town.ch);
		}
}

/* SPDX-License-Identifier: MIT */
/*
 * solo_stress_test.c - a lone worker works without locks until another thread
 * comes (lock.h, SOLO): each round is one such moment.
 */
#include "harness.h"

#include <pthread.h>

#include <weft/chan.h>

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

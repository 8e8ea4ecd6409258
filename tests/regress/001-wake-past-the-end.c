/* SPDX-License-Identifier: MIT */
/*
 * 001-wake-past-the-end.c - a thread wakes the first coroutine, which returns
 * at once.
 *
 * The runtime was taken down while the thread, behind the push, still looked
 * for a worker to wake in it.
 */
#include "harness.h"

#include <pthread.h>

#include <weft/chan.h>

static chan(int) ch;

static void *
wake_main(void *arg)
{
	test_result(chan_send(ch, 42), 0);
	return arg;
}

static int
await(void *arg)
{
	int v = 0;

	(void)arg;
	test_result(chan_recv(ch, &v), 0);
	return v;
}

TEST(the_end_waits_for_who_wakes_from_outside)
{
	uint64_t i, n = test_count(1000, 200000);
	pthread_t t;

	ch = chan_new(int, 0);
	for (i = 0; i < n; i++) {
		ck_assert_int_eq(pthread_create(&t, NULL, wake_main, NULL), 0);
		test_result(test_run(1 + (int)(i & 1), await, NULL), 42);
		pthread_join(t, NULL);
	}
	chan_unref(ch);
}

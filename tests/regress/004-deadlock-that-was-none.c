/* SPDX-License-Identifier: MIT */
/*
 * 004-deadlock-that-was-none.c - a runtime is nearly idle while another comes
 * and goes.
 *
 * The number of weft's own threads was read twice: once with the other
 * runtime's, once without.
 */
#include "harness.h"

#include <pthread.h>

#include <weft/chan.h>

static chan(int) there, back;

static int
echo(void *arg)
{
	int v;

	(void)arg;
	while (chan_recv(there, &v) == 0)
		test_result(chan_send(back, v), 0);
	return 9;
}

static void *
echo_runtime(void *arg)
{
	test_result(test_run(1 + (arg != NULL), echo, NULL), 9);
	return NULL;
}

static int
ask(void *arg)
{
	int v;

	test_result(chan_send(there, 1), 0);
	test_result(chan_recv(back, &v), 0);
	return arg != NULL;
}

TEST(another_runtime_comes_and_goes)
{
	uint64_t i, n = test_count(400, 100000);
	pthread_t t;

	FOR_WORKERS(w) {
		if (w > 4)
			break;
		there = chan_new(int, 0);
		back = chan_new(int, 0);
		ck_assert_int_eq(pthread_create(&t, NULL, echo_runtime,
		    w > 1 ? &t : NULL), 0);
		for (i = 0; i < n; i++)
			test_result(test_run(w, ask, NULL), 0);
		chan_close(there);
		pthread_join(t, NULL);
		chan_unref(there);
		chan_unref(back);
	}
}

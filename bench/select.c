/* SPDX-License-Identifier: MIT */
/*
 * select.c - what does a message cost that is taken by a select over four
 * rendezvous channels, each with a sender of its own?
 *
 * -n: messages in all.
 */
#include "runtime.h"

enum { CHANNELS = 4 };

static int
sender(void *arg)
{
	chan(int) c = arg;
	long i, n = bench.n / CHANNELS;

	for (i = 0; i < n; i++)
		bench_check(chan_send(c, (int)(i & 0xff)) == 0, "chan_send");
	return 0;
}

static int
body(void *arg)
{
	long i, n = bench.n / CHANNELS, sum = 0, wanted = 0;
	struct co_task t[CHANNELS];
	chan(int) c[CHANNELS];
	int64_t start;
	int k, v;

	(void)arg;
	for (k = 0; k < CHANNELS; k++) {
		c[k] = chan_new(int, 0);
		bench_check(c[k] != NULL, "chan_new");
		bench_check(co_fork(&t[k], sender, c[k]) == 0, "co_fork");
	}
	start = bench_now();
	for (i = 0; i < n * CHANNELS; i++) {
		k = co_select(co_on_recv(c[0], &v), co_on_recv(c[1], &v),
		    co_on_recv(c[2], &v), co_on_recv(c[3], &v));
		bench_check(k >= 0, "co_select");
		sum += v;
	}
	bench_result("select_4", (double)(bench_now() - start) /
	    (double)(n * CHANNELS), "ns");
	for (i = 0; i < n; i++)
		wanted += i & 0xff;
	bench_check(sum == wanted * CHANNELS, "the sum of the messages");
	for (k = 0; k < CHANNELS; k++) {
		bench_check(co_join(&t[k]) == 0, "co_join");
		chan_unref(c[k]);
	}
	return 0;
}

int
main(int argc, char **argv)
{
	bench_begin(argc, argv, 2000000, 0);
	return bench_run(body);
}

/* SPDX-License-Identifier: MIT */
/*
 * buffered.c - what does a message cost through a channel with room for 128,
 * from -k senders to -k receivers?
 *
 * -n: messages in all.
 */
#include "runtime.h"

enum { MOST = 64 };

static chan(int) channel;

static int
sender(void *arg)
{
	long i, n = bench.n / bench.k;

	(void)arg;
	for (i = 0; i < n; i++)
		bench_check(chan_send(channel, (int)(i & 0xff)) == 0,
		    "chan_send");
	return 0;
}

static int
receiver(void *sum)
{
	chan_each(int, v, channel)
		*(long *)sum += v;
	return 0;
}

static int
body(void *arg)
{
	struct co_task in[MOST], out[MOST];
	long i, k, sum = 0, sums[MOST] = { 0 }, wanted = 0;
	char metric[32];
	int64_t start;

	(void)arg;
	channel = chan_new(int, 128);
	bench_check(channel != NULL, "chan_new");
	start = bench_now();
	for (k = 0; k < bench.k; k++) {
		bench_check(co_fork(&in[k], sender, NULL) == 0, "co_fork");
		bench_check(co_fork(&out[k], receiver, &sums[k]) == 0,
		    "co_fork");
	}
	for (k = 0; k < bench.k; k++)
		bench_check(co_join(&in[k]) == 0, "co_join");
	chan_close(channel);
	for (k = 0; k < bench.k; k++)
		bench_check(co_join(&out[k]) == 0, "co_join");
	snprintf(metric, sizeof metric, "buffered_%ld", bench.k);
	bench_result(metric, (double)(bench_now() - start) / bench.n, "ns");
	for (k = 0; k < bench.k; k++)
		sum += sums[k];
	for (i = 0; i < bench.n / bench.k; i++)
		wanted += i & 0xff;
	bench_check(sum == wanted * bench.k, "the sum of the messages");
	chan_unref(channel);
	return 0;
}

int
main(int argc, char **argv)
{
	bench_begin(argc, argv, 5000000, 1);
	bench_check(bench.k <= MOST, "-k is at most 64");
	return bench_run(body);
}

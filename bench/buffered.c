/* SPDX-License-Identifier: MIT */
/*
 * buffered.c - what does a message cost through a channel with room for 128,
 * from -k senders to -k receivers?
 *
 * -n: messages in all.
 */
#include "crowd.h"

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
	long i, wanted = 0;
	char metric[32];

	(void)arg;
	for (i = 0; i < bench.n / bench.k; i++)
		wanted += i & 0xff;
	channel = chan_new(int, 128);
	bench_check(channel != NULL, "chan_new");
	snprintf(metric, sizeof metric, "buffered_%ld", bench.k);
	bench_result(metric, crowd_run(channel, sender, receiver,
	    wanted * bench.k), "ns");
	chan_unref(channel);
	return 0;
}

int
main(int argc, char **argv)
{
	bench_begin(argc, argv, 5000000, 1);
	return bench_run(body);
}

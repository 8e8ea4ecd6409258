/* SPDX-License-Identifier: MIT */
/*
 * talk.c - when do two workers do less than one?  -k senders and as many
 * receivers of one channel compute for a while before each send and after each
 * receive.
 *
 * talk_128_50: a message through room for 128, with 50 ns of work on each side.
 * The rows with -w 1 beside those with -w 2 say where a second worker pays.
 *
 * -n: messages in all, of each row.
 */
#include "crowd.h"

static const int rooms[] = { 0, 8, 128 };
static const int works[] = { 0, 25, 50, 100, 200, 400 };	/* ns */

static chan(int) channel;
static long spins;		/* the work */

static void
work(void)
{
	volatile long i;	/* on the own stack: shared with nobody */

	for (i = 0; i < spins; i++)
		continue;
}

static int
sender(void *arg)
{
	long i, n = bench.n / bench.k;

	(void)arg;
	for (i = 0; i < n; i++) {
		work();
		bench_check(chan_send(channel, 1) == 0, "chan_send");
	}
	return 0;
}

static int
receiver(void *sum)
{
	chan_each(int, v, channel) {
		*(long *)sum += v;
		work();
	}
	return 0;
}

static double
one_row(int room)
{
	double ns;

	channel = chan_new(int, (size_t)room);
	bench_check(channel != NULL, "chan_new");
	ns = crowd_run(channel, sender, receiver,
	    bench.n / bench.k * bench.k);
	chan_unref(channel);
	return ns;
}

/* How many rounds of work() are 1 ns, at best of some tries. */
static double
rounds_per_ns(void)
{
	double most = 0, now;
	int64_t start;
	int i;

	spins = 100000;
	for (i = 0; i < 20; i++) {
		start = bench_now();
		work();
		now = (double)spins / (double)(bench_now() - start);
		most = now > most ? now : most;
	}
	return most;
}

static int
body(void *arg)
{
	double per_ns = rounds_per_ns();
	char metric[32];
	size_t r, x;

	(void)arg;
	for (r = 0; r < sizeof rooms / sizeof rooms[0]; r++)
		for (x = 0; x < sizeof works / sizeof works[0]; x++) {
			spins = (long)(works[x] * per_ns);
			snprintf(metric, sizeof metric, "talk_%d_%d", rooms[r],
			    works[x]);
			bench_result(metric, one_row(rooms[r]), "ns");
		}
	return 0;
}

int
main(int argc, char **argv)
{
	bench_begin(argc, argv, 300000, 32);
	return bench_run(body);
}

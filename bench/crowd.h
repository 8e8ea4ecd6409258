/* SPDX-License-Identifier: MIT */
/*
 * crowd.h - -k senders and as many receivers of one channel, run to their end.
 */
#ifndef BENCH_CROWD_H
#define BENCH_CROWD_H

#include "runtime.h"

enum { CROWD_MOST = 64 };

/*
 * Nanoseconds a message.  A receiver adds what it gets to the long that is its
 * argument; all of it together is to be `wanted`.
 */
static inline double
crowd_run(void *channel, co_fn *sender, co_fn *receiver, long wanted)
{
	struct co_task in[CROWD_MOST], out[CROWD_MOST];
	long k, sum = 0, sums[CROWD_MOST] = { 0 };
	int64_t start = bench_now(), took;

	bench_check(bench.k <= CROWD_MOST, "-k is at most 64");
	for (k = 0; k < bench.k; k++) {
		bench_check(co_fork(&in[k], sender, NULL) == 0, "co_fork");
		bench_check(co_fork(&out[k], receiver, &sums[k]) == 0,
		    "co_fork");
	}
	for (k = 0; k < bench.k; k++)
		bench_check(co_join(&in[k]) == 0, "co_join");
	chan_close(channel);
	for (k = 0; k < bench.k; k++) {
		bench_check(co_join(&out[k]) == 0, "co_join");
		sum += sums[k];
	}
	took = bench_now() - start;
	bench_check(sum == wanted, "the sum of the messages");
	return (double)took / (double)bench.n;
}

#endif

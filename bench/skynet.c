/* SPDX-License-Identifier: MIT */
/*
 * skynet.c - a tree of coroutines, ten children each, -n leaves: how long, and
 * how much memory at the worst moment?
 *
 * Each leaf sends its number to its parent, each parent the sum of its ten.
 * What a child is told stays in its parent's frame, which waits for it: that
 * way it takes no stack before it runs, as with co_go it would.
 */
#include "runtime.h"

struct node {
	chan(long) out;
	long number, size;
};

static int
skynet(void *arg)
{
	struct node *self = arg, child[10];
	long i, v, sum = 0, size = self->size / 10;
	chan(long) c;
	struct co_scope s;

	if (self->size == 1)
		return chan_send(self->out, self->number);
	c = chan_new(long, 0);
	bench_check(c != NULL, "chan_new");
	co_scope(s) {
		for (i = 0; i < 10; i++) {
			child[i] = (struct node){ c,
			    self->number + i * size, size };
			bench_check(co_spawn(skynet, &child[i]) == 0,
			    "co_spawn");
		}
		for (i = 0; i < 10; i++) {
			bench_check(chan_recv(c, &v) == 0, "chan_recv");
			sum += v;
		}
	}
	chan_unref(c);
	return chan_send(self->out, sum);
}

static int
body(void *arg)
{
	int64_t start = bench_now();
	chan(long) c = chan_new(long, 0);
	struct node root = { c, 0, bench.n };
	struct co_scope s;
	long sum = 0;

	(void)arg;
	bench_check(c != NULL, "chan_new");
	co_scope(s) {
		bench_check(co_spawn(skynet, &root) == 0, "co_spawn");
		bench_check(chan_recv(c, &sum) == 0, "chan_recv");
	}
	bench_result("skynet", (double)(bench_now() - start) / 1e9, "s");
	bench_result("skynet_peak", bench_memory("VmHWM:") / 1e6, "MB");
	bench_check(sum == bench.n * (bench.n - 1) / 2,
	    "the sum of the leaves");
	chan_unref(c);
	return 0;
}

int
main(int argc, char **argv)
{
	bench_begin(argc, argv, 1000000, 0);
	while (bench.k < bench.n)
		bench.k = bench.k ? bench.k * 10 : 1;
	bench.n = bench.k;		/* a power of ten */
	return bench_run(body);
}

/* SPDX-License-Identifier: MIT */
/*
 * yield.c - what does co_yield cost, two coroutines in turn?
 *
 * -n: yields of each.  Every yield goes through the scheduler; with one worker
 * each is a switch to the other coroutine.
 */
#include "runtime.h"

static int
yielder(void *count)
{
	long i;

	for (i = 0; i < bench.n; i++) {
		co_yield();
		++*(long *)count;
	}
	return 0;
}

static int
body(void *arg)
{
	long count[16] = { 0 };		/* each has its own cache line */
	struct co_task a, b;
	int64_t start;

	(void)arg;
	bench_check(co_fork(&a, yielder, &count[0]) == 0, "co_fork");
	bench_check(co_fork(&b, yielder, &count[8]) == 0, "co_fork");
	start = bench_now();
	bench_check(co_join(&a) == 0 && co_join(&b) == 0, "co_join");
	bench_result("yield", (double)(bench_now() - start) / (2.0 * bench.n),
	    "ns");
	bench_check(count[0] == bench.n && count[8] == bench.n, "all yields");
	return 0;
}

int
main(int argc, char **argv)
{
	bench_begin(argc, argv, 5000000, 0);
	return bench_run(body);
}

/* SPDX-License-Identifier: MIT */
/*
 * suspend.c - what does a wait cost at the bottom of 1, 10, 100, 1000 calls?
 *
 * A coroutine with a stack resumes where it stopped, however deep that is.
 * A stackless one that is polled from the top passes every level again.
 *
 * -n: waits at each depth.  Two coroutines yield to each other from there.
 */
#include "runtime.h"

static __attribute__((noinline)) long
dive(long depth)
{
	long i, count = 0;

	if (depth > 1) {
		count = dive(depth - 1);
		__asm__ volatile("" : "+r"(count));	/* no tail call */
		return count;
	}
	for (i = 0; i < bench.n; i++) {
		co_yield();
		count++;
	}
	return count;
}

static int
diver(void *depth)
{
	return dive(*(long *)depth) == bench.n ? 0 : -1;
}

static int
body(void *arg)
{
	static const char *const metric[] = {
		"suspend_1", "suspend_10", "suspend_100", "suspend_1000"
	};
	long depth = 1;
	int i;

	(void)arg;
	for (i = 0; i < 4; i++, depth *= 10) {
		int64_t start = bench_now();
		struct co_task a, b;

		bench_check(co_fork(&a, diver, &depth) == 0, "co_fork");
		bench_check(co_fork(&b, diver, &depth) == 0, "co_fork");
		bench_check(co_join(&a) == 0 && co_join(&b) == 0,
		    "all suspensions");
		bench_result(metric[i], (double)(bench_now() - start) /
		    (2.0 * bench.n), "ns");
	}
	return 0;
}

int
main(int argc, char **argv)
{
	bench_begin(argc, argv, 500000, 0);
	return bench_run(body);
}

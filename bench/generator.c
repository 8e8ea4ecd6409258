/* SPDX-License-Identifier: MIT */
/*
 * generator.c - what does a value from a generator cost?
 *
 * -n: values.
 */
#include "runtime.h"

static int
numbers(co_gen(long) g, void *arg)
{
	long i;

	(void)arg;
	for (i = 0; i < bench.n; i++)
		if (co_gen_yield(g, i) < 0)
			return -1;
	return 0;
}

static int
body(void *arg)
{
	co_gen(long) g = co_gen_new(long, numbers, NULL);
	long v, sum = 0;
	int64_t start;

	(void)arg;
	bench_check(g != NULL, "co_gen_new");
	start = bench_now();
	while (co_gen_next(g, &v) == 0)
		sum += v;
	bench_result("generator", (double)(bench_now() - start) / bench.n,
	    "ns");
	bench_check(sum == bench.n * (bench.n - 1) / 2,
	    "the sum of the values");
	co_gen_free(g);
	return 0;
}

int
main(int argc, char **argv)
{
	bench_begin(argc, argv, 10000000, 0);
	return bench_run(body);
}

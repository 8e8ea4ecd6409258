/* SPDX-License-Identifier: MIT */
/*
 * steal.c - one coroutine spawns -n that only compute: how many times faster
 * are two workers than one?
 *
 * Each computes for some 5 ms without a wait, so that whatever the second
 * worker does it must have taken from the first.  -k: steps of each.
 */
#include "runtime.h"

static int
compute(void *arg)
{
	uint64_t x = *(uint64_t *)arg;
	long i;

	for (i = 0; i < bench.k; i++)
		x = x * UINT64_C(6364136223846793005) + 1442695040888963407u;
	*(uint64_t *)arg = x;
	return 0;
}

static int
fan_out(void *arg)
{
	uint64_t (*value)[8] = arg;	/* each has its own cache line */
	struct co_scope s;
	long i;

	co_scope(s) {
		for (i = 0; i < bench.n; i++)
			bench_check(co_spawn(compute, value[i]) == 0,
			    "co_spawn");
	}
	return s.status;
}

/* Seconds. */
static double
run(int workers, uint64_t *ret_sum)
{
	uint64_t (*value)[8] = calloc((size_t)bench.n, sizeof *value);
	struct co_options options = { .workers = workers };
	int64_t start = bench_now();
	long i;

	bench_check(value != NULL, "memory");
	for (i = 0; i < bench.n; i++)
		value[i][0] = (uint64_t)i;
	bench_check(co_run(&options, fan_out, value) == 0, "co_run");
	*ret_sum = 0;
	for (i = 0; i < bench.n; i++)
		*ret_sum += value[i][0];
	free(value);
	return (double)(bench_now() - start) / 1e9;
}

int
main(int argc, char **argv)
{
	uint64_t sum_one, sum_two;
	double one, two;

	bench_begin(argc, argv, 200, 4000000);
	one = run(1, &sum_one);
	two = run(2, &sum_two);
	bench_check(sum_one == sum_two, "the same sum");
	bench_result("steal", one / two, "x");
	return 0;
}

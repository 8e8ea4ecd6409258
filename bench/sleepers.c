/* SPDX-License-Identifier: MIT */
/*
 * sleepers.c - -n coroutines, each of which takes -k naps of 1 to 1000 ms, the
 * same naps for every peer: how much processor time?
 *
 * The time that passes is that of the sleepiest, 8.7 s for ten naps each of
 * 100,000; it cannot be less.
 */
#include "runtime.h"

static int
sleeper(void *arg)
{
	unsigned state = bench_nap_seed((long)(intptr_t)arg);
	long i;

	for (i = 0; i < bench.k; i++)
		if (co_sleep(CO_MS(bench_nap(&state))) < 0)
			return -1;
	return 0;
}

static int
body(void *arg)
{
	int64_t start = bench_now();
	double cpu = bench_cpu();
	struct co_scope s;
	intptr_t i;

	(void)arg;
	co_scope(s) {
		for (i = 0; i < bench.n; i++)
			bench_check(co_spawn(sleeper, (void *)i) == 0,
			    "co_spawn");
	}
	bench_result("sleepers", bench_cpu() - cpu, "s");
	bench_result("sleepers_wall", (double)(bench_now() - start) / 1e9,
	    "s");
	bench_check(s.status == 0, "everybody slept well");
	return 0;
}

int
main(int argc, char **argv)
{
	bench_begin(argc, argv, 100000, 10);
	if (bench.brief)
		bench.k = 1;
	return bench_run(body);
}

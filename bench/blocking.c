/* SPDX-License-Identifier: MIT */
/*
 * blocking.c - what does a job on the pool of blocking threads cost: when one
 * coroutine gives job after job, and when -k do at once?
 *
 * -n: jobs in all.  The job does nothing.
 */
#include "runtime.h"

enum { MOST = 64 };

static int
job(void *arg)
{
	++*(long *)arg;
	return 1;
}

static int
asker(void *done)
{
	long i, n = bench.n / bench.k;

	for (i = 0; i < n; i++)
		bench_check(co_blocking(job, done) == 1, "co_blocking");
	return 0;
}

static int
body(void *arg)
{
	long i, alone = 0, done[MOST][8] = { { 0 } };
	int64_t start = bench_now();
	struct co_task t[MOST];

	(void)arg;
	for (i = 0; i < bench.n; i++)
		bench_check(co_blocking(job, &alone) == 1, "co_blocking");
	bench_result("blocking", (double)(bench_now() - start) / 1e3 / bench.n,
	    "us");
	bench_check(alone == bench.n, "each job ran once");
	start = bench_now();
	for (i = 0; i < bench.k; i++)
		bench_check(co_fork(&t[i], asker, done[i]) == 0, "co_fork");
	for (i = 0; i < bench.k; i++) {
		bench_check(co_join(&t[i]) == 0, "co_join");
		bench_check(done[i][0] == bench.n / bench.k,
		    "each job ran once");
	}
	bench_result("blocking_many", (double)(bench_now() - start) / 1e3 /
	    bench.n, "us");
	return 0;
}

int
main(int argc, char **argv)
{
	bench_begin(argc, argv, 50000, 16);
	bench_check(bench.k <= MOST, "-k is at most 64");
	return bench_run(body);
}

/* SPDX-License-Identifier: MIT */
/*
 * mutex.c - what do lock and unlock cost: alone, and when -k coroutines want
 * the lock and each holder lets the others run in the middle?
 *
 * -n: locks in all.
 */
#include "runtime.h"

enum { MOST = 64 };

static struct co_mutex mutex = CO_MUTEX_INIT;
static long count;		/* [mutex] */

static int
locker(void *arg)
{
	long i, n = bench.n / bench.k;

	(void)arg;
	for (i = 0; i < n; i++) {
		bench_check(co_mutex_lock(&mutex) == 0, "co_mutex_lock");
		count++;
		co_yield();
		co_mutex_unlock(&mutex);
	}
	return 0;
}

static int
body(void *arg)
{
	int64_t start = bench_now();
	struct co_task t[MOST];
	long i;

	(void)arg;
	for (i = 0; i < bench.n; i++) {
		bench_check(co_mutex_lock(&mutex) == 0, "co_mutex_lock");
		count++;
		co_mutex_unlock(&mutex);
	}
	bench_result("mutex_free", (double)(bench_now() - start) / bench.n,
	    "ns");
	bench_check(count == bench.n, "every lock counts");

	count = 0;
	start = bench_now();
	for (i = 0; i < bench.k; i++)
		bench_check(co_fork(&t[i], locker, NULL) == 0, "co_fork");
	for (i = 0; i < bench.k; i++)
		bench_check(co_join(&t[i]) == 0, "co_join");
	bench_result("mutex_busy", (double)(bench_now() - start) / bench.n,
	    "ns");
	bench_check(count == bench.n / bench.k * bench.k, "every lock counts");
	return 0;
}

int
main(int argc, char **argv)
{
	bench_begin(argc, argv, 2000000, 4);
	bench_check(bench.k <= MOST, "-k is at most 64");
	return bench_run(body);
}

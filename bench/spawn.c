/* SPDX-License-Identifier: MIT */
/*
 * spawn.c - what does it cost to start a coroutine that does nothing, and to
 * wait for it: one at a time, and 1000 at once, without and with a value that
 * is copied to each?
 *
 * -n: coroutines in all.
 */
#include "runtime.h"

enum { BATCH = 1000 };

static int
one(void *arg)
{
	++*(long *)arg;
	return 1;
}

static int
nothing(void *arg)
{
	(void)arg;
	return 0;
}

static void
spawn_join(void)
{
	int64_t start = bench_now();
	long i, ran = 0, joined = 0;
	struct co_task t;

	for (i = 0; i < bench.n; i++) {
		bench_check(co_fork(&t, one, &ran) == 0, "co_fork");
		joined += co_join(&t);
	}
	bench_result("spawn_join", (double)(bench_now() - start) / bench.n,
	    "ns");
	bench_check(ran == bench.n && joined == bench.n, "each ran once");
}

static void
spawn_1000(void)
{
	long i, rounds = bench.n / BATCH;
	int64_t start = bench_now();
	int k;

	for (i = 0; i < rounds; i++) {
		struct co_scope s;

		co_scope(s) {
			for (k = 0; k < BATCH; k++)
				bench_check(co_spawn(nothing, NULL) == 0,
				    "co_spawn");
		}
		bench_check(s.status == 0, "the scope ends well");
	}
	bench_result("spawn_1000", (double)(bench_now() - start) /
	    ((double)rounds * BATCH), "ns");
}

static int
given(long *value)
{
	return *value == 1 ? 0 : -1;
}

static void
spawn_go(void)
{
	long i, rounds = bench.n / BATCH;
	int64_t start = bench_now();
	int k;

	for (i = 0; i < rounds; i++) {
		struct co_scope s;

		co_scope(s) {
			for (k = 0; k < BATCH; k++)
				bench_check(co_go(given, 1L) == 0, "co_go");
		}
		bench_check(s.status == 0, "each got its value");
	}
	bench_result("spawn_go", (double)(bench_now() - start) /
	    ((double)rounds * BATCH), "ns");
}

static int
body(void *arg)
{
	(void)arg;
	spawn_join();
	spawn_1000();
	spawn_go();
	return 0;
}

int
main(int argc, char **argv)
{
	bench_begin(argc, argv, 2000000, 0);
	return bench_run(body);
}

/* SPDX-License-Identifier: MIT */
/*
 * parked.c - how much memory does a coroutine take that waits on a channel?
 *
 * -n: coroutines, all waiting at once.  Resident memory and page tables are
 * given apart, as the growth since before the first of them.
 */
#include "runtime.h"

#include <errno.h>

static struct co_waitgroup started = CO_WAITGROUP_INIT;

static int
waiter(void *arg)
{
	chan(int) c = arg;
	int v;

	co_waitgroup_done(&started);
	return chan_recv(c, &v) == -EPIPE ? 0 : -1;
}

static int
body(void *arg)
{
	double rss = bench_memory("VmRSS:"), tables = bench_memory("VmPTE:");
	int64_t start = bench_now();
	chan(int) c = chan_new(int, 0);
	struct co_scope s;
	long i;

	(void)arg;
	bench_check(c != NULL, "chan_new");
	co_waitgroup_add(&started, (int)bench.n);
	co_scope(s) {
		for (i = 0; i < bench.n; i++) {
			bench_check(co_spawn(waiter, c) == 0, "co_spawn");
			if (i % 1000 == 999)
				co_yield();
		}
		bench_check(co_waitgroup_wait(&started) == 0, "all started");
		co_yield();
		bench_result("parked_create", (double)(bench_now() - start) /
		    bench.n, "ns");
		bench_result("parked_rss", (bench_memory("VmRSS:") - rss) /
		    bench.n, "B");
		bench_result("parked_tables", (bench_memory("VmPTE:") -
		    tables) / bench.n, "B");
		start = bench_now();
		chan_close(c);
	}
	bench_result("parked_end", (double)(bench_now() - start) / bench.n,
	    "ns");
	bench_check(s.status == 0, "everybody saw the end");
	chan_unref(c);
	return 0;
}

int
main(int argc, char **argv)
{
	bench_begin(argc, argv, 100000, 0);
	return bench_run(body);
}

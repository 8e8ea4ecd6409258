/* SPDX-License-Identifier: MIT */
/*
 * pingpong.c - what does a message cost between two coroutines that answer
 * each other over two rendezvous channels?
 *
 * -n: round trips, two messages each.
 */
#include "runtime.h"

struct table {
	chan(long) there, back;
};

static int
pong(void *arg)
{
	struct table *t = arg;

	chan_each(long, v, t->there)
		bench_check(chan_send(t->back, v + 1) == 0, "chan_send");
	return 0;
}

static int
body(void *arg)
{
	struct table t = { chan_new(long, 0), chan_new(long, 0) };
	struct co_task task;
	int64_t start;
	long i, v = 0;

	(void)arg;
	bench_check(t.there && t.back, "chan_new");
	bench_check(co_fork(&task, pong, &t) == 0, "co_fork");
	start = bench_now();
	for (i = 0; i < bench.n; i++) {
		bench_check(chan_send(t.there, v) == 0, "chan_send");
		bench_check(chan_recv(t.back, &v) == 0, "chan_recv");
	}
	bench_result("pingpong", (double)(bench_now() - start) /
	    (2.0 * bench.n), "ns");
	bench_check(v == bench.n, "every ball came back");
	chan_close(t.there);
	bench_check(co_join(&task) == 0, "co_join");
	chan_unref(t.there);
	chan_unref(t.back);
	return 0;
}

int
main(int argc, char **argv)
{
	bench_begin(argc, argv, 2000000, 0);
	return bench_run(body);
}

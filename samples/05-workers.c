/* SPDX-License-Identifier: MIT */
/*
 * 05-workers.c - jobs in, results out, and a few who do the work.
 *
 * co_go copies its value to the new coroutine's stack, so that each has its
 * own.  What cannot be spawned ends the scope, and so everybody in it.
 */
#include <errno.h>
#include <stdio.h>
#include <weft.h>

enum { WORKERS = 4, JOBS = 100 };

struct shop {
	chan(int) jobs;
	chan(long) results;
};

static int
worker(struct shop *shop)
{
	chan_each(int, n, shop->jobs)
		chan_send(shop->results, (long)n * n);
	return 0;
}

static int
body(void *arg)
{
	struct shop shop = { chan_new(int, 0), chan_new(long, JOBS) };
	long sum = 0, square;
	struct co_scope s;
	int i;

	(void)arg;
	if (!shop.jobs || !shop.results)
		return -ENOMEM;
	co_scope(s) {
		for (i = 0; i < WORKERS; i++)
			if (co_go(worker, shop) < 0)
				co_cancel(&s);
		for (i = 1; i <= JOBS; i++)
			chan_send(shop.jobs, i);
		chan_close(shop.jobs);
	}
	while (chan_try_recv(shop.results, &square) == 0)
		sum += square;
	if (s.status == 0)
		printf("the sum of %d squares is %ld\n", JOBS, sum);
	chan_unref(shop.jobs);
	chan_unref(shop.results);
	return s.status;
}

int
main(void)
{
	return co_run(NULL, body, NULL) < 0;
}

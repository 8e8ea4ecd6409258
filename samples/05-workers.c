/* SPDX-License-Identifier: MIT */
/*
 * 05-workers.c - jobs in, results out, and a few who do the work.
 *
 * co_go copies its value to the new coroutine's stack.  If some cannot be
 * started the others do the work.
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
	int i, hired = 0, code = shop.jobs && shop.results ? 0 : -ENOMEM;
	long sum = 0, square;
	struct co_scope s;

	(void)arg;
	co_scope(s) {
		for (i = 0; i < WORKERS && code == 0; i++)
			if ((code = co_go(worker, shop)) == 0)
				hired++;
		if (hired > 0)
			code = 0;
		for (i = 1; i <= JOBS && code == 0; i++)
			code = chan_send(shop.jobs, i);
		chan_close(shop.jobs);
	}
	while (code == 0 && chan_try_recv(shop.results, &square) == 0)
		sum += square;
	if (code == 0)
		printf("the sum of %d squares is %ld\n", JOBS, sum);
	chan_unref(shop.jobs);
	chan_unref(shop.results);
	return code < 0 ? code : s.status;
}

int
main(void)
{
	return co_run(NULL, body, NULL) < 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * 15-blocking.c - a call that blocks goes to a thread of the pool.
 *
 * The worker goes on with other coroutines meanwhile.  Once begun such a call
 * is waited for, whatever is cancelled: so it may use the caller's stack.
 */
#include <poll.h>
#include <stdio.h>
#include <weft.h>

struct job {
	int milliseconds;
	int ticks;
};

static int
nap(void *arg)
{
	struct job *job = arg;

	printf("in a coroutine: %s\n", co_inside() ? "yes" : "no");
	return poll(NULL, 0, job->milliseconds) < 0 ? -1 : 42;
}

static int
ticker(void *arg)
{
	struct job *job = arg;

	while (co_sleep(CO_MS(1)) == 0)
		job->ticks++;
	return 0;
}

static int
body(void *arg)
{
	struct job job = { 50, 0 };
	struct co_scope s;
	int code = 0;

	(void)arg;
	co_scope(s) {
		if ((code = co_spawn(ticker, &job)) == 0)
			code = co_blocking(nap, &job);
		co_cancel(&s);
	}
	if (code >= 0)
		printf("the nap gave %d, and the ticker %s meanwhile\n", code,
		    job.ticks > 0 ? "ticked" : "stood still");
	return code;
}

int
main(void)
{
	return co_run(&(struct co_options){ .workers = 1 }, body, NULL) < 0;
}

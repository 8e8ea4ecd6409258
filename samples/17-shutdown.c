/* SPDX-License-Identifier: MIT */
/*
 * 17-shutdown.c - on SIGTERM nothing new begins, and what runs may end in time.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
#include <weft.h>

static struct co_waitgroup busy = CO_WAITGROUP_INIT;

static int
answer(int *n)
{
	if (co_sleep(*n == 3 ? CO_SEC(3600) : CO_MS(1)) < 0)
		printf("request %d is cut off\n", *n);
	return co_waitgroup_done(&busy);
}

static void
serve(chan(int) in)
{
	for (int n; co_select(co_on_recv(in, &n),
	    co_on_signal(SIGTERM)) == 0;) {
		co_waitgroup_add(&busy, 1);
		if (co_go(answer, n) < 0)
			co_waitgroup_done(&busy);
		if (n == 3)
			kill(getpid(), SIGTERM);
	}
	printf("told to end\n");
	co_timeout(CO_MS(200))
		if (co_waitgroup_wait(&busy) == -ETIMEDOUT)
			printf("enough of waiting\n");
}

static int
body(void *requests)
{
	struct co_scope s;
	int n, code = requests ? 0 : -ENOMEM;

	co_scope(s) {
		for (n = 1; n <= 3 && code == 0; n++)
			code = chan_send((chan(int))requests, n);
		if (code == 0)
			serve(requests);
		co_cancel(&s);
	}
	chan_unref(requests);
	return code;
}

int
main(void)
{
	return co_run(NULL, body, chan_new(int, 3)) < 0;
}

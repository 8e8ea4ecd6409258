/* SPDX-License-Identifier: MIT */
/*
 * tokio-11-shutdown.c - what runs may end, but only in time.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
#include <weft.h>

static struct co_waitgroup tracker = CO_WAITGROUP_INIT;

static int
work(co_time *takes)
{
	int code = co_sleep(*takes);

	co_waitgroup_done(&tracker);
	return code;
}

static int
start(co_time takes)
{
	int code;

	co_waitgroup_add(&tracker, 1);
	code = co_go(work, takes);
	if (code < 0)
		co_waitgroup_done(&tracker);
	return code;
}

static int
body(void *arg)
{
	struct co_scope s;

	(void)arg;
	/* The first use catches the signal. */
	if (co_select(co_on_signal(SIGTERM), co_otherwise) != 1)
		return -EINVAL;
	co_scope(s) {
		if (start(CO_MS(1)) < 0 || start(CO_SEC(3600)) < 0)
			co_cancel(&s);
		kill(getpid(), SIGTERM);
		if (co_wait_signal(SIGTERM) == 0)
			printf("told to end\n");
		co_timeout(CO_MS(100))
			if (co_waitgroup_wait(&tracker) == -ETIMEDOUT)
				printf("enough of waiting\n");
		co_cancel(&s);
	}
	return 0;
}

int
main(void)
{
	return co_run(NULL, body, NULL) < 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * go-11-signal.c - a signal ends a scope.
 */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
#include <weft.h>

static int
until_told(void *scope)
{
	int code = co_wait_signal(SIGTERM);

	co_cancel(scope);
	return code;
}

static int
body(void *arg)
{
	struct co_scope s;

	(void)arg;
	/* The first use catches the signal: before it is sent, please. */
	if (co_select(co_on_signal(SIGTERM), co_otherwise) != 1)
		return -1;
	co_scope(s) {
		if (co_spawn(until_told, &s) < 0)
			co_cancel(&s);
		kill(getpid(), SIGTERM);
		if (co_sleep(CO_FOREVER) < 0)
			printf("told to end\n");
	}
	return 0;
}

int
main(void)
{
	return co_run(NULL, body, NULL) < 0;
}

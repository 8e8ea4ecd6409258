/* SPDX-License-Identifier: MIT */
/*
 * tokio-06-cancel.c - a scope is the token of all that runs in it.
 */
#include <errno.h>
#include <stdio.h>
#include <weft.h>

static int
work(void *arg)
{
	(void)arg;
	printf("%s\n", co_sleep(CO_SEC(3600)) == -ECANCELED ?
	    "cancelled" : "done");
	return 0;
}

static int
body(void *arg)
{
	struct co_scope token;
	int code = 0;

	(void)arg;
	co_scope(token) {
		code = co_spawn(work, NULL);
		co_cancel(&token);
	}
	return code;
}

int
main(void)
{
	return co_run(NULL, body, NULL) < 0;
}

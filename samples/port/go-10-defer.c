/* SPDX-License-Identifier: MIT */
/*
 * go-10-defer.c - cleaning up on every way out, and waits in doing so.
 */
#include <errno.h>
#include <stdio.h>
#include <weft.h>

static int
work(void)
{
	int code = co_sleep(CO_SEC(3600));

	co_shield() {			/* waits in here still work */
		if (co_sleep(CO_MS(1)) == 0)
			printf("flushed\n");
	}
	printf("closed\n");
	return code;
}

static int
body(void *arg)
{
	struct co_scope s;

	(void)arg;
	co_scope(s) {
		co_cancel(&s);
		printf("%s\n", work() == -ECANCELED ? "true" : "false");
	}
	return 0;
}

int
main(void)
{
	return co_run(NULL, body, NULL) < 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * go-04-context.c - a deadline and a value for all that is called.
 */
#include <errno.h>
#include <stdio.h>
#include <weft.h>

static CO_LOCAL(const char *, user);

static int
query(void)
{
	printf("for %s\n", co_local_get(user));
	return co_sleep(CO_SEC(3600));
}

static int
body(void *arg)
{
	int code = co_local_set(user, "ada");

	(void)arg;
	if (code < 0)
		return code;
	co_timeout(CO_MS(5))
		code = query();
	if (code == -ETIMEDOUT)
		printf("too late\n");
	return 0;
}

int
main(void)
{
	return co_run(NULL, body, NULL) < 0;
}

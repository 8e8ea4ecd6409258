/* SPDX-License-Identifier: MIT */
/*
 * 09-deadline.c - no call takes a timeout; the scope around it does.
 *
 * Deadlines nest, and the earliest wins.
 */
#include <errno.h>
#include <stdio.h>
#include <weft.h>

static const char *
name_of(int code)
{
	return code == 0 ? "in time" : code == -ETIMEDOUT ? "too late" : "?";
}

static int
one_second(void *arg)
{
	(void)arg;
	return co_sleep(CO_SEC(1));
}

static int
body(void *arg)
{
	struct co_scope s;
	int code = 0;

	(void)arg;
	co_timeout(CO_MS(5)) {
		code = co_sleep(CO_SEC(3600));
	}
	printf("an hour within 5 ms: %s\n", name_of(code));

	co_timeout(CO_SEC(60)) {
		code = co_sleep(CO_MS(1));
	}
	printf("a millisecond within a minute: %s\n", name_of(code));

	co_scope(s, .timeout = CO_MS(5)) {
		if (co_spawn(one_second, NULL) < 0)
			co_cancel(&s);
		co_timeout(CO_SEC(60)) {
			code = co_sleep(CO_SEC(30));
		}
		printf("half a minute within 5 ms: %s\n", name_of(code));
	}
	printf("the scope, with a child: %s\n", name_of(s.status));
	return 0;
}

int
main(void)
{
	return co_run(NULL, body, NULL) < 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * 4-scope.c - what belongs together ends together, and in time.
 */
#include <errno.h>
#include <stdio.h>
#include <weft.h>

static int
errand(co_time *takes)
{
	int code = co_sleep(*takes);

	if (code == 0)
		printf("an errand is done\n");
	else if (code == -ETIMEDOUT)
		printf("an errand is given up\n");
	return code;
}

static int
body(void *arg)
{
	struct co_scope day;

	(void)arg;
	co_scope(day, .timeout = CO_MS(200)) {
		if (co_go(errand, CO_MS(1)) < 0 ||
		    co_go(errand, CO_SEC(3600)) < 0)
			co_cancel(&day);
	}
	printf("the day: %s\n", day.status == 0 ? "all done" :
	    day.status == -ETIMEDOUT ? "too short" : "it went wrong");
	return 0;
}

int
main(void)
{
	return co_run(NULL, body, NULL) < 0;
}

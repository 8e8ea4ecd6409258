/* SPDX-License-Identifier: MIT */
/*
 * 08-cancel.c - the end of a scope is an error code, never a lost frame.
 *
 * A child that returns a negative value ends its scope: from then on every wait
 * of the others gives that value, and they clean up and return.  In a shield
 * waits still work, for a clean-up that needs some.
 */
#include <errno.h>
#include <stdio.h>
#include <weft.h>

static int
fails(void *arg)
{
	(void)arg;
	co_sleep(CO_MS(1));
	return -EIO;
}

static int
works(void *arg)
{
	int code;

	(void)arg;
	code = co_sleep(CO_SEC(3600));
	printf("the long wait gave %s\n", code == -EIO ? "-EIO" : "another");
	printf("and so does the next: %d\n", co_sleep(0) == code);
	co_shield() {
		printf("shielded: %d\n", co_sleep(CO_MS(1)));
	}
	return 0;
}

static int
body(void *arg)
{
	struct co_scope s;

	(void)arg;
	co_scope(s) {
		if (co_spawn(works, NULL) < 0 || co_spawn(fails, NULL) < 0)
			co_cancel(&s);
	}
	printf("the scope: %s, %u failed\n", s.status == -EIO ? "-EIO" :
	    "another", s.failures);
	return 0;
}

int
main(void)
{
	return co_run(NULL, body, NULL) < 0;
}

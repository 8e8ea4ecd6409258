/* SPDX-License-Identifier: MIT */
/*
 * go-07-ticker.c - time that comes again, and time that is over.
 */
#include <stdio.h>
#include <weft.h>

static int
body(void *arg)
{
	co_time next = co_now();
	int n;

	(void)arg;
	co_timeout(CO_SEC(2)) {
		for (n = 1; n <= 3; n++) {
			next += CO_MS(1);
			if (co_sleep_until(next) < 0)
				break;
			printf("tick %d\n", n);
		}
	}
	return 0;
}

int
main(void)
{
	return co_run(NULL, body, NULL) < 0;
}

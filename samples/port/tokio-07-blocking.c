/* SPDX-License-Identifier: MIT */
/*
 * tokio-07-blocking.c - what blocks goes to the pool, and is waited for.
 */
#include <poll.h>
#include <stdio.h>
#include <weft.h>

static int
add_up(void *arg)
{
	int i, sum = 0;

	poll(NULL, 0, 5);
	for (i = 1; i <= *(int *)arg; i++)
		sum += i;
	return sum;
}

static int
body(void *arg)
{
	int n = 100, sum = co_blocking(add_up, &n);

	(void)arg;
	if (sum >= 0)
		printf("%d\n", sum);
	return sum;
}

int
main(void)
{
	return co_run(NULL, body, NULL) < 0;
}

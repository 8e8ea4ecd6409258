/* SPDX-License-Identifier: MIT */
/*
 * tokio-01-spawn.c - starting one, and its result.
 */
#include <stdio.h>
#include <weft.h>

static int
multiply(void *arg)
{
	int *n = arg;

	return n[0] * n[1];
}

static int
body(void *arg)
{
	int n[2] = { 6, 7 }, code;
	struct co_task task;

	(void)arg;
	code = co_fork(&task, multiply, n);
	if (code < 0)
		return code;
	printf("%d\n", co_join(&task));
	return 0;
}

int
main(void)
{
	return co_run(NULL, body, NULL) < 0;
}

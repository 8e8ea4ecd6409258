/* SPDX-License-Identifier: MIT */
/*
 * 01-hello.c - a few coroutines, and waiting for them.
 *
 * co_run makes a runtime and runs one coroutine in it.  What that one forks
 * runs beside it; co_join gives what the other returned.
 */
#include <stdio.h>
#include <weft.h>

static int
square(void *arg)
{
	int n = *(int *)arg;

	return n * n;
}

static int
body(void *arg)
{
	struct co_task task[3];
	int n[3] = { 2, 3, 4 }, i, result;
	struct co_scope s;

	(void)arg;
	co_scope(s) {		/* is left, by return too, when all have ended */
		for (i = 0; i < 3; i++) {
			result = co_fork(&task[i], square, &n[i]);
			if (result < 0)
				return result;
		}
		for (i = 0; i < 3; i++) {
			result = co_join(&task[i]);
			if (result < 0)
				return result;
			printf("%d squared is %d\n", n[i], result);
		}
	}
	return 0;
}

int
main(void)
{
	return co_run(NULL, body, NULL) < 0;
}

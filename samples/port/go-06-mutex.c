/* SPDX-License-Identifier: MIT */
/*
 * go-06-mutex.c - Mutex, Once and WaitGroup by their names.
 */
#include <stdio.h>
#include <weft.h>

static struct co_mutex mu = CO_MUTEX_INIT;
static struct co_once once = CO_ONCE_INIT;
static struct co_waitgroup wg = CO_WAITGROUP_INIT;
static int sum;

static int
opened(void *arg)
{
	(void)arg;
	printf("opened once\n");
	return 0;
}

static int
add(int *n)
{
	int code = co_once_do(&once, opened, NULL);

	if (code == 0)
		co_locked(&mu)
			sum += *n;
	co_waitgroup_done(&wg);
	return code;
}

static int
body(void *arg)
{
	int i, code = 0;

	(void)arg;
	for (i = 1; i <= 4 && code == 0; i++) {
		co_waitgroup_add(&wg, 1);
		code = co_go(add, i);
		if (code < 0)
			co_waitgroup_done(&wg);
	}
	if (code == 0 && (code = co_waitgroup_wait(&wg)) == 0)
		printf("%d\n", sum);
	return code;
}

int
main(void)
{
	return co_run(NULL, body, NULL) < 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * 1-hello.c - a runtime and one coroutine.
 */
#include <stdio.h>
#include <weft.h>

static int
hello(void *arg)
{
	printf("hello, %s\n", (const char *)arg);
	return 0;
}

int
main(void)
{
	return co_run(NULL, hello, "world") < 0;
}

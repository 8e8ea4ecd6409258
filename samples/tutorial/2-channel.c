/* SPDX-License-Identifier: MIT */
/*
 * 2-channel.c - two coroutines and a channel.
 */
#include <errno.h>
#include <stdio.h>
#include <weft.h>

static int
count(chan(int) *out)
{
	int i;

	for (i = 1; i <= 3; i++)
		if (chan_send(*out, i) < 0)
			break;
	return chan_close(*out);
}

static int
body(void *arg)
{
	chan(int) numbers = chan_new(int, 0);
	struct co_scope s;
	int code = 0;

	(void)arg;
	if (!numbers)
		return -ENOMEM;
	co_scope(s) {
		code = co_go(count, numbers);
		if (code < 0)
			break;
		chan_each(int, n, numbers)
			printf("%d\n", n);
	}
	chan_unref(numbers);
	return code;
}

int
main(void)
{
	return co_run(NULL, body, NULL) < 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * tokio-05-select.c - the first of several; and a limit around anything.
 */
#include <errno.h>
#include <stdio.h>
#include <weft.h>

static int
body(void *arg)
{
	chan(int) rx = chan_new(int, 1);
	int n, code = 0;

	(void)arg;
	if (!rx)
		return -ENOMEM;
	switch (co_select(co_on_recv(rx, &n), co_on_timeout(CO_MS(5)))) {
	case 0:
		printf("received %d\n", n);
		break;
	case 1:
		printf("nothing\n");
		break;
	}
	co_timeout(CO_MS(5))
		code = co_sleep(CO_SEC(3600));
	if (code == -ETIMEDOUT)
		printf("too late\n");
	chan_unref(rx);
	return 0;
}

int
main(void)
{
	return co_run(NULL, body, NULL) < 0;
}

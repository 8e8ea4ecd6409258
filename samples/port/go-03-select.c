/* SPDX-License-Identifier: MIT */
/*
 * go-03-select.c - select, with a timeout and with a default.
 */
#include <errno.h>
#include <stdio.h>
#include <weft.h>

static int
listen_to(chan(int) a, chan(int) b)
{
	int n;

	for (;;) {
		switch (co_select(co_on_recv(a, &n), co_on_send(b, 2),
		    co_on_timeout(CO_MS(5)))) {
		case 0:
			printf("a: %d\n", n);
			break;
		case 1:
			printf("sent\n");
			break;
		case 2:
			printf("nothing more\n");
			if (chan_try_recv(a, &n) == -EAGAIN)
				printf("and a is empty\n");
			return 0;
		default:
			return -ECANCELED;	/* the scope has ended */
		}
	}
}

static int
body(void *arg)
{
	chan(int) a = chan_new(int, 1), b = chan_new(int, 0);
	int code = a && b ? chan_send(a, 1) : -ENOMEM;

	(void)arg;
	if (code == 0)
		code = listen_to(a, b);
	chan_unref(a);
	chan_unref(b);
	return code;
}

int
main(void)
{
	return co_run(NULL, body, NULL) < 0;
}

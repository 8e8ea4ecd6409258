/* SPDX-License-Identifier: MIT */
/*
 * 3-select.c - whichever comes first.
 */
#include <errno.h>
#include <stdio.h>
#include <weft.h>

static int
drip(chan(int) *out)
{
	int code = chan_send(*out, 1);

	if (code == 0)
		code = co_sleep(CO_SEC(3600));
	return code;
}

static int
body(void *arg)
{
	chan(int) drops = chan_new(int, 0);
	int n, chosen, code = 0;
	struct co_scope s;

	(void)arg;
	if (!drops)
		return -ENOMEM;
	co_scope(s) {
		code = co_go(drip, drops);
		do {
			chosen = co_select(co_on_recv(drops, &n),
			    co_on_timeout(CO_MS(100)));
			if (chosen == 0)
				printf("drop %d\n", n);
			else if (chosen == 1)
				printf("it has run dry\n");
		} while (chosen == 0);
		co_cancel(&s);
	}
	chan_unref(drops);
	return code;
}

int
main(void)
{
	return co_run(NULL, body, NULL) < 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * 04-select.c - waiting for several things at once, for so long.
 *
 * Exactly one case takes effect, and its index is returned.
 */
#include <errno.h>
#include <stdio.h>
#include <weft.h>

static int
ticker(chan(int) *ticks)
{
	int i;

	for (i = 1; i <= 3; i++)
		if (co_sleep(CO_MS(1)) < 0 || chan_send(*ticks, i) < 0)
			break;
	return 0;
}

static void
listen_to(chan(int) ticks, chan(int) silence)
{
	int n, chosen;

	do {
		chosen = co_select(co_on_recv(ticks, &n),
		    co_on_recv(silence, &n), co_on_timeout(CO_SEC(1)));
		if (chosen == 0)
			printf("tick %d\n", n);
		else if (chosen == 2)
			printf("nothing more\n");
	} while (chosen == 0);
}

static int
body(void *arg)
{
	chan(int) ticks = chan_new(int, 0), silence = chan_new(int, 0);
	int code = ticks && silence ? 0 : -ENOMEM;
	struct co_scope s;

	(void)arg;
	co_scope(s) {
		if (code == 0 && (code = co_go(ticker, ticks)) == 0)
			listen_to(ticks, silence);
	}
	chan_unref(ticks);
	chan_unref(silence);
	return code < 0 ? code : s.status;
}

int
main(void)
{
	return co_run(NULL, body, NULL) < 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * go-02-channels.c - sending, closing, receiving until it is drained.
 */
#include <errno.h>
#include <stdio.h>
#include <weft.h>

static int
count(chan(int) *ch)
{
	int i;

	for (i = 1; i <= 3; i++)
		if (chan_send(*ch, i) < 0)
			break;
	return chan_close(*ch);
}

static int
body(void *arg)
{
	chan(int) ch = chan_new(int, 1);
	int code = ch ? 0 : -ENOMEM, v;
	struct co_scope s;

	(void)arg;
	co_scope(s) {
		if (code == 0 && (code = co_go(count, ch)) == 0) {
			chan_each(int, n, ch)
				printf("%d\n", n);
			printf("open: %s\n",
			    chan_recv(ch, &v) == 0 ? "true" : "false");
		}
	}
	chan_unref(ch);		/* count has ended: the scope waited for it */
	return code;
}

int
main(void)
{
	return co_run(NULL, body, NULL) < 0;
}

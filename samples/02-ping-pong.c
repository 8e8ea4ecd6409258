/* SPDX-License-Identifier: MIT */
/*
 * 02-ping-pong.c - two coroutines talk through two channels.
 *
 * Whoever uses a channel is waited for before the last chan_unref.
 */
#include <errno.h>
#include <stdio.h>
#include <weft.h>

struct table {
	chan(int) there, back;
};

static int
pong(struct table *t)
{
	chan_each(int, ball, t->there)
		chan_send(t->back, ball + 1);
	return chan_close(t->back);
}

static int
play(struct table t)
{
	struct co_scope s;
	int ball = 0, code = 0;

	co_scope(s) {
		code = co_go(pong, t);
		while (code == 0 && ball < 6) {
			code = chan_send(t.there, ball);
			if (code == 0)
				code = chan_recv(t.back, &ball);
			if (code == 0)
				printf("the ball comes back as %d\n", ball++);
		}
		chan_close(t.there);
	}
	return code < 0 ? code : s.status;
}

static int
body(void *arg)
{
	struct table t = { chan_new(int, 0), chan_new(int, 0) };
	int code = t.there && t.back ? play(t) : -ENOMEM;

	(void)arg;
	chan_unref(t.there);
	chan_unref(t.back);
	return code;
}

int
main(void)
{
	return co_run(NULL, body, NULL) < 0;
}

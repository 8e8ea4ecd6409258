/* SPDX-License-Identifier: MIT */
/*
 * 02-ping-pong.c - two coroutines talk through two channels.
 *
 * A channel without a buffer is a rendezvous.  Whoever uses a channel must be
 * waited for before the last chan_unref: here by the scope.
 */
#include <errno.h>
#include <stdio.h>
#include <weft.h>

struct table {
	chan(int) there;
	chan(int) back;
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
	int ball = 0;

	co_scope(s) {
		if (co_go(pong, t) < 0)
			break;
		while (ball < 6 && chan_send(t.there, ball) == 0 &&
		    chan_recv(t.back, &ball) == 0)
			printf("the ball comes back as %d\n", ball++);
		chan_close(t.there);
	}
	return s.status;
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

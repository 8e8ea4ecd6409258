/* SPDX-License-Identifier: MIT */
/*
 * tokio-03-channels.c - questions by a channel, each answer by a future.
 */
#include <errno.h>
#include <stdio.h>
#include <weft.h>

struct question {
	int n;
	co_future(int) reply;
};

static int
squarer(chan(struct question) *rx)
{
	chan_each(struct question, q, *rx) {
		co_future_set(q.reply, q.n * q.n);
		co_future_unref(q.reply);
	}
	return 0;
}

static int
ask(chan(struct question) tx, int n)
{
	struct question q = { n, co_future_new(int) };
	int code, answer;

	if (!q.reply)
		return -ENOMEM;
	co_future_ref(q.reply);		/* one for us, one for squarer */
	code = chan_send(tx, q);
	if (code < 0)
		co_future_unref(q.reply);
	else if ((code = co_future_get(q.reply, &answer)) == 0)
		printf("%d\n", answer);
	co_future_unref(q.reply);
	return code;
}

static int
body(void *arg)
{
	chan(struct question) ch = chan_new(struct question, 8);
	int code = ch ? 0 : -ENOMEM;
	struct co_scope s;

	(void)arg;
	co_scope(s) {
		if (code == 0 && (code = co_go(squarer, ch)) == 0)
			code = ask(ch, 7);
		chan_close(ch);
	}
	chan_unref(ch);
	return code;
}

int
main(void)
{
	return co_run(NULL, body, NULL) < 0;
}

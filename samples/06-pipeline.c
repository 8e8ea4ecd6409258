/* SPDX-License-Identifier: MIT */
/*
 * 06-pipeline.c - letters go through stages, each of them a coroutine.
 *
 * A stage closes its output when its input has ended: so the end runs through
 * the pipeline behind the last value.
 */
#include <ctype.h>
#include <stdio.h>
#include <weft.h>

struct stage {
	chan(char) in;
	chan(char) out;
};

static int
type(struct stage *s)
{
	const char *p = "threads that cross the warp";

	while (*p && chan_send(s->out, *p) == 0)
		p++;
	return chan_close(s->out);
}

static int
shout(struct stage *s)
{
	chan_each(char, c, s->in)
		chan_send(s->out, (char)toupper((unsigned char)c));
	return chan_close(s->out);
}

static int
body(void *arg)
{
	chan(char) a = chan_new(char, 4), b = chan_new(char, 4);
	struct co_scope s;

	(void)arg;
	co_scope(s) {
		if (!a || !b || co_go(type, (struct stage){ NULL, a }) < 0 ||
		    co_go(shout, (struct stage){ a, b }) < 0)
			co_cancel(&s);
		chan_each(char, c, b)
			putchar(c);
		putchar('\n');
	}
	chan_unref(a);
	chan_unref(b);
	return s.status;
}

int
main(void)
{
	return co_run(NULL, body, NULL) < 0;
}

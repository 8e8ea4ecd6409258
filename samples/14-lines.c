/* SPDX-License-Identifier: MIT */
/* 14-lines.c - a conversation line by line, over a buffered stream. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <weft.h>

static int
count(int *fd)
{
	struct co_stream *s = co_stream_new(*fd);
	char in[16];
	ssize_t n = 0;

	while (s && (n = co_stream_read_line(s, in, sizeof in)) > 0 &&
	    (n = co_stream_printf(s, "%zu letters\n", strcspn(in, "\n"))) > 0 &&
	    (n = co_stream_flush(s)) == 0)
		continue;
	if (n == -EMSGSIZE)	/* a line that does not fit */
		co_stream_printf(s, "too long\n");
	return s ? co_stream_close(s) : co_close(*fd);
}

static int
ask(struct co_stream *s, const char *words)
{
	char answer[32];
	ssize_t n = co_stream_printf(s, "%s\n", words);

	if (n >= 0 && (n = co_stream_flush(s)) >= 0)
		n = co_stream_read_line(s, answer, sizeof answer);
	if (n > 0)
		printf("%s: %s", words, answer);
	return n < 0 ? (int)n : 0;
}

static int
body(void *pair)
{
	struct co_stream *s = co_stream_new(((int *)pair)[0]);
	int code = s ? co_go(count, ((int *)pair)[1]) : -ENOMEM;

	if (code < 0)
		co_close(((int *)pair)[1]);
	else if ((code = ask(s, "warp")) == 0)
		code = ask(s, "the warp and the weft");
	return co_stream_close(s) < 0 ? -EIO : code;
}

int
main(void)
{
	int pair[2];

	return socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0 ||
	    co_run(NULL, body, pair) < 0;
}

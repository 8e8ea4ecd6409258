/* SPDX-License-Identifier: MIT */
/*
 * 5-lines.c - a server that says back what it is told.
 *
 * With an address it serves there; without, it tries itself.
 */
#include <errno.h>
#include <stdio.h>
#include <weft.h>

static int
talk(int *fd)
{
	struct co_stream *s = co_stream_new(*fd);
	char line[256];
	ssize_t n = 1;

	if (!s) {
		co_close(*fd);
		return 0;
	}
	while (n > 0) {
		co_timeout(CO_SEC(60))
			n = co_stream_read_line(s, line, sizeof line);
		if (n > 0)
			n = co_stream_printf(s, "you said: %s", line);
		if (n > 0 && co_stream_flush(s) < 0)
			break;
	}
	co_stream_close(s);
	return 0;			/* one that hangs up ends no other */
}

static int
serve(int *listener)
{
	int fd;

	while ((fd = co_accept(*listener, NULL, NULL)) >= 0)
		if (co_go(talk, fd) < 0)
			co_close(fd);
	return fd == -EBADF ? 0 : fd;	/* closed: that is how it ends */
}

static int
visit(int listener)
{
	char address[64], answer[256];
	int code = co_address(listener, address, sizeof address);
	int fd = code < 0 ? code : co_dial(address);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = co_write_full(fd, "hello\n", 6);
	if (n > 0)
		n = co_read_full(fd, answer, 16);
	if (n > 0)
		printf("%.*s", (int)n, answer);
	co_close(fd);
	return n < 0 ? (int)n : 0;
}

static int
body(void *address)
{
	int listener = co_listen(address ? address : "tcp:127.0.0.1:0");
	int code;

	if (listener < 0)
		return listener;
	if (address) {
		code = serve(&listener);
	} else {
		code = co_go(serve, listener);
		if (code == 0)
			code = visit(listener);
	}
	co_close(listener);
	return code;
}

int
main(int argc, char **argv)
{
	return co_run(NULL, body, argc > 1 ? argv[1] : NULL) < 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * tokio-10-net.c - a server of lines, and its client.
 */
#include <errno.h>
#include <stdio.h>
#include <weft.h>

static int
talk(int *socket)
{
	struct co_stream *s = co_stream_new(*socket);
	char line[256];
	ssize_t n;

	if (!s) {
		co_close(*socket);
		return 0;
	}
	while ((n = co_stream_read_line(s, line, sizeof line)) > 0)
		if (co_stream_printf(s, "you said: %s", line) < 0 ||
		    co_stream_flush(s) < 0)
			break;
	co_stream_close(s);
	return 0;		/* no matter of the others */
}

static int
serve(int *listener)
{
	int socket;

	while ((socket = co_accept(*listener, NULL, NULL)) >= 0)
		if (co_go(talk, socket) < 0)
			co_close(socket);
	return 0;
}

static int
ask(const char *address)
{
	int fd = co_dial(address);
	struct co_stream *s = fd < 0 ? NULL : co_stream_new(fd);
	char line[256];
	ssize_t n;

	if (fd < 0)
		return fd;
	if (!s) {
		co_close(fd);
		return -ENOMEM;
	}
	n = co_stream_printf(s, "hello\n");
	if (n >= 0)
		n = co_stream_flush(s);
	if (n >= 0)
		n = co_stream_read_line(s, line, sizeof line);
	if (n > 0)
		printf("%s", line);
	co_stream_close(s);
	return n < 0 ? (int)n : 0;
}

static int
body(void *arg)
{
	int listener = co_listen("tcp:127.0.0.1:0"), code;
	char address[64];

	(void)arg;
	if (listener < 0)
		return listener;
	code = co_address(listener, address, sizeof address);
	if (code == 0)
		code = co_go(serve, listener);
	if (code == 0)
		code = ask(address);
	co_close(listener);
	return code;
}

int
main(void)
{
	return co_run(NULL, body, NULL) < 0;
}

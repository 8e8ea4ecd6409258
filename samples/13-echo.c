/* SPDX-License-Identifier: MIT */
/*
 * 13-echo.c - a server and its client in one program.
 *
 * Descriptors are plain ints.  The end of the scope is the end of the server.
 */
#include <stdio.h>
#include <weft.h>

static int
echo(int *fd)
{
	char buf[64];
	ssize_t n;

	while ((n = co_read(*fd, buf, sizeof buf)) > 0 &&
	    co_write_full(*fd, buf, (size_t)n) == n)
		;
	co_close(*fd);
	return 0;		/* a lost connection ends no server */
}

static int
listener(int *fd)
{
	int peer;

	while ((peer = co_accept(*fd, NULL, NULL)) >= 0)
		if (co_go(echo, peer) < 0)
			co_close(peer);
	return peer;
}

static int
body(void *arg)
{
	char address[64], buf[5] = "";
	int fd = co_listen(arg), peer = -1;
	struct co_scope server;

	co_scope(server) {
		if (fd >= 0 && co_go(listener, fd) == 0 &&
		    co_address(fd, address, sizeof address) == 0 &&
		    (peer = co_dial(address)) >= 0 &&
		    co_write_full(peer, "weft", 4) == 4 &&
		    co_read_full(peer, buf, 4) == 4)
			printf("it comes back: %s\n", buf);
		co_cancel(&server);
	}
	co_close(peer);		/* of -1: -EBADF, and nothing else */
	co_close(fd);
	return fd < 0 ? fd : peer < 0 ? peer : buf[0] ? 0 : -1;
}

int
main(void)
{
	return co_run(NULL, body, "tcp:127.0.0.1:0") < 0;
}

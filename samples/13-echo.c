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

	while ((n = co_read(*fd, buf, sizeof buf)) > 0)
		co_write_full(*fd, buf, (size_t)n);
	return co_close(*fd);
}

static int
listener(int *fd)
{
	int peer;

	while ((peer = co_accept(*fd, NULL, NULL)) >= 0)
		if (co_go(echo, peer) < 0)
			co_close(peer);
	return 0;
}

static int
body(void *arg)
{
	char address[64] = "", buf[5] = "";
	int fd = co_listen(arg), client;
	struct co_scope server;

	co_scope(server) {
		co_go(listener, fd);
		co_address(fd, address, sizeof address);
		client = co_dial(address);
		if (co_write_full(client, "weft", 4) == 4 &&
		    co_read_full(client, buf, 4) == 4)
			printf("it comes back: %s\n", buf);
		co_close(client);
		co_cancel(&server);
	}
	return co_close(fd);
}

int
main(void)
{
	return co_run(NULL, body, "tcp:127.0.0.1:0") < 0;
}

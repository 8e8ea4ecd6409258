/* SPDX-License-Identifier: MIT */
/*
 * go-08-net.c - listening, accepting, dialling.
 */
#include <errno.h>
#include <stdio.h>
#include <weft.h>

static int
copy(int *conn)
{
	char buf[4096];
	ssize_t n;

	while ((n = co_read(*conn, buf, sizeof buf)) > 0 &&
	    co_write_full(*conn, buf, (size_t)n) == n)
		;
	return co_close(*conn);
}

static int
serve(int *l)
{
	int conn;

	while ((conn = co_accept(*l, NULL, NULL)) >= 0)
		if (co_go(copy, conn) < 0)
			co_close(conn);
	return 0;
}

static int
ask(const char *address)
{
	int conn = co_dial(address);
	char buf[5] = "";
	ssize_t n;

	if (conn < 0)
		return conn;
	n = co_write_full(conn, "ping", 4);
	if (n >= 0)
		n = co_read_full(conn, buf, 4);
	if (n == 4)
		printf("%s\n", buf);
	co_close(conn);
	return n == 4 ? 0 : n < 0 ? (int)n : -EPIPE;	/* it broke off */
}

static int
body(void *arg)
{
	int l = co_listen("tcp:127.0.0.1:0"), code;
	char address[64];

	(void)arg;
	if (l < 0)
		return l;
	code = co_address(l, address, sizeof address);
	if (code == 0)
		code = co_go(serve, l);
	if (code == 0)
		code = ask(address);
	co_close(l);		/* serve gets -EBADF, and returns */
	return code;
}

int
main(void)
{
	return co_run(NULL, body, NULL) < 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * echo.c - a server that sends back what it gets, a coroutine for each
 * connection.
 *
 * echo -s [-w N]: serves; prints "port N".  bench/run puts it on a processor
 * of its own, loads it with compare/load.c from another and asks the kernel
 * how much time it used.
 *
 * Without -s it serves its own -k clients, -n messages of 64 bytes in all:
 * both ends and the kernel's part together.
 */
#include "runtime.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

enum { MESSAGE = 64 };

static void
no_delay(int fd)
{
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static int
serve_one(int *connection)
{
	char buffer[4096];
	int fd = *connection;
	ssize_t n;

	no_delay(fd);
	while ((n = co_recv(fd, buffer, sizeof buffer, 0)) > 0)
		if (co_write_full(fd, buffer, (size_t)n) != n)
			break;
	co_close(fd);
	return 0;
}

static int
serve(int *listener)
{
	int fd;

	while ((fd = co_accept(*listener, NULL, NULL)) >= 0)
		if (co_go(serve_one, fd) < 0)
			co_close(fd);
	return 0;
}

static int
port_of(int fd)
{
	struct sockaddr_in a = { 0 };
	socklen_t size = sizeof a;

	bench_check(getsockname(fd, (struct sockaddr *)&a, &size) == 0,
	    "getsockname");
	return ntohs(a.sin_port);
}

static int
server(void *arg)
{
	int fd = co_listen("tcp:127.0.0.1:0");

	(void)arg;
	bench_check(fd >= 0, "co_listen");
	printf("port %d\n", port_of(fd));
	fflush(stdout);
	return serve(&fd);
}

static int
client(int *port)
{
	char address[64], out[MESSAGE], in[MESSAGE];
	long i, n = bench.n / bench.k;
	int fd;

	snprintf(address, sizeof address, "tcp:127.0.0.1:%d", *port);
	fd = co_dial(address);
	bench_check(fd >= 0, "co_dial");
	no_delay(fd);
	for (i = 0; i < n; i++) {
		memset(out, (int)(i & 0x7f), sizeof out);
		bench_check(co_write_full(fd, out, MESSAGE) == MESSAGE,
		    "a message is sent");
		bench_check(co_read_full(fd, in, MESSAGE) == MESSAGE &&
		    memcmp(in, out, MESSAGE) == 0, "it comes back");
	}
	co_close(fd);
	return 0;
}

static int
both(void *arg)
{
	int fd = co_listen("tcp:127.0.0.1:0");
	struct co_scope s, clients;
	int64_t start = bench_now();
	long i;

	(void)arg;
	bench_check(fd >= 0, "co_listen");
	co_scope(s) {
		bench_check(co_go(serve, fd) == 0, "co_go");
		co_scope(clients) {
			for (i = 0; i < bench.k; i++)
				bench_check(co_go(client, port_of(fd)) == 0,
				    "co_go");
		}
		bench_check(clients.status == 0, "the clients end well");
		bench_result("echo_both", (double)(bench_now() - start) / 1e3 /
		    bench.n, "us");
		co_cancel(&s);
	}
	co_close(fd);
	return 0;
}

int
main(int argc, char **argv)
{
	bool serving = argc > 1 && strcmp(argv[1], "-s") == 0;

	bench_begin(argc - serving, argv + serving, 200000, 100);
	return bench_run(serving ? server : both);
}

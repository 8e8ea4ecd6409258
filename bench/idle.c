/* SPDX-License-Identifier: MIT */
/*
 * idle.c - a server whose -n clients are connected and say nothing: memory for
 * each connection, and processor time of a second.
 *
 * The clients' ends are sockets of this process, too, so that their memory is
 * the kernel's and not counted: what is, is the coroutine, its stack and what
 * weft and libev keep of its descriptor.  Needs 2 * n descriptors.
 */
#include "runtime.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

enum { SECONDS = 2 };

static long waiting;

static int
serve_one(int *connection)
{
	char buffer[256];
	int fd = *connection;
	ssize_t n;

	waiting++;
	while ((n = co_recv(fd, buffer, sizeof buffer, 0)) > 0)
		if (co_write_full(fd, buffer, (size_t)n) != n)
			break;
	co_close(fd);
	return 0;
}

static int
connect_to(const struct sockaddr *to, socklen_t size)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	bench_check(fd >= 0 && connect(fd, to, size) == 0, "connect");
	return fd;
}

static int
body(void *arg)
{
	int fd = co_listen("tcp:127.0.0.1:0"), peer;
	struct sockaddr_in to = { 0 };
	socklen_t size = sizeof to;
	double rss, tables, cpu;
	struct co_scope s;
	long i;

	(void)arg;
	bench_check(fd >= 0 && getsockname(fd, (struct sockaddr *)&to,
	    &size) == 0, "co_listen");
	rss = bench_memory("VmRSS:");
	tables = bench_memory("VmPTE:");
	co_scope(s) {
		for (i = 0; i < bench.n; i++) {
			connect_to((struct sockaddr *)&to, size);
			peer = co_accept(fd, NULL, NULL);
			bench_check(peer >= 0 && co_go(serve_one, peer) == 0,
			    "a connection");
		}
		bench_check(co_sleep(CO_MS(100)) == 0 && waiting == bench.n,
		    "all of them wait");
		bench_result("idle_rss", (bench_memory("VmRSS:") - rss) /
		    bench.n, "B");
		bench_result("idle_tables", (bench_memory("VmPTE:") - tables) /
		    bench.n, "B");
		bench_check(co_sleep(CO_SEC(2)) == 0, "a rest");
		cpu = bench_cpu();
		bench_check(co_sleep(CO_SEC(SECONDS)) == 0, "a rest");
		bench_result("idle_cpu", (bench_cpu() - cpu) * 1e3 / SECONDS,
		    "ms/s");
		co_cancel(&s);
	}
	co_close(fd);
	return 0;
}

int
main(int argc, char **argv)
{
	struct rlimit limit;

	bench_begin(argc, argv, 10000, 0);
	bench_check(getrlimit(RLIMIT_NOFILE, &limit) == 0, "getrlimit");
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (bench.n > (long)limit.rlim_max / 2 - 100)
		bench.n = (long)limit.rlim_max / 2 - 100;
	return bench_run(body);
}

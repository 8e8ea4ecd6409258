/* SPDX-License-Identifier: MIT */
/*
 * listen.h - the listening socket of the echo servers in C, and its port line.
 */
#ifndef BENCH_LISTEN_H
#define BENCH_LISTEN_H

#include "peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

/* A nonblocking listener on a port of the kernel's choice, announced. */
static inline int
listen_and_tell(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t size = sizeof a;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	bench_check(bind(fd, (struct sockaddr *)&a, sizeof a) == 0 &&
	    listen(fd, 1024) == 0 &&
	    getsockname(fd, (struct sockaddr *)&a, &size) == 0, "a listener");
	printf("port %d\n", ntohs(a.sin_port));
	fflush(stdout);
	return fd;
}

/* The next connection, nonblocking and without delay; -1: none now. */
static inline int
accept_next(int fd)
{
	int c = accept4(fd, NULL, NULL, SOCK_NONBLOCK), one = 1;

	if (c >= 0)
		setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	return c;
}

#endif

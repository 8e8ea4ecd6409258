/* SPDX-License-Identifier: MIT */
/*
 * harness_text.c - where what is tested writes to, and where it cannot.
 */
#include "harness.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <weft/io.h>

char *
test_written(int (*fn)(FILE *to), int *ret_code)
{
	char *text = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&text, &size);

	ck_assert_ptr_nonnull(to);
	*ret_code = fn(to);
	fclose(to);
	return text;
}

void
test_pair(int ret_fds[2])
{
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
	    ret_fds), 0);
}

void
test_close_pair(const int fds[2])
{
	test_result(co_close(fds[0]), 0);
	test_result(co_close(fds[1]), 0);
}

void
test_full_pipe(int ret_fds[2])
{
	static const char some[4096];

	ck_assert_int_eq(pipe(ret_fds), 0);
	ck_assert_int_eq(fcntl(ret_fds[1], F_SETFL, O_NONBLOCK), 0);
	while (write(ret_fds[1], some, sizeof some) > 0)
		continue;
	ck_assert_int_eq(fcntl(ret_fds[1], F_SETFL, 0), 0);
}

static int
open_tcp(int flags)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

	ck_assert_int_ge(fd, 0);
	return fd;
}

void
test_blackhole_open(struct test_blackhole *b)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof sa;
	int i;

	b->fd[0] = open_tcp(0);
	ck_assert_int_eq(bind(b->fd[0], (struct sockaddr *)&sa, len), 0);
	ck_assert_int_eq(listen(b->fd[0], 0), 0);
	ck_assert_int_eq(getsockname(b->fd[0], (struct sockaddr *)&sa, &len),
	    0);
	b->port = ntohs(sa.sin_port);
	for (i = 1; i < 9; i++) {
		b->fd[i] = open_tcp(SOCK_NONBLOCK);
		(void)!connect(b->fd[i], (struct sockaddr *)&sa, len);
	}
}

void
test_blackhole_close(struct test_blackhole *b)
{
	int i;

	for (i = 0; i < 9; i++)
		close(b->fd[i]);
}

/* SPDX-License-Identifier: MIT */
/*
 * standard_fd_test.c - 0 to 2, which others share and which stay blocking: no
 * call on them holds up a worker, and deadlines end them all.  (Terminals apart:
 * they do not say how much room they have.)
 */
#include "harness.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <weft/io.h>
#include <weft/scope.h>

#define SOON	CO_MS(100)

/* Each runs in a process of its own. */
static void
ended_in_time(co_fn *fn)
{
	struct test_child c;
	int w;

	for (w = 1; w <= 2; w++) {
		c = test_child((int (*)(void *))fn, (void *)(intptr_t)w);
		ck_assert_msg(c.code == 0, "code %d, signal %d: %s", c.code,
		    c.signal, c.err);
	}
}

static int
in_runtime(void *arg, co_fn *fn)
{
	return test_run((int)(intptr_t)arg, fn, NULL) == 0 ? 0 : 1;
}

static int
accept_0(void *arg)
{
	(void)arg;
	co_timeout(SOON)
		test_result(co_accept(0, NULL, NULL), -ETIMEDOUT);
	return 0;
}

static int
accepting(void *arg)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (bind(fd, (struct sockaddr *)&sa, sizeof sa.sun_family) < 0 ||
	    listen(fd, 4) < 0 || dup2(fd, 0) < 0)
		return 2;
	return in_runtime(arg, accept_0);
}

TEST(a_blocking_listener_at_0_is_waited_for)
{
	ended_in_time(accepting);
}

/* A blocking pipe that is full. */
static int
full_pipe(void)
{
	static const char block[4096];
	int fd[2];

	if (pipe2(fd, O_CLOEXEC | O_NONBLOCK) < 0)
		return -1;
	while (write(fd[1], block, sizeof block) > 0)
		continue;
	fcntl(fd[1], F_SETFL, 0);
	return fd[1];
}

static int
send_to_1(void *arg)
{
	char name[] = "/tmp/weft-standard-XXXXXX";
	int file = mkstemp(name);
	off_t at = 0;

	(void)arg;
	ck_assert_int_ge(file, 0);
	unlink(name);
	ck_assert_int_eq(ftruncate(file, 1 << 20), 0);
	co_timeout(SOON)
		test_result(co_sendfile(1, file, &at, 1 << 20), -ETIMEDOUT);
	test_result(co_close(file), 0);
	return 0;
}

static int
sending(void *arg)
{
	int fd = full_pipe();

	if (fd < 0 || dup2(fd, 1) < 0)
		return 2;
	return in_runtime(arg, send_to_1);
}

TEST(a_blocking_pipe_at_1_is_waited_for_to_send_a_file)
{
	ended_in_time(sending);
}

static int
splice_from_0(void *arg)
{
	int fd[2];

	(void)arg;
	ck_assert_int_eq(pipe2(fd, O_CLOEXEC | O_NONBLOCK), 0);
	co_timeout(SOON)
		test_result(co_splice(0, NULL, fd[1], NULL, 100, 0),
		    -ETIMEDOUT);
	test_result(co_close(fd[0]), 0);
	test_result(co_close(fd[1]), 0);
	return 0;
}

/* TCP: Unix sockets look at the flag of the call. */
static int
splicing(void *arg)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof sa;

	if (bind(listener, (struct sockaddr *)&sa, len) < 0 ||
	    listen(listener, 4) < 0 ||
	    getsockname(listener, (struct sockaddr *)&sa, &len) < 0 ||
	    connect(fd, (struct sockaddr *)&sa, len) < 0 || dup2(fd, 0) < 0)
		return 2;
	return in_runtime(arg, splice_from_0);
}

TEST(a_blocking_socket_at_0_is_waited_for_to_splice)
{
	ended_in_time(splicing);
}

static int
write_to_1(void *arg)
{
	static const char lot[1 << 20];

	(void)arg;
	co_timeout(SOON)
		test_result(co_write_full(1, lot, sizeof lot), -ETIMEDOUT);
	return 0;
}

static int
writing_to_pipe(void *arg)
{
	int fd = full_pipe();

	if (fd < 0 || dup2(fd, 1) < 0)
		return 2;
	return in_runtime(arg, write_to_1);
}

TEST(a_full_pipe_is_waited_for)
{
	ended_in_time(writing_to_pipe);
}

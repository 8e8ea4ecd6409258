/* SPDX-License-Identifier: MIT */
/*
 * cancel_io_test.c - waits for descriptors, sockets and streams, ended in every
 * way at every moment.  What a read that was ended did not take is there, and
 * of what was to be written there is one byte in the end, or none too many.
 */
#include "cancel_cell.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <weft/io.h>

static struct {
	int fd[2];		/* we wait on the first */
	int aside[2];		/* of splice and sendfile */
	int held, taken;	/* bytes in a full one, and out of it again */
	char last;		/* of those that were taken */
	char byte;		/* read here, written from here */
	struct co_stream *stream;
	struct test_blackhole hole;
} io;

/* --- reading -------------------------------------------------------------- */

static void
init_pair(void)
{
	test_pair(io.fd);
	io.byte = 0;
}

static void
init_pipe(void)
{
	ck_assert_int_eq(pipe2(io.fd, O_CLOEXEC), 0);
	io.byte = 0;
}

static void
close_both(void)
{
	test_result(co_close(io.fd[0]), 0);
	test_result(co_close(io.fd[1]), 0);
}

static int
bytes_in(int fd)
{
	int n = -1;

	ck_assert_int_eq(ioctl(fd, FIONREAD, &n), 0);
	return n;
}

/* Each byte was read once. */
static void
fini_empty(void)
{
	ck_assert_int_eq(bytes_in(io.fd[0]), 0);
	close_both();
}

static int
finish_read(void)
{
	return co_write(io.fd[1], "x", 1) == 1 ? 0 : -EIO;
}

/* What a call gave that asked for a byte: it is there if so it says. */
static int
one_byte(ssize_t n)
{
	ck_assert_int_eq(io.byte, n == 1 ? 'x' : 0);
	io.byte = 0;
	return n == 1 ? 0 : n == 0 ? -EPROTO : (int)n;
}

static int
wait_read(void)
{
	return one_byte(co_read(io.fd[0], &io.byte, 1));
}

static int
wait_readv(void)
{
	struct iovec v = { &io.byte, 1 };

	return one_byte(co_readv(io.fd[0], &v, 1));
}

static int
wait_read_full(void)
{
	return one_byte(co_read_full(io.fd[0], &io.byte, 1));
}

static int
wait_recv(void)
{
	return one_byte(co_recv(io.fd[0], &io.byte, 1, 0));
}

static int
wait_recv_all(void)
{
	return one_byte(co_recv(io.fd[0], &io.byte, 1, MSG_WAITALL));
}

static int
wait_recvfrom(void)
{
	return one_byte(co_recvfrom(io.fd[0], &io.byte, 1, 0, NULL, NULL));
}

static int
wait_recvmsg(void)
{
	struct iovec v = { &io.byte, 1 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };

	return one_byte(co_recvmsg(io.fd[0], &m, 0));
}

/* It is ready, and stays so until we take what is there. */
static int
take_byte(void)
{
	return one_byte(recv(io.fd[0], &io.byte, 1, MSG_DONTWAIT));
}

static int
wait_readable(void)
{
	int n = co_wait_fd(io.fd[0], CO_READ);

	return n < 0 ? n : n == CO_READ ? take_byte() : -EPROTO;
}

static int
wait_select_readable(void)
{
	int status = 5, n = co_select(co_on_readable(io.fd[0], &status));

	ck_assert_int_eq(status, n == 0 ? 0 : 5);
	return n < 0 ? n : take_byte();
}

/* --- writing -------------------------------------------------------------- */

/* A byte more, and its writer would wait. */
static void
init_full(void)
{
	static const char some[4096];
	size_t n;

	init_pair();
	for (n = sizeof some; n > 0; n /= 16)
		while (send(io.fd[0], some, n, MSG_DONTWAIT) > 0)
			continue;
	io.held = bytes_in(io.fd[1]);
	io.taken = 0;
	io.byte = 'x';
}

static void
init_full_pipe(void)
{
	int fd[2];

	test_full_pipe(fd);
	io.fd[0] = fd[1];
	io.fd[1] = fd[0];
	io.held = bytes_in(io.fd[1]);
	io.taken = 0;
	io.byte = 'x';
}

static void
take(void)
{
	char some[4096];
	ssize_t n;

	while (bytes_in(io.fd[1]) > 0) {
		n = read(io.fd[1], some, sizeof some);
		ck_assert_int_gt(n, 0);
		io.taken += (int)n;
		io.last = some[n - 1];
	}
}

static int
finish_write(void)
{
	take();
	return 0;
}

/* The byte was written once. */
static void
fini_full(void)
{
	take();
	ck_assert_int_eq(io.taken, io.held + 1);
	ck_assert_int_eq(io.last, 'x');
	close_both();
}

/* Who waits for room only does not write. */
static void
fini_room(void)
{
	take();
	ck_assert_int_eq(io.taken, io.held);
	close_both();
}

static int
one_written(ssize_t n)
{
	return n == 1 ? 0 : n == 0 ? -EPROTO : (int)n;
}

static int
wait_write(void)
{
	return one_written(co_write(io.fd[0], &io.byte, 1));
}

static int
wait_writev(void)
{
	struct iovec v = { &io.byte, 1 };

	return one_written(co_writev(io.fd[0], &v, 1));
}

static int
wait_write_full(void)
{
	return one_written(co_write_full(io.fd[0], &io.byte, 1));
}

static int
wait_send(void)
{
	return one_written(co_send(io.fd[0], &io.byte, 1, 0));
}

static int
wait_sendto(void)
{
	return one_written(co_sendto(io.fd[0], &io.byte, 1, 0, NULL, 0));
}

static int
wait_sendmsg(void)
{
	struct iovec v = { &io.byte, 1 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };

	return one_written(co_sendmsg(io.fd[0], &m, 0));
}

static int
wait_writable(void)
{
	int n = co_wait_fd(io.fd[0], CO_WRITE);

	return n < 0 ? n : n == CO_WRITE ? 0 : -EPROTO;
}

static int
wait_select_writable(void)
{
	int status = 5, n = co_select(co_on_writable(io.fd[0], &status));

	ck_assert_int_eq(status, n == 0 ? 0 : 5);
	return n;
}

/* --- from one to another -------------------------------------------------- */

static void
init_sendfile(void)
{
	init_full();
	io.aside[0] = memfd_create("weft", MFD_CLOEXEC);
	ck_assert_int_ge(io.aside[0], 0);
	ck_assert_int_eq(write(io.aside[0], "x", 1), 1);
}

static int
wait_sendfile(void)
{
	off_t at = 0;
	ssize_t n = co_sendfile(io.fd[0], io.aside[0], &at, 1);

	ck_assert_int_eq(at, n == 1);
	return one_written(n);
}

static void
fini_sendfile(void)
{
	fini_full();
	test_result(co_close(io.aside[0]), 0);
}

static void
init_splice(void)
{
	init_pair();
	ck_assert_int_eq(pipe2(io.aside, O_CLOEXEC), 0);
}

static int
wait_splice(void)
{
	return one_written(co_splice(io.fd[0], NULL, io.aside[1], NULL, 5, 0));
}

static void
fini_splice(void)
{
	fini_empty();
	ck_assert_int_eq(bytes_in(io.aside[0]), 1);
	test_result(co_close(io.aside[0]), 0);
	test_result(co_close(io.aside[1]), 0);
}

/* --- connections ---------------------------------------------------------- */

static struct sockaddr_in at;

static void
init_accept(void)
{
	socklen_t len = sizeof at;

	io.fd[0] = co_listen("tcp:127.0.0.1:0");
	ck_assert_int_ge(io.fd[0], 0);
	ck_assert_int_eq(getsockname(io.fd[0], (struct sockaddr *)&at, &len),
	    0);
	io.fd[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(io.fd[1], 0);
}

static int
finish_accept(void)
{
	return connect(io.fd[1], (struct sockaddr *)&at, sizeof at);
}

static int
wait_accept(void)
{
	int fd = co_accept(io.fd[0], NULL, NULL);

	return fd < 0 ? fd : co_close(fd);
}

/* There was one connection, which was accepted once. */
static void
fini_accept(void)
{
	ck_assert_int_eq(accept(io.fd[0], NULL, NULL), -1);
	ck_assert_int_eq(errno, EAGAIN);
	close_both();
}

static void
init_hole(void)
{
	test_blackhole_open(&io.hole);
}

static int
wait_connect(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
	    .sin_port = htons(io.hole.port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = co_socket(AF_INET, SOCK_STREAM, 0);
	int code = co_connect(fd, (struct sockaddr *)&to, sizeof to);

	test_result(co_close(fd), 0);
	return code;
}

static int
wait_dial(void)
{
	char text[64];
	int fd;

	snprintf(text, sizeof text, "tcp:127.0.0.1:%d", io.hole.port);
	fd = co_dial(text);
	return fd < 0 ? fd : co_close(fd);
}

static void
fini_hole(void)
{
	test_blackhole_close(&io.hole);
}

/* --- streams -------------------------------------------------------------- */

static void
init_stream(void)
{
	init_pair();
	io.stream = co_stream_new(io.fd[0]);
	ck_assert_ptr_nonnull(io.stream);
}

/* Part of what is waited for is there. */
static void
init_line(void)
{
	init_stream();
	ck_assert_int_eq(write(io.fd[1], "ab", 2), 2);
}

static int
finish_line(void)
{
	return co_write(io.fd[1], "c\n", 2) == 2 ? 0 : -EIO;
}

static int
line(ssize_t n, const char *got)
{
	ck_assert(n < 0 || (n == 4 && memcmp(got, "abc\n", 4) == 0));
	return n < 0 ? (int)n : 0;
}

static int
wait_line(void)
{
	char got[8];

	return line(co_stream_read_line(io.stream, got, sizeof got), got);
}

static int
wait_exact(void)
{
	char got[8];

	return line(co_stream_read_exact(io.stream, got, 4), got);
}

static void
fini_stream(void)
{
	ck_assert_uint_eq(co_stream_buffered(io.stream), 0);
	co_stream_free(io.stream);
	fini_empty();
}

static void
init_flush(void)
{
	init_full();
	io.stream = co_stream_new(io.fd[0]);
	ck_assert_ptr_nonnull(io.stream);
	test_result(co_stream_write(io.stream, "x", 1), 1);
}

static int
wait_flush(void)
{
	return co_stream_flush(io.stream);
}

static void
fini_flush(void)
{
	co_stream_free(io.stream);
	fini_full();
}

/* --- all of them ---------------------------------------------------------- */

static const struct kind kinds[] = {
	{ "read", init_pair, wait_read, finish_read, fini_empty },
	{ "read, pipe", init_pipe, wait_read, finish_read, fini_empty },
	{ "readv", init_pair, wait_readv, finish_read, fini_empty },
	{ "read_full", init_pair, wait_read_full, finish_read, fini_empty },
	{ "recv", init_pair, wait_recv, finish_read, fini_empty },
	{ "recv, all", init_pair, wait_recv_all, finish_read, fini_empty },
	{ "recvfrom", init_pair, wait_recvfrom, finish_read, fini_empty },
	{ "recvmsg", init_pair, wait_recvmsg, finish_read, fini_empty },
	{ "readable", init_pair, wait_readable, finish_read, fini_empty },
	{ "write", init_full, wait_write, finish_write, fini_full },
	{ "write, pipe", init_full_pipe, wait_write, finish_write, fini_full },
	{ "writev", init_full, wait_writev, finish_write, fini_full },
	{ "write_full", init_full, wait_write_full, finish_write, fini_full },
	{ "send", init_full, wait_send, finish_write, fini_full },
	{ "sendto", init_full, wait_sendto, finish_write, fini_full },
	{ "sendmsg", init_full, wait_sendmsg, finish_write, fini_full },
	{ "writable", init_full, wait_writable, finish_write, fini_room },
	{ "sendfile", init_sendfile, wait_sendfile, finish_write,
	  fini_sendfile },
	{ "splice", init_splice, wait_splice, finish_read, fini_splice },
	{ "accept", init_accept, wait_accept, finish_accept, fini_accept },
	{ "connect", init_hole, wait_connect, NULL, fini_hole },
	{ "dial", init_hole, wait_dial, NULL, fini_hole },
	{ "stream line", init_line, wait_line, finish_line, fini_stream },
	{ "stream exact", init_line, wait_exact, finish_line, fini_stream },
	{ "stream flush", init_flush, wait_flush, finish_write, fini_flush },
	{ "select readable", init_pair, wait_select_readable, finish_read,
	  fini_empty },
	{ "select writable", init_full, wait_select_writable, finish_write,
	  fini_room },
	{ .name = NULL }
};

TEST(io_in_a_scope_that_has_ended_fails_even_if_it_could_complete)
{
	run_matrix(kinds, NULL, BEFORE);
}

TEST(parked_io_is_ended_and_has_had_no_effect)
{
	run_matrix(kinds, NULL, PARKED);
}

TEST(io_that_is_ended_as_it_completes_did_all_or_nothing, .seconds = 600)
{
	run_matrix(kinds, NULL, RACE);
}

/* SPDX-License-Identifier: MIT */
/*
 * inject/io_test.c - descriptors in states that only calls that fail bring
 * about, and standard input and output that block.
 */
#include "harness.h"
#include "inject/fault.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <weft/io.h>
#include <weft/scope.h>

static int pair[2];

static void
arm(const char *call, int error, uint64_t times)
{
	struct fault f = { .only = call, .from = 1, .times = times,
	    .error = error };

	fault_arm(&f);
}

/* --- epoll refuses -------------------------------------------------------- */

static int
refused_watch(void *arg)
{
	char c;

	(void)arg;
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	arm(" epoll_ctl ", ENOSPC, 1);
	test_result(co_read(pair[0], &c, 1), -ENOMEM);
	ck_assert_uint_eq(fault_disarm(), 1);
	/* Now it can be had. */
	co_timeout(CO_MS(10)) {
		test_result(co_read(pair[0], &c, 1), -ETIMEDOUT);
	}
	test_result(co_write(pair[1], "x", 1), 1);
	test_result(co_read(pair[0], &c, 1), 1);
	co_close(pair[0]);
	co_close(pair[1]);
	return 0;
}

TEST(who_waits_is_told_when_epoll_refuses)
{
	if (!fault_sees_libev())
		test_skip("libev is not linked as an archive");
	test_result(test_run(1, refused_watch, NULL), 0);
	test_result(test_run(2, refused_watch, NULL), 0);
}

/* --- the tables of libev grow --------------------------------------------- */

/* Descriptors with ever higher numbers; memory fails all the while. */
static int
many_watches(void *arg)
{
	enum { MANY = 300 };
	static int fd[MANY][2];
	struct fault f = { .only = " malloc calloc realloc ", .from = 1,
	    .chance = 500, .seed = test_seed() };
	int i, code, failed = 0;

	(void)arg;
	for (i = 0; i < MANY; i++)
		ck_assert_int_eq(pipe(fd[i]), 0);
	for (i = 0; i < MANY; i++) {
		fault_arm(&f);
		code = co_select(co_on_readable(fd[i][0]),
		    co_on_timeout(CO_US(100)));
		fault_disarm();
		f.seed++;
		ck_assert_msg(code == 1 || code == -ENOMEM, "%d", code);
		failed += code < 0;
		test_result(co_write(fd[i][1], "x", 1), 1);
		test_result(co_wait_fd(fd[i][0], CO_READ), CO_READ);
	}
	ck_assert_int_gt(failed, 0);
	for (i = 0; i < MANY; i++) {
		co_close(fd[i][0]);
		co_close(fd[i][1]);
	}
	return 0;
}

TEST(tables_grow_while_memory_is_short)
{
	test_result(test_run(1, many_watches, NULL), 0);
}

/* --- standard input and output -------------------------------------------- */

enum { MUCH = 300000 };

static int
write_much(void *arg)
{
	static char much[MUCH];
	struct iovec v[3] = { { much, 0 }, { much, 1 }, { much, MUCH - 1 } };
	size_t left;
	ssize_t n;

	(void)arg;
	memset(much, 'm', MUCH);
	n = co_writev(1, v, 3);
	ck_assert_int_ge(n, 1);
	left = MUCH - (size_t)n;
	test_result(co_write_full(1, much, left), (ssize_t)left);
	test_result(co_write(1, much, 0), 0);
	co_close(1);
	return 0;
}

static int
read_much(void *arg)
{
	static char buf[MUCH];
	size_t got = 0;
	ssize_t n;

	(void)arg;
	while ((n = co_read(0, buf, 10000)) > 0)
		got += (size_t)n;
	test_result(n, 0);
	ck_assert_uint_eq(got, MUCH);
	return 0;
}

static int
both_ends(void *arg)
{
	struct co_scope s;

	(void)arg;
	co_scope(s) {
		test_result(co_spawn(read_much, NULL), 0);
		co_yield_now();
		test_result(co_spawn(write_much, NULL), 0);
	}
	return s.status;
}

TEST(blocking_pipes_as_standard_input_and_output)
{
	int in = dup(0), out = dup(1), i;

	for (i = 0; i < 2; i++) {
		ck_assert_int_eq(pipe(pair), 0);
		dup2(pair[0], 0);
		dup2(pair[1], 1);
		close(pair[0]);
		close(pair[1]);
		/* The second time, as on a kernel without RWF_NOSIGNAL. */
		if (i == 1)
			arm(" pwritev2 ", EOPNOTSUPP, 1);
		test_result(test_run(1, both_ends, NULL), 0);
		fault_disarm();
		dup2(in, 0);
		dup2(out, 1);
	}
	close(in);
	close(out);
}

/* --- behind our back ------------------------------------------------------ */

static int
other_file(void *arg)
{
	int ends[2];
	char c;

	(void)arg;
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	test_result(co_write(pair[1], "s", 1), 1);
	test_result(co_read(pair[0], &c, 1), 1);
	/* The number becomes a pipe, and then nothing. */
	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(dup2(ends[0], pair[0]), pair[0]);
	test_result(co_write(ends[1], "p", 1), 1);
	test_result(co_read(pair[0], &c, 1), 1);
	ck_assert_int_eq(c, 'p');
	close(pair[0]);
	test_result(co_read(pair[0], &c, 1), -EBADF);
	test_result(co_wait_fd(pair[0], CO_READ), -EBADF);
	co_forget(pair[0]);
	/* What a socket's call says of a file that is none is the answer. */
	test_result(co_recv(ends[0], &c, 1, 0), -ENOTSOCK);
	co_close(ends[0]);
	co_close(ends[1]);
	co_close(pair[1]);
	return 0;
}

TEST(a_number_becomes_another_file)
{
	test_result(test_run(1, other_file, NULL), 0);
}

/* --- looks that fail ------------------------------------------------------ */

static int
looks_fail(void *arg)
{
	char c;

	(void)arg;
	ck_assert_int_eq(pipe(pair), 0);
	arm(" fstat ", ENOMEM, 1);
	test_result(co_read(pair[0], &c, 1), -ENOMEM);
	fault_disarm();
	arm(" poll ", ENOMEM, 1);
	test_result(co_wait_fd(pair[0], CO_READ), -ENOMEM);
	fault_disarm();
	arm(" close ", EIO, 1);
	test_result(co_close(pair[0]), -EIO);
	fault_disarm();
	arm(" close ", EINTR, 1);
	test_result(co_close(pair[1]), 0);
	fault_disarm();
	return 0;
}

TEST(a_look_at_a_descriptor_fails)
{
	test_result(test_run(1, looks_fail, NULL), 0);
}

/* SPDX-License-Identifier: MIT */
/*
 * 021-accept-and-a-scope.c - a scope ends while somebody waits to accept.
 *
 * A scope that ends because of a child's -EHOSTUNREACH ends all waits with that
 * code.  co_accept took it for an error of a connection, which it passes over,
 * and tried again for ever.
 */
#include "harness.h"

#include <weft/io.h>
#include <weft/scope.h>

static int
give(void *arg)
{
	return *(int *)arg;
}

static int
accept_in_a_scope(void *arg)
{
	int fd = co_listen("tcp:127.0.0.1:0"), code = 0;
	struct co_scope s;

	ck_assert_int_ge(fd, 0);
	co_scope(s) {
		test_result(co_spawn(give, arg), 0);
		code = co_accept(fd, NULL, NULL);
	}
	co_close(fd);
	test_result(code, *(int *)arg);
	test_result(s.status, *(int *)arg);
	return 0;
}

TEST(a_scope_may_end_with_the_code_of_a_lost_connection)
{
	static int codes[] = { -ECONNABORTED, -EPROTO, -EPERM, -EHOSTUNREACH,
		-ENETUNREACH, -EMFILE, -ENOMEM, -EAGAIN, -EINTR, -EBADF };
	size_t i;

	for (i = 0; i < sizeof codes / sizeof *codes; i++)
		test_result(test_run(1, accept_in_a_scope, &codes[i]), 0);
}

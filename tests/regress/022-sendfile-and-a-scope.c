/* SPDX-License-Identifier: MIT */
/*
 * 022-sendfile-and-a-scope.c - a scope ends while a file is being sent.
 *
 * The code of a scope that ended, or of a thread that could not be made, was
 * taken for one of sendfile(2): for -EINTR and -EAGAIN it was tried again, for
 * ever.
 */
#include "harness.h"

#include <unistd.h>

#include <weft/io.h>
#include <weft/scope.h>

static int
give(void *arg)
{
	return *(int *)arg;
}

static int
send_in_a_scope(void *arg)
{
	int in = fileno(tmpfile()), out = fileno(tmpfile());
	struct co_scope s;
	off_t at = 0;
	ssize_t n = 0;

	ck_assert_int_eq(ftruncate(in, 100), 0);
	co_scope(s) {
		test_result(co_spawn(give, arg), 0);
		co_yield_now();
		co_shield() {
			test_result(co_sendfile(out, in, &at, 50), 50);
		}
		n = co_sendfile(out, in, &at, 50);
	}
	test_result(n, *(int *)arg);
	return 0;
}

/* It ends while the job waits for the pool's only thread. */
static int
sleep_on_the_pool(void *arg)
{
	(void)arg;
	usleep(20000);
	return 0;
}

static int
hold_the_pool(void *arg)
{
	(void)arg;
	co_shield() {
		test_result(co_blocking(sleep_on_the_pool, NULL), 0);
	}
	return 0;
}

static int
send_while_it_ends(void *arg)
{
	int in = fileno(tmpfile()), out = fileno(tmpfile());
	struct co_scope s;
	off_t at = 0;
	ssize_t n = 0;

	ck_assert_int_eq(ftruncate(in, 100), 0);
	co_scope(s) {
		test_result(co_spawn(hold_the_pool, NULL), 0);
		co_yield_now();
		test_result(co_spawn(give, arg), 0);
		n = co_sendfile(out, in, &at, 50);
	}
	test_result(n, *(int *)arg);
	return 0;
}

TEST(a_scope_may_end_with_the_code_of_an_interrupted_call,
    .leaves_fds = true)
{
	static int codes[] = { -EINTR, -EAGAIN, -EIO };
	struct co_options one = { .workers = 1, .blocking_threads = 1 };
	size_t i;

	for (i = 0; i < sizeof codes / sizeof *codes; i++) {
		test_result(co_run(&one, send_in_a_scope, &codes[i]), 0);
		test_result(co_run(&one, send_while_it_ends, &codes[i]), 0);
	}
}

/* SPDX-License-Identifier: MIT */
/*
 * select_fd_test.c - descriptors as cases of a select whose loop is somebody
 * else's: plain threads, with and without a runtime, and other runtimes.
 */
#include "harness.h"

#include <pthread.h>
#include <unistd.h>

#include <weft/chan.h>
#include <weft/io.h>
#include <weft/scope.h>

static int fds[2];

static pthread_t
start(void *(*fn)(void *), void *arg)
{
	pthread_t t;

	ck_assert_int_eq(pthread_create(&t, NULL, fn, arg), 0);
	return t;
}

/* What a thread's select gave, or a coroutine's. */
struct outcome {
	int n, status;
};

static void *
select_read(void *arg)
{
	struct outcome *o = arg;

	o->status = 1;
	o->n = co_select(co_on_timeout(CO_SEC(20)),
	    co_on_readable(fds[0], &o->status));
	return NULL;
}

static void
check(pthread_t t, const struct outcome *o, int n, int status)
{
	pthread_join(t, NULL);
	test_result(o->n, n);
	test_result(o->status, status);
}

/* --- no runtime ----------------------------------------------------------- */

static int
nothing(void *arg)
{
	(void)arg;
	return 0;
}

TEST(a_plain_thread_selects_descriptors_without_a_runtime)
{
	chan(int) ch = chan_new(int, 1);
	int i, code = 0, x = 0;
	struct outcome o;
	pthread_t t;
	char c;

	for (i = 0; i < 2; i++) {
		test_pair(fds);
		test_result(co_select(co_on_readable(fds[0]),
		    co_on_timeout(CO_MS(20))), 1);
		co_timeout(CO_MS(20))
			code = co_select(co_on_readable(fds[0]),
			    co_on_recv(ch, &x));
		test_result(code, -ETIMEDOUT);

		t = start(select_read, &o);
		co_sleep(CO_MS(40));
		ck_assert_int_eq(write(fds[1], "x", 1), 1);
		check(t, &o, 1, 0);
		test_result(co_read(fds[0], &c, 1), 1);

		t = start(select_read, &o);
		co_sleep(CO_MS(40));
		test_result(co_close(fds[0]), 0);
		check(t, &o, 1, -EBADF);
		test_result(co_close(fds[1]), 0);
		/* The same after a runtime has come and gone. */
		test_result(test_run(1, nothing, NULL), 0);
	}
	chan_unref(ch);
}

/* --- a runtime that has no time, or ends ---------------------------------- */

static int
wait_for_a_thread(void *arg)
{
	struct outcome *o = arg;
	pthread_t t = start(select_read, o);

	co_sleep(CO_MS(20));
	ck_assert_int_eq(write(fds[1], "x", 1), 1);
	check(t, o, 1, 0);		/* blocks the worker */
	return 0;
}

TEST(a_thread_that_selects_needs_no_worker)
{
	struct outcome o;
	char c;

	test_pair(fds);
	FOR_WORKERS(w) {
		test_result(test_run(w, wait_for_a_thread, &o), 0);
		ck_assert_int_eq(read(fds[0], &c, 1), 1);
	}
	test_close_pair(fds);
}

static int
select_short(void *arg)
{
	struct outcome *o = arg;

	o->n = co_select(co_on_timeout(CO_MS(150)),
	    co_on_readable(fds[0], &o->status));
	return 0;
}

static void *
select_in_a_thread(void *arg)
{
	select_short(arg);
	return NULL;
}

static void *
select_in_a_runtime(void *arg)
{
	test_result(test_run(2, select_short, arg), 0);
	return NULL;
}

struct left {
	void *(*select)(void *);
	struct outcome o;
	pthread_t t;
};

/* The other one's wait is in our loop, and we end. */
static int
leave_the_watch(void *arg)
{
	struct left *l = arg;
	char c;

	co_timeout(CO_MS(5))
		test_result(co_read(fds[0], &c, 1), -ETIMEDOUT);
	l->t = start(l->select, &l->o);
	return co_sleep(CO_MS(50));
}

TEST(the_end_of_a_runtime_makes_nothing_ready)
{
	void *(*ways[])(void *) = { select_in_a_thread, select_in_a_runtime };
	int i;

	test_pair(fds);
	for (i = 0; i < 2; i++) {
		struct left l = { .select = ways[i], .o = { -1, 1 } };

		test_result(test_run(1, leave_the_watch, &l), 0);
		check(l.t, &l.o, 0, 1);
	}
	test_close_pair(fds);
}

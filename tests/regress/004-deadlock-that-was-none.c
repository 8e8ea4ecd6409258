/* SPDX-License-Identifier: MIT */
/*
 * 004-deadlock-that-was-none.c - a runtime is nearly idle while another comes
 * and goes.
 *
 * The number of weft's own threads was read twice: once with the other
 * runtime's, once without.  And an event that a poll had brought, and not yet
 * turned into a runnable task, was on no list that the detector looked at.
 */
#include "harness.h"

#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <weft/chan.h>
#include <weft/io.h>

static chan(int) there, back;
static int fds[2];

static int
echo(void *arg)
{
	int v;

	(void)arg;
	while (chan_recv(there, &v) == 0)
		test_result(chan_send(back, v), 0);
	return 9;
}

static void *
echo_runtime(void *arg)
{
	test_result(test_run(1 + (arg != NULL), echo, NULL), 9);
	return NULL;
}

static int
ask(void *arg)
{
	int v;

	test_result(chan_send(there, 1), 0);
	test_result(chan_recv(back, &v), 0);
	return arg != NULL;
}

TEST(another_runtime_comes_and_goes)
{
	uint64_t i, n = test_count(400, 100000);
	pthread_t t;

	FOR_WORKERS(w) {
		if (w > 4)
			break;
		there = chan_new(int, 0);
		back = chan_new(int, 0);
		ck_assert_int_eq(pthread_create(&t, NULL, echo_runtime,
		    w > 1 ? &t : NULL), 0);
		for (i = 0; i < n; i++)
			test_result(test_run(w, ask, NULL), 0);
		chan_close(there);
		pthread_join(t, NULL);
		chan_unref(there);
		chan_unref(back);
	}
}

static int
bounce(void *arg)
{
	int i, n = *(int *)arg;
	char c = 'x';

	for (i = 0; i < n; i++)
		if (co_write(fds[0], &c, 1) != 1 || co_read(fds[0], &c, 1) != 1)
			return 1;
	return 0;
}

static int
run_bounce(void *arg)
{
	FOR_WORKERS(w)
		if (w > 1 && w <= 4 && test_run(w, bounce, arg) != 0)
			return 2;
	return 0;
}

/* Echoes in a process: no thread of ours keeps the detector silent. */
static int
echo_process(void)
{
	int pair[2];
	char c;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	fds[0] = pair[0];
	fds[1] = pair[1];
	if (fork() != 0)
		return close(pair[1]);
	close(pair[0]);
	while (read(pair[1], &c, 1) == 1)
		if (write(pair[1], &c, 1) != 1)
			break;
	_exit(0);
}

static int
bounce_off_process(void *arg)
{
	return echo_process() < 0 ? 3 : run_bounce(arg);
}

TEST(an_event_is_on_its_way)
{
	int n = (int)test_count(3000, 1000000);
	struct test_child c = test_child(bounce_off_process, &n);

	ck_assert_msg(c.code == 0, "exit %d, signal %d, \"%s\"", c.code,
	    c.signal, c.err);
}

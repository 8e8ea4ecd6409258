/* SPDX-License-Identifier: MIT */
/*
 * fd_close_test.c - a descriptor is closed while others wait for it.
 */
#include "harness.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <weft/io.h>
#include <weft/scope.h>

#define load(p)		__atomic_load_n((p), __ATOMIC_SEQ_CST)
#define add(p, n)	__atomic_add_fetch((p), (n), __ATOMIC_SEQ_CST)

/* --- what is waited for, and how ------------------------------------------ */

static struct test_blackhole hole;

/* The first is ours; the second its other end, or -1. */
static void
open_full(int fd[2])
{
	static const char some[512];
	int least = 1;

	test_pair(fd);
	ck_assert_int_eq(setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &least,
	    sizeof least), 0);
	while (send(fd[0], some, sizeof some, MSG_DONTWAIT) > 0)
		continue;
	while (send(fd[0], some, 1, MSG_DONTWAIT) > 0)
		continue;
}

static void
open_listener(int fd[2])
{
	fd[0] = co_listen("tcp:127.0.0.1:0");
	ck_assert_int_ge(fd[0], 0);
	fd[1] = -1;
}

static void
open_caller(int fd[2])
{
	fd[0] = co_socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_ge(fd[0], 0);
	fd[1] = -1;
}

static int
wait_read(int fd)
{
	char c;

	return (int)co_read(fd, &c, 1);
}

static int
wait_recv(int fd)
{
	char c;

	return (int)co_recv(fd, &c, 1, 0);
}

static int
wait_readable(int fd)
{
	return co_wait_fd(fd, CO_READ);
}

static int
wait_select_readable(int fd)
{
	int status = 1, i = co_select(co_on_readable(fd, &status));

	return i == 0 ? status : i == -EBADF ? -EPROTO : i;
}

static int
wait_write(int fd)
{
	return (int)co_write(fd, "x", 1);
}

static int
wait_send(int fd)
{
	return (int)co_send(fd, "x", 1, 0);
}

static int
wait_writable(int fd)
{
	return co_wait_fd(fd, CO_WRITE);
}

static int
wait_select_writable(int fd)
{
	int status = 1, i = co_select(co_on_writable(fd, &status));

	return i == 0 ? status : i == -EBADF ? -EPROTO : i;
}

static int
wait_accept(int fd)
{
	return co_accept(fd, NULL, NULL);
}

static int
wait_connect(int fd)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
	    .sin_port = htons(hole.port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	return co_connect(fd, (struct sockaddr *)&to, sizeof to);
}

static const struct way {
	const char *name;
	void (*open)(int fd[2]);
	int (*wait)(int fd);
	bool alone;		/* a second one would not wait */
} ways[] = {
	{ "read", test_pair, wait_read, false },
	{ "recv", test_pair, wait_recv, false },
	{ "readable", test_pair, wait_readable, false },
	{ "select readable", test_pair, wait_select_readable, false },
	{ "write", open_full, wait_write, false },
	{ "send", open_full, wait_send, false },
	{ "writable", open_full, wait_writable, false },
	{ "select writable", open_full, wait_select_writable, false },
	{ "accept", open_listener, wait_accept, false },
	{ "connect", open_caller, wait_connect, true },
};
enum { WAYS = sizeof ways / sizeof ways[0] };

/* --- all who wait --------------------------------------------------------- */

enum { WAITERS = 4, STRANGERS = 8 };

static struct {
	const struct way *way;
	int fd[2];
	int there, gone;	/* [atomic] waiters */
	co_time when;		/* it was closed */
	int stranger[STRANGERS];	/* the file that has its number next */
} w;

static int
waiter(void *arg)
{
	int code;

	add(&w.there, 1);
	code = w.way->wait(w.fd[0]);
	ck_assert_msg(code == -EBADF, "%s: %d", w.way->name, code);
	test_between(co_now() - w.when, 0, TEST_SOON);
	add(&w.gone, 1);
	return arg != NULL;
}

static void *
waiter_thread(void *arg)
{
	waiter(NULL);
	return arg;
}

/* Closes it, and gives the number, as soon as it is free, to another file that
   has something to read. */
static void *
close_and_reuse(void *arg)
{
	int i;

	w.when = co_now();
	test_result(co_close(w.fd[0]), 0);
	for (i = 1; i < STRANGERS; i++)
		w.stranger[i] = dup(w.stranger[0]);
	return arg;
}

static void
check_stranger(void)
{
	char got[9];
	int i;

	for (i = 1; i < STRANGERS; i++)
		close(w.stranger[i]);
	ck_assert_int_eq(read(w.stranger[0], got, sizeof got), 8);
	close(w.stranger[0]);
}

static void
close_under(const struct way *way, bool by_thread)
{
	int pair[2], i, n = way->alone ? 1 : WAITERS;
	pthread_t thread, closer;
	struct co_scope s;

	w.way = way;
	w.there = w.gone = 0;
	test_pair(pair);
	w.stranger[0] = pair[0];
	ck_assert_int_eq(write(pair[1], "stranger", 8), 8);
	way->open(w.fd);
	co_scope(s) {
		for (i = 1; i < n; i++)
			test_result(co_spawn(waiter, NULL), 0);
		/* The last is a thread, or the only one a coroutine. */
		if (n == 1)
			test_result(co_spawn(waiter, NULL), 0);
		else
			ck_assert_int_eq(pthread_create(&thread, NULL,
			    waiter_thread, NULL), 0);
		while (load(&w.there) < n)
			co_yield();
		/* All have begun to wait by then: what a thread does, nothing
		   tells. */
		test_result(co_sleep(CO_MS(TEST_CHAOS ? 40 : 4)), 0);
		ck_assert_int_eq(load(&w.gone), 0);
		if (by_thread) {
			ck_assert_int_eq(pthread_create(&closer, NULL,
			    close_and_reuse, NULL), 0);
			pthread_join(closer, NULL);
		} else {
			close_and_reuse(NULL);
		}
		while (load(&w.gone) < n)
			test_result(co_sleep(CO_US(100)), 0);
		if (n > 1)
			pthread_join(thread, NULL);
	}
	test_result(s.status, 0);
	check_stranger();
	close(pair[1]);
	if (w.fd[1] >= 0)
		test_result(co_close(w.fd[1]), 0);
}

static int
close_all_ways(void *arg)
{
	int i;

	(void)arg;
	for (i = 0; i < WAYS; i++) {
		close_under(&ways[i], false);
		close_under(&ways[i], true);
	}
	return 0;
}

TEST(close_ends_every_kind_of_wait_and_no_stranger_is_touched)
{
	test_blackhole_open(&hole);
	FOR_WORKERS(n)
		test_result(test_run(n, close_all_ways, NULL), 0);
	test_blackhole_close(&hole);
}

/* --- the number ----------------------------------------------------------- */

static int left;

static int
wait_until_closed(void *arg)
{
	const struct way *way = &ways[(intptr_t)arg % 4];

	test_result(way->wait(w.fd[0]), -EBADF);
	left++;
	return 0;
}

static int
close_under_waiters(void *arg)
{
	struct co_scope s;
	int i, other = -1;

	(void)arg;
	test_pair(w.fd);
	left = 0;
	co_scope(s) {
		for (i = 0; i < 8; i++)
			co_spawn(wait_until_closed, (void *)(intptr_t)i);
		co_sleep(CO_MS(2));
		test_result(co_close(w.fd[0]), 0);
		test_result(co_close(w.fd[0]), -EBADF);
		/* With one worker nobody has left yet. */
		other = dup(w.fd[1]);
		ck_assert_int_ne(other, w.fd[0]);
		test_result(co_read(w.fd[0], &(char){ 0 }, 1), -EBADF);
	}
	test_result(s.status, 0);
	ck_assert_int_eq(left, 8);
	ck_assert_int_eq(fcntl(w.fd[0], F_GETFD), -1);
	test_result(co_close(other), 0);
	return co_close(w.fd[1]);
}

TEST(close_wakes_all_and_keeps_the_number_until_they_left)
{
	test_result(test_run(1, close_under_waiters, NULL), 0);
}

/* --- races ---------------------------------------------------------------- */

struct race {
	chan(int) close;	/* to a thread that closes */
	bool by_thread;
};

static int
close_soon(void *arg)
{
	int i, n = (int)((intptr_t)arg % 50);

	for (i = 0; i < n; i++)
		co_yield();
	return co_close(w.fd[0]);
}

static void *
closer_thread(void *arg)
{
	struct race *r = arg;
	int i, n = 0;

	chan_each(int, fd, r->close) {
		for (i = n++ % 50 * 20; i > 0; i--)
			__asm__ volatile ("");
		test_result(co_close(fd), 0);
	}
	return NULL;
}

/* Of the first use, which finds out what it is, TSan says that it races with
   close(2); fd.c finds that out afterwards. */
static void
use(int fd)
{
	(void)!co_select(co_on_readable(fd), co_otherwise);
}

static int
race_round(const struct way *way, struct race *r, int i)
{
	struct co_scope s;
	int code = 0;

	way->open(w.fd);
	if (TEST_TSAN || i % 2)
		use(w.fd[0]);
	co_scope(s) {
		if (r->by_thread)
			test_result(chan_send(r->close, w.fd[0]), 0);
		else
			co_spawn(close_soon, (void *)(intptr_t)i);
		code = way->wait(w.fd[0]);
	}
	test_result(s.status, 0);
	/* The thread may have been faster than we were. */
	ck_assert_msg(code == -EBADF, "%s: %d", way->name, code);
	return w.fd[1] < 0 ? 0 : co_close(w.fd[1]);
}

static int
close_races(void *arg)
{
	int i, k, n = (int)test_count(200, 100000);

	for (k = 0; k < WAYS; k++)
		for (i = 0; i < n; i++)
			test_result(race_round(&ways[k], arg, i), 0);
	return 0;
}

static void
race(int workers, bool by_thread)
{
	struct race r = { .close = chan_new(int, 1), .by_thread = by_thread };
	pthread_t t;

	if (by_thread)
		ck_assert_int_eq(pthread_create(&t, NULL, closer_thread, &r),
		    0);
	test_result(test_run(workers, close_races, &r), 0);
	test_result(chan_close(r.close), 0);
	if (by_thread)
		pthread_join(t, NULL);
	chan_unref(r.close);
}

TEST(close_against_a_wait_ends_the_wait, .seconds = 600)
{
	test_blackhole_open(&hole);
	FOR_WORKERS(n) {
		race(n, false);
		race(n, true);
	}
	test_blackhole_close(&hole);
}

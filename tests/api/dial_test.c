/* SPDX-License-Identifier: MIT */
/*
 * dial_test.c - connecting where nobody listens, or nobody answers.
 */
#include "harness.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <weft/io.h>
#include <weft/scope.h>

static int
refused(void *arg)
{
	char text[64];
	int fd = co_listen("tcp:127.0.0.1:0");

	(void)arg;
	test_result(co_address(fd, text, sizeof text), 0);
	test_result(co_address(fd, text + 40, 5), -EMSGSIZE);
	test_result(co_listen(text), -EADDRINUSE);
	test_result(co_close(fd), 0);
	test_result(co_dial(text), -ECONNREFUSED);
	test_result(co_dial("unix:/nonexistent/socket"), -ENOENT);
	test_result(co_dial("unix:@nobody-is-here"), -ECONNREFUSED);
	return 0;
}

TEST(nobody_listens)
{
	FOR_WORKERS(w)
		test_result(test_run(w, refused, NULL), 0);
	test_result(refused(NULL), 0);
}

/* Two ways to connect to it; the descriptor, or why not. */
static int
dial(const struct test_blackhole *b)
{
	char text[64];

	snprintf(text, sizeof text, "tcp:127.0.0.1:%d", b->port);
	return co_dial(text);
}

static int
connect_to(const struct test_blackhole *b)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
	    .sin_port = htons(b->port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = co_socket(AF_INET, SOCK_STREAM, 0), code;

	code = co_connect(fd, (struct sockaddr *)&sa, sizeof sa);
	test_result(co_close(fd), 0);
	return code;
}

static int
cancel_soon(void *arg)
{
	test_result(co_sleep(CO_MS(5)), 0);
	co_cancel(arg);
	return 0;
}

static bool turned;		/* [atomic] */

static int
take_a_turn(void *arg)
{
	(void)arg;
	__atomic_store_n(&turned, true, __ATOMIC_RELAXED);
	return 0;
}

/* At once: where there is one worker, nobody else gets a turn. */
static void
reach_too_late(int (*fn)(const struct test_blackhole *),
    const struct test_blackhole *b, bool alone)
{
	static const co_time past[] = { 1, 0, INT64_MIN };
	struct co_scope s;
	co_time start;
	size_t i;

	for (i = 0; i < 3; i++) {
		__atomic_store_n(&turned, false, __ATOMIC_RELAXED);
		if (alone)
			test_result(co_spawn(take_a_turn, NULL), 0);
		start = co_now();
		co_scope(s, .deadline = past[i], .timeout = past[i] ? 0 : -1) {
			test_result(fn(b), -ETIMEDOUT);
			ck_assert(!__atomic_load_n(&turned, __ATOMIC_RELAXED));
		}
		test_result(s.status, -ETIMEDOUT);
		test_between(co_now() - start, 0, TEST_SOON);
		co_yield();
	}
}

static void
reach(int (*fn)(const struct test_blackhole *), const struct test_blackhole *b,
    bool alone)
{
	struct co_scope s;
	co_time start;

	start = co_now();
	co_timeout(CO_MS(50))
		test_result(fn(b), -ETIMEDOUT);
	test_between(co_now() - start, CO_MS(50), TEST_SOON);
	reach_too_late(fn, b, alone);
	if (!co_inside())
		return;
	/* A deadline that no addition may carry over: never. */
	co_scope(s, .deadline = INT64_MAX) {
		co_spawn(cancel_soon, &s);
		test_result(fn(b), -ECANCELED);
	}
	co_scope(s, .timeout = INT64_MAX) {
		co_spawn(cancel_soon, &s);
		test_result(fn(b), -ECANCELED);
	}
}

static int
dial_nowhere(void *arg)
{
	struct test_blackhole b;

	test_blackhole_open(&b);
	reach(dial, &b, arg && *(int *)arg == 1);
	reach(connect_to, &b, arg && *(int *)arg == 1);
	test_blackhole_close(&b);
	return 0;
}

TEST(a_deadline_ends_a_dial)
{
	FOR_WORKERS(w)
		test_result(test_run(w, dial_nowhere, &w), 0);
	test_result(dial_nowhere(NULL), 0);
}

static co_time gap;		/* the longest between two of its turns */

static int
look_at_gaps(void *arg)
{
	co_time last = co_now(), now;

	(void)arg;
	while (co_sleep(CO_MS(5)) == 0) {
		now = co_now();
		if (now - last > gap)
			gap = now - last;
		last = now;
	}
	return 0;
}

/* 0 is a blocking socket: its connect(2) to where nobody answers takes 2 s, and
   is none to where somebody does. */
static int
connect_0(void *arg)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval two = { 2, 0 };
	struct test_blackhole b;
	struct co_scope s;
	char text[64];
	int fd, code = 0;

	if (arg) {
		fd = co_listen("tcp:127.0.0.1:0");
		test_result(co_address(fd, text, sizeof text), 0);
		sa.sin_port = htons((uint16_t)atoi(strrchr(text, ':') + 1));
	} else {
		test_blackhole_open(&b);
		sa.sin_port = htons(b.port);
	}
	close(0);
	ck_assert_int_eq(socket(AF_INET, SOCK_STREAM, 0), 0);
	ck_assert_int_eq(setsockopt(0, SOL_SOCKET, SO_SNDTIMEO, &two,
	    sizeof two), 0);
	gap = 0;
	co_scope(s) {
		test_result(co_spawn(look_at_gaps, NULL), 0);
		test_result(co_sleep(CO_MS(20)), 0);
		co_timeout(CO_MS(300))
			code = co_connect(0, (struct sockaddr *)&sa, sizeof sa);
		co_cancel(&s);
	}
	test_result(code, arg ? 0 : -ETIMEDOUT);
	ck_assert(!(fcntl(0, F_GETFL) & O_NONBLOCK));
	test_between(gap, 0, CO_SEC(1));
	return 0;
}

static int
connect_0_child(void *arg)
{
	return test_run(1, connect_0, arg) == 0 ? 0 : 1;
}

TEST(a_blocking_standard_descriptor_connects_and_blocks_nobody)
{
	struct test_child c = test_child(connect_0_child, "to a listener");

	ck_assert_msg(c.code == 0, "%d %d %s", c.code, c.signal, c.err);
	c = test_child(connect_0_child, NULL);
	ck_assert_msg(c.code == 0, "%d %d %s", c.code, c.signal, c.err);
}

/* SPDX-License-Identifier: MIT */
/*
 * inject/dial_test.c - names with several addresses, some of which lead
 * nowhere.
 *
 * All addresses are of this machine; one that does not answer is a listener
 * whose queue is full.
 */
#include "harness.h"
#include "inject/fault.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <weft/io.h>
#include <weft/scope.h>

static char address[64];	/* tcp:name.test:PORT */
static int port;
static int listener = -1;	/* at 127.0.0.1 */

static void
listen_here(void)
{
	char at[64];

	listener = co_listen("tcp:127.0.0.1:0");
	ck_assert_int_ge(listener, 0);
	test_result(co_address(listener, at, sizeof at), 0);
	port = atoi(strrchr(at, ':') + 1);
	snprintf(address, sizeof address, "tcp:name.test:%d", port);
}

/* The same port at 127.0.0.2 takes no more connections. */
enum { FILLERS = 8 };
static int deaf = -1, filler[FILLERS];

static void
be_deaf(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
	    .sin_port = htons((uint16_t)port) };
	int i;

	inet_pton(AF_INET, "127.0.0.2", &a.sin_addr);
	deaf = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(deaf, (struct sockaddr *)&a, sizeof a), 0);
	ck_assert_int_eq(listen(deaf, 0), 0);
	for (i = 0; i < FILLERS; i++) {
		filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)!connect(filler[i], (struct sockaddr *)&a, sizeof a);
	}
}

static void
hear_again(void)
{
	int i;

	for (i = 0; i < FILLERS; i++)
		close(filler[i]);
	close(deaf);
}

static void
dial(int want)
{
	int fd = co_dial(address), other;

	if (want < 0) {
		test_result(fd, want);
		return;
	}
	ck_assert_int_ge(fd, 0);
	other = co_accept(listener, NULL, NULL);
	ck_assert_int_ge(other, 0);
	co_close(other);
	co_close(fd);
}

static int
refused_then_good(void *arg)
{
	static const char *const list[] = { "127.0.0.3", "127.0.0.2", "::1",
		"127.0.0.1", NULL };

	(void)arg;
	listen_here();
	fault_hosts(list);
	dial(0);
	co_close(listener);
	dial(-ECONNREFUSED);
	return 0;
}

TEST(the_next_address_is_tried_when_one_refuses)
{
	test_result(test_run(1, refused_then_good, NULL), 0);
	test_result(test_run(2, refused_then_good, NULL), 0);
}

static int
deaf_then_good(void *arg)
{
	static const char *const list[] = { "127.0.0.2", "127.0.0.1", NULL };
	int64_t begin;

	(void)arg;
	listen_here();
	be_deaf();
	fault_hosts(list);
	begin = test_now();
	dial(0);
	test_between(test_now() - begin, 200000000, INT64_MAX);
	hear_again();
	co_close(listener);
	return 0;
}

TEST(the_next_address_is_tried_when_one_does_not_answer)
{
	test_result(test_run(1, deaf_then_good, NULL), 0);
}

static int
only_deaf(void *arg)
{
	static const char *const list[] = { "127.0.0.2", "127.0.0.2", NULL };

	(void)arg;
	listen_here();
	be_deaf();
	fault_hosts(list);
	co_timeout(CO_MS(400)) {
		dial(-ETIMEDOUT);
	}
	hear_again();
	co_close(listener);
	return 0;
}

TEST(a_deadline_ends_all_attempts)
{
	test_result(test_run(1, only_deaf, NULL), 0);
}

/* A plain thread tries one after the other. */
static void *
dial_in_a_thread(void *arg)
{
	dial(*(int *)arg);
	return NULL;
}

static int
thread_dials(void *arg)
{
	static const char *const list[] = { "127.0.0.3", "127.0.0.1", NULL };
	int want = 0;
	pthread_t t;

	(void)arg;
	listen_here();
	fault_hosts(list);
	ck_assert_int_eq(pthread_create(&t, NULL, dial_in_a_thread, &want), 0);
	pthread_join(t, NULL);
	co_close(listener);
	want = -ECONNREFUSED;
	ck_assert_int_eq(pthread_create(&t, NULL, dial_in_a_thread, &want), 0);
	pthread_join(t, NULL);
	return 0;
}

TEST(a_thread_tries_one_address_after_the_other)
{
	test_result(test_run(2, thread_dials, NULL), 0);
}

/* Each call on the way fails once: another address does, or an error. */
static int
calls_fail(void *arg)
{
	static const char *const list[] = { "127.0.0.3", "127.0.0.1",
		"127.0.0.1", NULL };
	struct fault f = { .times = 1,
	    .only = " socket connect getsockopt getpeername epoll_ctl calloc "
	    "malloc realloc fstat " };
	int fd, other;
	uint64_t hits;

	(void)arg;
	listen_here();
	fault_hosts(list);
	do {
		f.from++;
		for (f.variant = 0; f.variant < 4; f.variant++) {
			fault_arm(&f);
			fd = co_dial(address);
			hits = fault_disarm();
			ck_assert_int_ne(fd, -EBADF);
			co_close(fd);
			co_timeout(CO_MS(1)) {
				while ((other = co_accept(listener, NULL,
				    NULL)) >= 0)
					co_close(other);
			}
		}
	} while (hits);
	co_close(listener);
	return 0;
}

TEST(an_attempt_fails_in_each_of_its_calls)
{
	test_result(test_run(1, calls_fail, NULL), 0);
}

/* All that a lookup may say. */
static int
lookup_fails(void *arg)
{
	static const int want[] = { -ENOMEM, -EMFILE, -EHOSTUNREACH, -EIO,
		-ENOENT };
	struct fault f = { .from = 1, .only = " getaddrinfo " };

	(void)arg;
	for (f.variant = 0; f.variant < 5; f.variant++) {
		fault_arm(&f);
		test_result(co_dial("tcp:name.test:1"), want[f.variant]);
		test_result(co_listen("tcp:name.test:1"), want[f.variant]);
		fault_disarm();
	}
	return 0;
}

TEST(a_lookup_that_fails_says_why)
{
	test_result(test_run(1, lookup_fails, NULL), 0);
}

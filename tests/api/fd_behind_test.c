/* SPDX-License-Identifier: MIT */
/*
 * fd_behind_test.c - descriptors that libraries close with close(2), behind our
 * back, while the loop still watches them; and when the kernel lets go of a
 * file that was closed in front of it.
 */
#include "harness.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <weft/chan.h>
#include <weft/io.h>
#include <weft/scope.h>

static int
write_soon(void *arg)
{
	co_sleep(CO_MS(3));
	return co_write(*(int *)arg, "x", 1) == 1 ? 0 : -EIO;
}

/* From here on the loop watches fd[0]. */
static void
read_one(int fd[2])
{
	struct co_scope s;
	char c;

	co_scope(s) {
		co_spawn(write_soon, &fd[1]);
		test_result(co_read(fd[0], &c, 1), 1);
	}
	test_result(s.status, 0);
}

/* --- watched, and closed -------------------------------------------------- */

static int
close_watched(void *arg)
{
	int fd[2];

	(void)arg;
	test_pair(fd);
	read_one(fd);
	close(fd[0]);
	co_sleep(CO_MS(20));		/* the loop goes on */
	test_result(co_close(fd[1]), 0);
	return 0;
}

TEST(a_watched_descriptor_may_be_closed_by_others)
{
	FOR_WORKERS(w)
		test_result(test_run(w, close_watched, NULL), 0);
}

/*
 * epoll still tells of a file that lives on as a duplicate; libev then makes
 * itself a new set of all that is watched, also of what is closed.
 */
static int
make_a_new_set(void *arg)
{
	int closed[2], living[2], copy;
	char c;

	(void)arg;
	test_pair(closed);
	test_pair(living);
	read_one(closed);
	read_one(living);
	copy = fcntl(living[0], F_DUPFD_CLOEXEC, 100);
	ck_assert_int_ge(copy, 100);
	close(closed[0]);
	test_result(co_close(living[0]), 0);
	ck_assert_int_eq(write(living[1], "y", 1), 1);
	co_sleep(CO_MS(20));
	co_sleep(CO_MS(20));
	test_result(co_read(copy, &c, 1), 1);
	ck_assert_int_eq(c, 'y');
	test_result(co_close(copy), 0);
	test_result(co_close(closed[1]), 0);
	return co_close(living[1]);
}

TEST(a_new_set_of_libevs_leaves_out_what_is_closed)
{
	FOR_WORKERS(w)
		test_result(test_run(w, make_a_new_set, NULL), 0);
}

/* --- the same number again, before the next round -------------------------- */

static void
fill(int fd)
{
	static char bytes[65536];

	while (send(fd, bytes, sizeof bytes, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		continue;
}

static int
drain_soon(void *arg)
{
	static char bytes[65536];

	co_sleep(CO_MS(5));
	while (recv(*(int *)arg, bytes, sizeof bytes, MSG_DONTWAIT) > 0)
		continue;
	return 0;
}

static int
wait_fd_writable(int fd)
{
	return co_wait_fd(fd, CO_WRITE);
}

static int
select_writable(int fd)
{
	int status = 1, n = co_select(co_on_writable(fd, &status));

	return n == 0 && status == 0 ? (int)CO_WRITE : -EIO;
}

/* Full, so that the wait is one; its end is drained a little later. */
static void
wait_until_drained(int fd, int *end, int (*wait)(int))
{
	struct co_scope s;

	fill(fd);
	co_scope(s, .timeout = CO_SEC(10)) {
		co_spawn(drain_soon, end);
		test_result(wait(fd), CO_WRITE);
	}
	test_result(s.status, 0);
}

static int
write_to_the_next(void *arg)
{
	int (*ways[])(int) = { wait_fd_writable, select_writable };
	char at[64];
	int i, l, fd, end, next[2];

	(void)arg;
	snprintf(at, sizeof at, "unix:@weft-behind-%d", (int)getpid());
	l = co_listen(at);
	test_result(l >= 0, 1);
	for (i = 0; i < 2; i++) {
		fd = co_dial(at);
		end = co_accept(l, NULL, NULL);
		wait_until_drained(fd, &end, ways[i]);
		close(fd);
		test_pair(next);
		/* Nobody has had a turn since: it is the same number. */
		ck_assert_int_eq(next[0], fd);
		wait_until_drained(next[0], &next[1], ways[i]);
		test_result(co_close(next[0]), 0);
		test_result(co_close(next[1]), 0);
		test_result(co_close(end), 0);
	}
	return co_close(l);
}

TEST(the_next_file_by_a_number_is_told_to_the_kernel)
{
	test_result(test_run(1, write_to_the_next, NULL), 0);
}

/* Read events that nobody wants put the watch out, too. */
static int events[3];		/* two that are read, one that is replaced */
static const uint64_t one = 1;

static int
count_soon(void *arg)
{
	co_sleep(CO_MS(5));
	return co_write(*(int *)arg, &one, 8) == 8 ? 0 : -EIO;
}

static int
pass_on(void *arg)
{
	uint64_t v;

	(void)arg;
	test_result(co_read(events[0], &v, 8), 8);
	ck_assert_int_eq(write(events[1], &one, 8), 8);
	return 0;
}

static int
replace(void *arg)
{
	struct co_scope s;
	uint64_t v;
	int fd;

	(void)arg;
	test_result(co_read(events[1], &v, 8), 8);
	close(events[2]);
	fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	ck_assert_int_eq(fd, events[2]);
	co_scope(s, .timeout = CO_SEC(10)) {
		co_spawn(count_soon, &fd);
		test_result(co_read(fd, &v, 8), 8);
	}
	return s.status;
}

static int
read_the_next(void *arg)
{
	struct co_scope s;
	uint64_t v;
	int i;

	(void)arg;
	for (i = 0; i < 3; i++)
		events[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	co_scope(s) {
		co_spawn(count_soon, &events[2]);
		test_result(co_read(events[2], &v, 8), 8);
		co_spawn(pass_on, NULL);
		co_spawn(replace, NULL);
		co_sleep(CO_MS(10));
		ck_assert_int_eq(write(events[2], &one, 8), 8);
		ck_assert_int_eq(write(events[0], &one, 8), 8);
	}
	for (i = 0; i < 3; i++)
		test_result(co_close(events[i]), 0);
	return s.status;
}

TEST(the_next_eventfd_by_a_number_is_told_to_the_kernel)
{
	test_result(test_run(1, read_the_next, NULL), 0);
}

/* --- in front of us, while the loop sleeps --------------------------------- */

struct closing {
	chan(int) go;
	int fd[2];
};

static void *
close_in_a_thread(void *arg)
{
	struct closing *c = arg;
	struct pollfd end = { .fd = c->fd[1], .events = POLLIN };
	int v;

	test_result(chan_recv(c->go, &v), 0);
	co_sleep(CO_MS(300));		/* the worker sleeps for good by now */
	test_result(co_close(c->fd[0]), 0);
	ck_assert_int_eq(poll(&end, 1, 10000), 1);
	test_result(chan_send(c->go, 2), 0);
	return NULL;
}

static int
sleep_meanwhile(void *arg)
{
	struct closing *c = arg;
	int v;

	read_one(c->fd);
	test_result(chan_send(c->go, 1), 0);
	return chan_recv(c->go, &v);
}

TEST(the_other_end_sees_a_close_at_once)
{
	FOR_WORKERS(w) {
		struct closing c = { .go = chan_new(int, 0) };
		pthread_t t;

		test_pair(c.fd);
		ck_assert_int_eq(pthread_create(&t, NULL, close_in_a_thread,
		    &c), 0);
		test_result(test_run(w, sleep_meanwhile, &c), 0);
		pthread_join(t, NULL);
		close(c.fd[1]);
		chan_unref(c.go);
	}
}

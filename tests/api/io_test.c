/* SPDX-License-Identifier: MIT */
/*
 * io_test.c - reading, writing and waiting.  Closing: fd_close_test.c.
 */
#include "harness.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include <weft/io.h>
#include <weft/scope.h>

static int fds[2];

static void
make_pipe(int fd[2])
{
	ck_assert_int_eq(pipe2(fd, O_CLOEXEC), 0);
}

/* --- the plain calls ------------------------------------------------------ */

static int
write_later(void *arg)
{
	test_result(co_sleep(CO_MS(5)), 0);
	test_result(co_write(*(int *)arg, "hello", 5), 5);
	return 0;
}

static int
read_what_comes_later(void *arg)
{
	char buf[16];
	int i;

	(void)arg;
	for (i = 0; i < 2; i++) {
		if (i == 0)
			test_pair(fds);
		else
			make_pipe(fds);
		co_spawn(write_later, &fds[1]);
		test_result(co_read(fds[0], buf, sizeof buf), 5);
		ck_assert_int_eq(memcmp(buf, "hello", 5), 0);
		ck_assert(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
		test_result(co_close(fds[1]), 0);
		test_result(co_read(fds[0], buf, sizeof buf), 0);
		test_result(co_read(fds[0], buf, sizeof buf), 0);
		test_result(co_close(fds[0]), 0);
		test_result(co_read(fds[0], buf, sizeof buf), -EBADF);
		test_result(co_close(fds[0]), -EBADF);
	}
	test_result(co_read(-1, buf, 1), -EBADF);
	return 0;
}

TEST(read_waits_for_bytes_and_gives_0_at_the_end)
{
	FOR_WORKERS(w)
		test_result(test_run(w, read_what_comes_later, NULL), 0);
}

/* Above all that the library has room for, too. */
static int
not_open(void *arg)
{
	static const int nums[] = { -1, 1000, 1000000000, INT32_MAX };
	char buf[1] = { 0 };
	int i, status;

	(void)arg;
	for (i = 0; i < 4; i++) {
		test_result(co_read(nums[i], buf, 1), -EBADF);
		test_result(co_write(nums[i], buf, 1), -EBADF);
		test_result(co_wait_fd(nums[i], CO_READ), -EBADF);
		test_result(co_accept(nums[i], NULL, NULL), -EBADF);
		test_result(co_close(nums[i]), -EBADF);
		status = 1;
		test_result(co_select(co_on_readable(nums[i], &status),
		    co_on_timeout(CO_SEC(5))), 0);
		test_result(status, -EBADF);
	}
	return 0;
}

TEST(a_number_that_is_not_open_is_ebadf_however_large)
{
	FOR_WORKERS(w)
		test_result(test_run(w, not_open, NULL), 0);
	test_result(not_open(NULL), 0);
}

static int
vectors(void *arg)
{
	char a[3], b[4];
	struct iovec in[] = { { a, 3 }, { b, 4 } };
	struct iovec out[] = { { (char[]){ "ab" }, 2 }, { (char[]){ "cdefg" },
	    5 } };

	(void)arg;
	test_pair(fds);
	test_result(co_writev(fds[1], out, 2), 7);
	test_result(co_readv(fds[0], in, 2), 7);
	ck_assert_int_eq(memcmp(a, "abc", 3), 0);
	ck_assert_int_eq(memcmp(b, "defg", 4), 0);
	test_result(co_writev(fds[1], out, -1), -EINVAL);
	test_result(co_readv(fds[0], in, 0), 0);
	test_result(co_read(fds[0], a, 0), 0);
	test_result(co_write(fds[0], a, 0), 0);
	test_close_pair(fds);
	return 0;
}

TEST(vectors_and_nothing_at_all)
{
	test_result(test_run(1, vectors, NULL), 0);
}

/* --- much ----------------------------------------------------------------- */

enum { MUCH = 16 << 20 };

static uint32_t
sum(uint32_t s, const unsigned char *p, size_t n)
{
	while (n-- > 0)
		s = s * 31 + *p++;
	return s;
}

static int
write_much(void *arg)
{
	size_t n = test_count(MUCH, 4 * (size_t)MUCH), i;
	unsigned char *p = malloc(n);

	for (i = 0; i < n; i++)
		p[i] = (unsigned char)(i * 7 + i / 4096);
	test_result(co_write_full(fds[1], p, n), (ssize_t)n);
	*(uint32_t *)arg = sum(0, p, n);
	free(p);
	return co_close(fds[1]);
}

static int
read_much(void *arg)
{
	unsigned char buf[3000];
	uint32_t want = 0, got = 0;
	struct co_task t;
	bool is_pipe = arg != NULL;
	ssize_t n;

	if (is_pipe)
		make_pipe(fds);
	else
		test_pair(fds);
	test_result(co_fork(&t, write_much, &want), 0);
	while ((n = co_read(fds[0], buf, sizeof buf)) > 0)
		got = sum(got, buf, (size_t)n);
	test_result(n, 0);
	test_result(co_join(&t), 0);
	ck_assert_uint_eq(got, want);
	return co_close(fds[0]);
}

TEST(a_lot_of_bytes_arrive_in_order)
{
	FOR_WORKERS(w) {
		test_result(test_run(w, read_much, NULL), 0);
		test_result(test_run(w, read_much, "a pipe"), 0);
	}
}

static int
byte_by_byte(void *arg)
{
	int i;

	(void)arg;
	for (i = 0; i < 50; i++) {
		test_result(co_write(fds[1], &(char){ (char)i }, 1), 1);
		co_sleep(CO_US(100));
	}
	return co_close(fds[1]);
}

static int
read_exactly(void *arg)
{
	char buf[40];

	(void)arg;
	test_pair(fds);
	co_spawn(byte_by_byte, NULL);
	test_result(co_read_full(fds[0], buf, 40), 40);
	ck_assert_int_eq(buf[39], 39);
	test_result(co_read_full(fds[0], buf, 40), 10);
	test_result(co_read_full(fds[0], buf, 40), 0);
	return co_close(fds[0]);
}

TEST(read_full_is_short_only_at_the_end)
{
	test_result(test_run(2, read_exactly, NULL), 0);
}

/* --- one descriptor, many coroutines -------------------------------------- */

static int got_one;

static int
read_one(void *arg)
{
	char c;

	(void)arg;
	test_result(co_read(fds[0], &c, 1), 1);
	__atomic_add_fetch(&got_one, 1, __ATOMIC_SEQ_CST);
	return 0;
}

static int
many_readers(void *arg)
{
	struct co_scope s;
	int i;

	(void)arg;
	got_one = 0;
	test_pair(fds);
	co_scope(s) {
		for (i = 0; i < 100; i++)
			co_spawn(read_one, NULL);
		co_sleep(CO_MS(2));
		for (i = 0; i < 100; i++)
			test_result(co_write(fds[1], "x", 1), 1);
	}
	test_result(s.status, 0);
	ck_assert_int_eq(got_one, 100);
	test_close_pair(fds);
	return 0;
}

TEST(any_number_may_wait_on_one_descriptor)
{
	FOR_WORKERS(w)
		test_result(test_run(w, many_readers, NULL), 0);
}

static int
echo(void *arg)
{
	char buf[64];
	ssize_t n;

	while ((n = co_read(*(int *)arg, buf, sizeof buf)) > 0)
		test_result(co_write_full(*(int *)arg, buf, (size_t)n), n);
	return (int)n;
}

struct talk {
	int fd[2];
	int rounds;
};

static int
talk(void *arg)
{
	struct talk *t = arg;
	char buf[64] = { 0 };
	int i;

	for (i = 0; i < t->rounds; i++) {
		buf[0] = (char)i;
		test_result(co_write_full(t->fd[1], buf, 64), 64);
		buf[0] = 0;
		test_result(co_read_full(t->fd[1], buf, 64), 64);
		ck_assert_int_eq(buf[0], (char)i);
	}
	return co_close(t->fd[1]);
}

static int
many_talks(void *arg)
{
	static struct talk t[50];
	int i, rounds = (int)test_count(500, 20000);

	(void)arg;
	for (i = 0; i < 50; i++) {
		test_pair(t[i].fd);
		t[i].rounds = rounds;
		co_spawn(echo, &t[i].fd[0]);
		co_spawn(talk, &t[i]);
	}
	return 0;
}

static int
run_talks(void *arg)
{
	struct co_scope s;

	co_scope(s)
		many_talks(arg);
	return s.status;
}

TEST(many_conversations_lose_nothing, .leaves_fds = true)
{
	FOR_WORKERS(w)
		test_result(test_run(w, run_talks, NULL), 0);
}

/* --- closed behind our back ----------------------------------------------- */

static int
write_x(void *arg)
{
	(void)arg;
	return co_write(fds[1], "x", 1) == 1 ? 0 : -EIO;
}

static int
plain_close(void *arg)
{
	int i, last = -1, reused = 0, n = (int)test_count(200, 2000);
	struct co_scope s;
	char c;

	(void)arg;
	for (i = 0; i < n; i++) {
		if (i % 3 == 0)
			make_pipe(fds);
		else
			test_pair(fds);
		reused += fds[0] == last;
		last = fds[0];
		co_scope(s) {
			if (i % 2)
				co_spawn(write_x, NULL);
			else
				test_result(co_write(fds[1], "x", 1), 1);
			test_result(co_read(fds[0], &c, 1), 1);
		}
		test_result(s.status, 0);
		close(fds[0]);
		close(fds[1]);
		test_result(co_read(fds[0], &c, 1), -EBADF);
	}
	ck_assert_int_gt(reused, n / 2);
	return 0;
}

TEST(a_number_that_was_closed_by_others_is_looked_at_anew)
{
	FOR_WORKERS(w)
		if (w <= 2)
			test_result(test_run(w, plain_close, NULL), 0);
}

static int
trusted_then_closed(void *arg)
{
	struct co_scope s;
	int i, k;
	char c[2];

	(void)arg;
	for (k = 0; k < 3; k++) {
		test_pair(fds);
		for (i = 0; i < 40; i++) {
			co_scope(s) {
				co_spawn(write_x, NULL);
				test_result(co_read(fds[0], c, 2), 1);
			}
		}
		close(fds[0]);
		close(fds[1]);
	}
	return 0;
}

TEST(what_was_learned_of_a_descriptor_does_not_hang_its_successor)
{
	test_result(test_run(1, trusted_then_closed, NULL), 0);
	test_result(test_run(2, trusted_then_closed, NULL), 0);
}

/* --- duplicates ----------------------------------------------------------- */

static int
duplicates(void *arg)
{
	struct co_scope s;
	int copy, other[2];
	char c;

	(void)arg;
	test_pair(fds);
	co_scope(s) {
		co_spawn(write_x, NULL);
		test_result(co_read(fds[0], &c, 1), 1);
	}
	copy = fcntl(fds[0], F_DUPFD_CLOEXEC, 100);
	test_result(co_close(fds[0]), 0);
	/* Events for the old file come still; nobody must get them. */
	test_result(co_write(fds[1], "stranger", 8), 8);
	test_pair(other);
	if (other[1] == fds[0]) {	/* a lower number was free */
		other[1] = other[0];
		other[0] = fds[0];
	} else if (other[0] != fds[0]) {
		ck_assert_int_eq(dup3(other[0], fds[0], O_CLOEXEC), fds[0]);
		test_result(co_close(other[0]), 0);
		other[0] = fds[0];
	}
	co_timeout(CO_MS(30))
		test_result(co_read(other[0], &c, 1), -ETIMEDOUT);
	test_result(co_write(other[1], "y", 1), 1);
	test_result(co_read(other[0], &c, 1), 1);
	ck_assert_int_eq(c, 'y');
	test_close_pair(other);
	test_result(co_read(copy, &c, 1), 1);
	ck_assert_int_eq(c, 's');
	test_result(co_close(copy), 0);
	return co_close(fds[1]);
}

TEST(events_of_a_duplicate_reach_no_stranger)
{
	FOR_WORKERS(w)
		test_result(test_run(w, duplicates, NULL), 0);
}

/* --- cancelling ----------------------------------------------------------- */

static int
deadlines(void *arg)
{
	co_time start;
	char c;

	(void)arg;
	test_pair(fds);
	start = co_now();
	co_timeout(CO_MS(20))
		test_result(co_read(fds[0], &c, 1), -ETIMEDOUT);
	test_between(co_now() - start, CO_MS(20), CO_SEC(2));
	test_result(co_write(fds[1], "x", 1), 1);
	co_timeout(0)
		test_result(co_read(fds[0], &c, 1), -ETIMEDOUT);
	test_result(co_read(fds[0], &c, 1), 1);
	test_close_pair(fds);
	return 0;
}

TEST(a_deadline_ends_a_read_and_takes_nothing)
{
	FOR_WORKERS(w)
		test_result(test_run(w, deadlines, NULL), 0);
	test_result(deadlines(NULL), 0);	/* a plain thread */
}

static int
blocked_writer(void *arg)
{
	static char buf[1 << 20];

	(void)arg;
	test_result(co_write_full(fds[1], buf, sizeof buf), -EPIPE);
	return 0;
}

static int
no_signal(void *arg)
{
	struct co_scope s;
	int i;

	(void)arg;
	for (i = 0; i < 4; i++) {
		if (i % 2)
			test_pair(fds);
		else
			make_pipe(fds);
		if (i < 2) {
			test_result(co_close(fds[0]), 0);
			test_result(co_write(fds[1], "x", 1), -EPIPE);
			test_result(co_write(fds[1], "x", 1), -EPIPE);
		} else {
			co_scope(s) {
				co_spawn(blocked_writer, NULL);
				co_sleep(CO_MS(5));
				test_result(co_close(fds[0]), 0);
			}
		}
		test_result(co_close(fds[1]), 0);
	}
	return 0;
}

TEST(a_write_without_a_reader_gives_epipe_and_kills_nobody)
{
	FOR_WORKERS(w)
		test_result(test_run(w, no_signal, NULL), 0);
	signal(SIGPIPE, SIG_DFL);
}

/* What was an eventfd or a device when it was first used. */
static int
no_signal_behind_our_back(void *arg)
{
	uint64_t one = 1;
	int i, first;

	(void)arg;
	for (i = 0; i < 4; i++) {
		first = i % 2 ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) :
		    open("/dev/null", O_WRONLY | O_NONBLOCK | O_CLOEXEC);
		ck_assert_int_ge(first, 0);
		test_result(co_write(first, &one, sizeof one), sizeof one);
		if (i < 2)
			test_pair(fds);
		else
			make_pipe(fds);
		fcntl(fds[1], F_SETFL, O_NONBLOCK);
		ck_assert_int_eq(dup2(fds[1], first), first);
		test_close_pair(fds);
		test_result(co_write(first, "x", 1), -EPIPE);
		test_result(co_close(first), 0);
	}
	return 0;
}

TEST(a_number_that_became_a_pipe_or_a_socket_kills_nobody_either)
{
	FOR_WORKERS(w)
		test_result(test_run(w, no_signal_behind_our_back, NULL), 0);
}

/* Poll(2) says POLLERR of it, and nothing else. */
static int
error_on_a_full_pipe(void *arg)
{
	char buf[4096] = { 0 };
	int status = 1;

	(void)arg;
	make_pipe(fds);
	fcntl(fds[1], F_SETFL, O_NONBLOCK);
	while (write(fds[1], buf, sizeof buf) > 0)
		continue;
	test_result(co_close(fds[0]), 0);
	test_result(co_wait_fd(fds[1], CO_WRITE), CO_WRITE);
	test_result(co_select(co_on_writable(fds[1], &status)), 0);
	test_result(status, 0);
	test_result(co_write(fds[1], "x", 1), -EPIPE);
	return co_close(fds[1]);
}

TEST(an_error_makes_a_full_pipe_writable)
{
	FOR_WORKERS(w)
		test_result(test_run(w, error_on_a_full_pipe, NULL), 0);
}

/* --- signals -------------------------------------------------------------- */

static void
on_signal(int sig)
{
	(void)sig;
}

static void *
thread_reads(void *arg)
{
	char c = 0;

	test_result(co_read(*(int *)arg, &c, 1), 1);
	ck_assert_int_eq(c, 'x');
	return NULL;
}

/* It sits in poll(2), which a signal ends whatever SA_RESTART says. */
TEST(a_signal_does_not_end_a_threads_wait)
{
	struct sigaction sa = { .sa_handler = on_signal };
	struct timespec pause = { 0, 200000 };
	pthread_t t;
	int pair[2], i;

	sigaction(SIGUSR1, &sa, NULL);
	ck_assert_int_eq(pipe(pair), 0);
	ck_assert_int_eq(pthread_create(&t, NULL, thread_reads, &pair[0]), 0);
	for (i = 0; i < 200; i++) {
		pthread_kill(t, SIGUSR1);
		nanosleep(&pause, NULL);
	}
	ck_assert_int_eq(write(pair[1], "x", 1), 1);
	pthread_join(t, NULL);
	close(pair[0]);
	close(pair[1]);
}

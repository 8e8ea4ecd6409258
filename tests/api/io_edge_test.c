/* SPDX-License-Identifier: MIT */
/*
 * io_edge_test.c - half closes, closes under events, what cannot be polled;
 * numbers that come again or are forgotten; jobs and threads that use channels;
 * many events at once.
 */
#include "harness.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <weft.h>

static void
pair(int type, int fd[2])
{
	ck_assert_int_eq(socketpair(AF_UNIX, type | SOCK_CLOEXEC |
	    SOCK_NONBLOCK, 0, fd), 0);
}

/* --- half a close --------------------------------------------------------- */

enum { LOT = 2 * 1024 * 1024 };

static int
write_lot(void *arg)
{
	static char lot[LOT];
	int fd = *(int *)arg;

	test_result(co_write_full(fd, lot, LOT), LOT);
	test_result(co_close(fd), 0);
	return 0;
}

static int
half_main(void *arg)
{
	static char got[64 * 1024];
	ssize_t n, sum = 0;
	struct co_task t;
	int fd[2];

	(void)arg;
	pair(SOCK_STREAM, fd);
	test_result(co_write(fd[0], "ab", 2), 2);
	ck_assert_int_eq(shutdown(fd[0], SHUT_WR), 0);
	ck_assert_int_eq(shutdown(fd[0], SHUT_WR), 0);
	test_result(co_write(fd[0], "c", 1), -EPIPE);
	test_result(co_read(fd[1], got, sizeof got), 2);
	test_result(co_read(fd[1], got, sizeof got), 0);
	test_result(co_read(fd[1], got, sizeof got), 0);
	test_result(co_fork(&t, write_lot, &fd[1]), 0);
	while ((n = co_read(fd[0], got, sizeof got)) > 0)
		sum += n;
	test_result(n, 0);
	ck_assert_int_eq(sum, LOT);
	test_result(co_join(&t), 0);
	test_result(co_close(fd[0]), 0);
	return 0;
}

TEST(after_half_a_close_the_other_half_goes_on)
{
	FOR_WORKERS(w)
		test_result(test_run(w, half_main, NULL), 0);
}

/* --- both directions at once, and a close --------------------------------- */

static int
read_and_close(void *arg)
{
	int fd = *(int *)arg;
	char c = 0;

	test_result(co_read(fd, &c, 1), 1);
	ck_assert_int_eq(c, 'x');
	test_result(co_close(fd), 0);
	return 0;
}

static int
write_against_close(void *arg)
{
	int fd = *(int *)arg;
	int n = (int)co_write(fd, "y", 1);

	ck_assert_msg(n == 1 || n == -EBADF, "the writer got %d", n);
	return 0;
}

/* Fills the socket, so that a writer waits; then room and a byte come in one
   turn of the loop. */
static int
both_main(void *arg)
{
	static char block[4096];
	int i, n = (int)test_count(100, 10000), fd[2];
	struct co_task reader, writer;

	(void)arg;
	for (i = 0; i < n; i++) {
		pair(SOCK_STREAM, fd);
		while (write(fd[0], block, sizeof block) > 0)
			continue;
		ck_assert_int_eq(errno, EAGAIN);
		test_result(co_fork(&writer, write_against_close, &fd[0]), 0);
		test_result(co_fork(&reader, read_and_close, &fd[0]), 0);
		co_yield();
		ck_assert_int_eq(write(fd[1], "x", 1), 1);
		while (read(fd[1], block, sizeof block) > 0)
			continue;
		test_result(co_join(&reader), 0);
		test_result(co_join(&writer), 0);
		test_result(co_close(fd[1]), 0);
	}
	return 0;
}

TEST(a_close_while_both_directions_are_pending_is_safe)
{
	FOR_WORKERS(w)
		test_result(test_run(w, both_main, NULL), 0);
}

/* --- another file by the same number -------------------------------------- */

static struct {
	char name[40];
	int fd, writer;
	bool over;
} again;

static int
write_later(void *arg)
{
	(void)arg;
	test_result(co_sleep(CO_MS(20)), 0);
	ck_assert_int_eq(write(again.writer, "b", 1), 1);
	return 0;
}

static int
fifo_main(void *arg)
{
	struct co_scope s;
	int fd, anew;
	char c = 0;

	(void)arg;
	ck_assert_int_eq(mkfifo(again.name, 0600), 0);
	fd = open(again.name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	again.writer = open(again.name, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	ck_assert_int_ge(again.writer, 0);
	co_scope(s, .timeout = CO_SEC(10)) {
		test_result(co_spawn(write_later, NULL), 0);
		test_result(co_read(fd, &c, 1), 1);
	}
	test_result(s.status, 0);
	/* As a library does that closes it and opens it again. */
	anew = open(again.name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ck_assert_int_ge(anew, 0);
	ck_assert_int_eq(dup2(anew, fd), fd);
	close(anew);
	co_scope(s, .timeout = CO_SEC(10)) {
		test_result(co_spawn(write_later, NULL), 0);
		test_result(co_read(fd, &c, 1), 1);
	}
	test_result(s.status, 0);
	test_result(co_close(fd), 0);
	close(again.writer);
	unlink(again.name);
	return 0;
}

TEST(a_fifo_that_was_opened_anew_behind_our_back_is_still_told_of)
{
	snprintf(again.name, sizeof again.name, "/tmp/weft-fifo-%d",
	    (int)getpid());
	unlink(again.name);
	FOR_WORKERS(w)
		test_result(test_run(w, fifo_main, NULL), 0);
}

static int
file_main(void *arg)
{
	char name[] = "/tmp/weft-edge-XXXXXX", c = 0;
	int file = mkstemp(name), fd[2];
	struct co_scope s;

	(void)arg;
	ck_assert_int_ge(file, 0);
	unlink(name);
	test_result(co_read(file, &c, 1), 0);
	pair(SOCK_STREAM, fd);
	ck_assert_int_eq(dup2(fd[0], file), file);
	close(fd[0]);
	again.writer = fd[1];
	co_scope(s, .timeout = CO_SEC(10)) {
		test_result(co_spawn(write_later, NULL), 0);
		test_result(co_read(file, &c, 1), 1);
	}
	test_result(s.status, 0);
	ck_assert_int_eq(c, 'b');
	test_result(co_close(file), 0);
	test_result(co_close(fd[1]), 0);
	return 0;
}

TEST(a_file_whose_number_is_a_socket_now_is_waited_for)
{
	FOR_WORKERS(w)
		test_result(test_run(w, file_main, NULL), 0);
}

static int
set_over(void *arg)
{
	(void)arg;
	__atomic_store_n(&again.over, true, __ATOMIC_RELAXED);
	return 0;
}

static int
ready_main(void *arg)
{
	int fd[2];

	(void)arg;
	pair(SOCK_STREAM, fd);
	again.over = false;
	test_result(co_spawn(set_over, NULL), 0);
	while (!__atomic_load_n(&again.over, __ATOMIC_RELAXED))
		test_result(co_wait_fd(fd[0], CO_WRITE), CO_WRITE);
	test_result(co_close(fd[0]), 0);
	test_result(co_close(fd[1]), 0);
	return 0;
}

TEST(who_waits_for_what_is_always_ready_starves_nobody)
{
	FOR_WORKERS(w)
		test_result(test_run(w, ready_main, NULL), 0);
}

static int
forget_often(void *arg)
{
	(void)arg;
	while (!__atomic_load_n(&again.over, __ATOMIC_RELAXED)) {
		test_result(co_forget(again.fd), 0);
		co_yield();
	}
	return 0;
}

static int
forget_main(void *arg)
{
	int i, n = (int)test_count(40000, 1000000), k, status, fd[2];
	struct co_task t;

	(void)arg;
	pair(SOCK_STREAM, fd);
	again.fd = fd[0];
	again.over = false;
	test_result(co_fork(&t, forget_often, NULL), 0);
	for (i = 0; i < n; i++) {
		k = co_select(co_on_readable(fd[0], &status),
		    co_on_timeout(CO_US(1)));
		ck_assert(k == 1 || (k == 0 && status == -EBADF));
	}
	__atomic_store_n(&again.over, true, __ATOMIC_RELAXED);
	test_result(co_join(&t), 0);
	test_result(co_close(fd[0]), 0);
	test_result(co_close(fd[1]), 0);
	return 0;
}

TEST(a_select_on_a_descriptor_that_is_forgotten_ends)
{
	FOR_WORKERS(w)
		test_result(test_run(w, forget_main, NULL), 0);
}

static void *
read_in_a_thread(void *arg)
{
	char c;

	return (void *)(intptr_t)co_read(*(int *)arg, &c, 1);
}

TEST(a_thread_that_waits_hears_that_its_descriptor_is_forgotten)
{
	pthread_t thread;
	void *result;
	int fd[2];

	pair(SOCK_STREAM, fd);
	ck_assert_int_eq(pthread_create(&thread, NULL, read_in_a_thread,
	    &fd[0]), 0);
	test_result(co_sleep(CO_MS(50)), 0);
	test_result(co_forget(fd[0]), 0);
	test_result(co_sleep(CO_MS(500)), 0);
	ck_assert_int_eq(write(fd[1], "x", 1), 1);
	ck_assert_int_eq(pthread_join(thread, &result), 0);
	ck_assert_int_eq((int)(intptr_t)result, -EBADF);
	close(fd[0]);
	close(fd[1]);
}

/* --- forgotten between the wake-up and the next attempt ------------------- */

static struct {
	int fd, bell, sink;
	bool begun;		/* a thread will call at once */
	bool changed;		/* fd is another file now */
	bool late;		/* the call returned after that */
	int got;
} woken;

/* As a library does: fd is another file now, and holds something. */
static void
make_stranger(int *ret_peer)
{
	int other[2];

	test_result(co_forget(woken.fd), 0);
	close(woken.fd);
	pair(SOCK_STREAM, other);
	if (other[0] != woken.fd) {
		if (other[1] == woken.fd)
			other[1] = dup(other[1]);
		ck_assert_int_eq(dup2(other[0], woken.fd), woken.fd);
		close(other[0]);
	}
	ck_assert_int_eq(write(other[1], "secret", 6), 6);
	woken.changed = true;
	*ret_peer = other[1];
}

/* How much of the secret is there still? */
static int
ask_stranger(int peer)
{
	char buf[8];
	int n = (int)recv(woken.fd, buf, sizeof buf, MSG_DONTWAIT);

	test_result(co_forget(woken.fd), 0);
	close(woken.fd);
	close(peer);
	return n;
}

static int
read_woken(void *arg)
{
	char buf[8];

	(void)arg;
	woken.got = (int)co_read(woken.fd, buf, sizeof buf);
	woken.late = woken.changed;
	return 0;
}

static int
wait_woken(void *arg)
{
	(void)arg;
	woken.got = co_wait_fd(woken.fd, CO_READ);
	woken.late = woken.changed;
	return 0;
}

static int
splice_woken(void *arg)
{
	(void)arg;
	woken.got = (int)co_splice(woken.fd, NULL, woken.sink, NULL, 8, 0);
	woken.late = woken.changed;
	return 0;
}

static int
change_file(void *arg)
{
	uint64_t v;

	test_result(co_read(woken.bell, &v, sizeof v), sizeof v);
	make_stranger(arg);
	return 0;
}

/* Both are woken in one turn of the loop, and he who waits for the bell runs
   first; with select(2) the other. */
static int
woken_main(void *arg)
{
	static co_fn *const calls[] = { read_woken, wait_woken, splice_woken };
	static const uint64_t one = 1;
	int i, stranger = -1, p[2], fd[2];
	struct co_scope s;

	(void)arg;
	for (i = 0; i < 3; i++) {
		woken.bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		ck_assert_int_eq(pipe(p), 0);
		pair(SOCK_STREAM, fd);
		woken.fd = fd[0];
		woken.sink = p[1];
		woken.changed = false;
		co_scope(s) {
			test_result(co_spawn(calls[i], NULL), 0);
			test_result(co_spawn(change_file, &stranger), 0);
			test_result(co_sleep(CO_MS(5)), 0);
			ck_assert_int_eq(write(woken.bell, &one, sizeof one),
			    sizeof one);
			ck_assert_int_eq(write(fd[1], "old", 3), 3);
		}
		test_result(s.status, 0);
		if (woken.late)
			test_result(woken.got, -EBADF);
		ck_assert_int_eq(ask_stranger(stranger), 6);
		test_result(co_close(woken.bell), 0);
		test_result(co_close(p[0]), 0);
		test_result(co_close(p[1]), 0);
		test_result(co_close(fd[1]), 0);
	}
	return 0;
}

TEST(who_was_woken_and_then_forgotten_reads_from_no_stranger)
{
	setenv("WEFT_CHAOS", "0", 1);	/* it has an order of its own */
	test_result(test_run(1, woken_main, NULL), 0);
}

static void *
read_woken_in_a_thread(void *arg)
{
	(void)arg;
	__atomic_store_n(&woken.begun, true, __ATOMIC_RELEASE);
	return read_in_a_thread(&woken.fd);
}

TEST(a_thread_that_polls_what_was_forgotten_reads_from_no_stranger)
{
	int fd[2], stranger, i;
	pthread_t thread;
	void *result;

	for (i = 0; i < 4; i++) {
		pair(SOCK_STREAM, fd);
		woken.fd = fd[0];
		__atomic_store_n(&woken.begun, false, __ATOMIC_RELEASE);
		ck_assert_int_eq(pthread_create(&thread, NULL,
		    read_woken_in_a_thread, NULL), 0);
		while (!__atomic_load_n(&woken.begun, __ATOMIC_ACQUIRE))
			test_result(co_sleep(CO_MS(1)), 0);
		test_result(co_sleep(CO_MS(100)), 0);
		make_stranger(&stranger);
		/* Its poll(2) has the old file in hand still, mostly. */
		(void)!send(fd[1], "x", 1, MSG_NOSIGNAL);
		ck_assert_int_eq(pthread_join(thread, &result), 0);
		ck_assert_int_eq((int)(intptr_t)result, -EBADF);
		ck_assert_int_eq(ask_stranger(stranger), 6);
		close(fd[1]);
	}
}

/* --- what is never waited for --------------------------------------------- */

static int
kinds_main(void *arg)
{
	char name[] = "/tmp/weft-edge-XXXXXX", c[4];
	int file = mkstemp(name), null = co_open("/dev/null", O_RDWR, 0);

	(void)arg;
	ck_assert_int_ge(file, 0);
	ck_assert_int_ge(null, 0);
	ck_assert_int_eq(unlink(name), 0);
	test_result(co_write(null, "abc", 3), 3);
	test_result(co_read(null, c, sizeof c), 0);
	test_result(co_write(file, "abc", 3), 3);
	test_result(co_read(file, c, sizeof c), 0);
	test_result(co_pread(file, c, sizeof c, 1), 2);
	ck_assert_int_eq(memcmp(c, "bc", 2), 0);
	test_result(co_close(file), 0);
	test_result(co_close(null), 0);
	test_result(co_read(null, c, sizeof c), -EBADF);
	test_result(co_write(-1, c, 1), -EBADF);
	test_result(co_close(-1), -EBADF);
	return 0;
}

TEST(files_and_devices_never_wait_and_bad_numbers_are_refused)
{
	FOR_WORKERS(w)
		test_result(test_run(w, kinds_main, NULL), 0);
}

static int
nothing_main(void *arg)
{
	char c[4];
	int fd[2];

	(void)arg;
	pair(SOCK_DGRAM, fd);
	test_result(co_send(fd[0], c, 0, 0), 0);
	test_result(co_send(fd[0], "x", 1, 0), 1);
	test_result(co_recv(fd[1], c, sizeof c, 0), 0);
	test_result(co_recv(fd[1], c, sizeof c, 0), 1);
	ck_assert_int_eq(c[0], 'x');
	test_result(co_close(fd[0]), 0);
	test_result(co_close(fd[1]), 0);
	return 0;
}

static int
read_nothing(void *arg)
{
	struct iovec none = { .iov_len = 0 };
	char c[4];
	int fd[2], i;

	(void)arg;
	for (i = 0; i < 2; i++) {
		pair(i ? SOCK_STREAM : SOCK_DGRAM, fd);
		co_timeout(CO_SEC(2)) {
			test_result(co_read(fd[1], c, 0), 0);
			test_result(co_readv(fd[1], &none, 1), 0);
			test_result(co_send(fd[0], "x", 1, 0), 1);
			test_result(co_read(fd[1], c, 0), 0);
			test_result(co_readv(fd[1], &none, 0), 0);
			test_result(co_recv(fd[1], c, sizeof c, 0), 1);
		}
		test_result(co_close(fd[0]), 0);
		test_result(co_close(fd[1]), 0);
	}
	return 0;
}

/* Of a stream that reads have been waited for often, see `dry` in fd.h. */
static int
read_nothing_of_busy(void *arg)
{
	char c[4];
	int fd[2], i;

	(void)arg;
	pair(SOCK_STREAM, fd);
	again.writer = fd[1];
	for (i = 0; i < 12; i++) {
		test_result(co_spawn(write_later, NULL), 0);
		test_result(co_read(fd[0], c, sizeof c), 1);
	}
	co_timeout(CO_SEC(2))
		test_result(co_read(fd[0], c, 0), 0);
	test_result(co_close(fd[0]), 0);
	test_result(co_close(fd[1]), 0);
	return 0;
}

static int
no_vector(void *arg)
{
	int fd[2];

	(void)arg;
	pair(SOCK_STREAM, fd);
	test_result(co_readv(fd[1], NULL, 1), -EFAULT);
	test_result(co_writev(fd[0], NULL, 1), -EFAULT);
	co_timeout(CO_SEC(2)) {
		test_result(co_writev(fd[0], NULL, 0), 0);
		test_result(co_send(fd[0], "x", 1, 0), 1);
		test_result(co_readv(fd[1], NULL, 0), 0);
	}
	test_result(co_close(fd[0]), 0);
	test_result(co_close(fd[1]), 0);
	return 0;
}

TEST(a_vector_that_is_not_there_is_refused)
{
	FOR_WORKERS(w)
		test_result(test_run(w, no_vector, NULL), 0);
}

static int
splice_now(int in, int out)
{
	return (int)co_splice(in, NULL, out, NULL, 8, SPLICE_F_NONBLOCK);
}

/* Neither for what is to be read nor for room, and also of 0 to 2. */
static int
splice_without_waiting(void *arg)
{
	int in[2], out[2], saved = dup(0);

	(void)arg;
	ck_assert_int_eq(pipe(in), 0);
	ck_assert_int_eq(pipe(out), 0);
	co_timeout(CO_SEC(5)) {
		test_result(splice_now(in[0], out[1]), -EAGAIN);
		test_result(co_write(in[1], "abc", 3), 3);
		test_result(splice_now(in[0], out[1]), 3);
		ck_assert_int_eq(fcntl(out[1], F_SETFL, O_NONBLOCK), 0);
		while (write(out[1], "x", 1) == 1)
			;
		test_result(co_write(in[1], "abc", 3), 3);
		test_result(splice_now(in[0], out[1]), -EAGAIN);
		ck_assert_int_eq(pipe(out), 0);
		ck_assert_int_eq(dup2(in[0], 0), 0);
		test_result(splice_now(0, out[1]), 3);
		test_result(splice_now(0, out[1]), -EAGAIN);
	}
	co_timeout(-1) {	/* no cancellation point then */
		test_result(splice_now(in[0], out[1]), -EAGAIN);
		ck_assert_int_eq(write(in[1], "abc", 3), 3);
		test_result(splice_now(in[0], out[1]), 3);
		test_result(co_splice(in[0], NULL, out[1], NULL, 8, 0),
		    -ETIMEDOUT);
	}
	ck_assert_int_eq(dup2(saved, 0), 0);
	return 0;
}

TEST(a_splice_that_is_not_to_wait_does_not, .leaves_fds = true)
{
	FOR_WORKERS(w)
		test_result(test_run(w, splice_without_waiting, NULL), 0);
}

TEST(a_read_of_nothing_neither_waits_nor_takes_anything)
{
	FOR_WORKERS(w) {
		test_result(test_run(w, read_nothing, NULL), 0);
		test_result(test_run(w, read_nothing_of_busy, NULL), 0);
	}
}

TEST(a_datagram_of_nothing_is_no_end)
{
	FOR_WORKERS(w)
		test_result(test_run(w, nothing_main, NULL), 0);
}

/* --- jobs and threads ----------------------------------------------------- */

enum { VALUES = 100 };

static int
send_values(void *arg)
{
	chan(int) ch = arg;
	int i;

	for (i = 0; i < VALUES; i++)
		test_result(chan_send(ch, i), 0);
	return VALUES;
}

static int
ask_for_values(void *arg)
{
	return co_blocking(send_values, arg);
}

static int
job_main(void *arg)
{
	chan(int) ch = chan_new(int, 0);
	struct co_task t;
	int i, v;

	(void)arg;
	ck_assert_ptr_nonnull(ch);
	test_result(co_fork(&t, ask_for_values, ch), 0);
	for (i = 0; i < VALUES; i++) {
		test_result(chan_recv(ch, &v), 0);
		ck_assert_int_eq(v, i);
	}
	test_result(co_join(&t), VALUES);
	chan_unref(ch);
	return 0;
}

TEST(a_job_may_use_channels_as_a_thread)
{
	FOR_WORKERS(w)
		test_result(test_run(w, job_main, NULL), 0);
}

static void *
send_one(void *arg)
{
	chan(int) ch = arg;

	test_result(chan_send(ch, 1), 0);
	return NULL;
}

/* That no thread stays is seen by the harness. */
static int
threads_main(void *arg)
{
	int i, v, n = (int)test_count(200, 100000);
	chan(int) ch = chan_new(int, 0);
	pthread_t t;

	(void)arg;
	for (i = 0; i < n; i++) {
		ck_assert_int_eq(pthread_create(&t, NULL, send_one, ch), 0);
		test_result(chan_recv(ch, &v), 0);
		ck_assert_int_eq(v, 1);
		ck_assert_int_eq(pthread_join(t, NULL), 0);
	}
	ck_assert_int_eq(chan_len(ch), 0);
	test_result(chan_try_recv(ch, &v), -EAGAIN);
	chan_unref(ch);
	return 0;
}

TEST(threads_that_used_weft_end_and_leave_nothing)
{
	FOR_WORKERS(w)
		test_result(test_run(w, threads_main, NULL), 0);
}

/* --- many that are ready at once ------------------------------------------ */

enum { MANY = 900, TIMES = 8 };	/* select(2) counts to 1024 */

static struct {
	int fd[MANY];
	int order[MANY], n;	/* who was served, in this round */
} many;

static void
open_all(int *fd, int n)
{
	int i;

	for (i = 0; i < n; i++) {
		fd[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		ck_assert_int_ge(fd[i], 0);
	}
}

static void
close_all(const int *fd, int n)
{
	int i;

	for (i = 0; i < n; i++)
		close(fd[i]);
}

static void
tell(const int *fd, int n)
{
	static const uint64_t one = 1;
	int i;

	for (i = 0; i < n; i++)
		ck_assert_int_eq(write(fd[i], &one, sizeof one), sizeof one);
}

static int
one_of_many(void *arg)
{
	int me = (int)(intptr_t)arg, i;
	uint64_t v;

	for (i = 0; i < TIMES; i++) {
		test_result(co_read(many.fd[me], &v, sizeof v), sizeof v);
		many.order[many.n++] = me;
	}
	return 0;
}

/* How often one was served before another that was ready earlier. */
static int
many_at_once(void)
{
	int i, late = 0;

	many.n = 0;
	tell(many.fd, MANY);
	while (many.n < MANY)
		test_result(co_sleep(CO_MS(1)), 0);
	for (i = 1; i < MANY; i++)
		late += many.order[i] < many.order[i - 1];
	return late;
}

static int
many_main(void *arg)
{
	const char *backend = getenv("LIBEV_FLAGS");
	int i, k, most = TIMES;
	struct co_scope s;

	(void)arg;
	if (backend && strcmp(backend, "0") != 0)
		most = MANY;	/* select(2), poll(2) know no times */
	co_scope(s) {
		for (i = 0; i < MANY; i++) {
			test_result(co_spawn(one_of_many, (void *)(intptr_t)i),
			    0);
			co_yield();	/* each waits before the next does */
		}
		for (k = 0; k < TIMES; k++)
			ck_assert_int_lt(many_at_once(), most);
	}
	return s.status;
}

/*
 * However many there are.  The kernel's own list begins somewhere in its
 * middle now and then, so it is not quite the order in which we write.
 */
TEST(descriptors_are_served_in_the_order_in_which_they_became_ready)
{
	setenv("WEFT_CHAOS", "0", 1);	/* it has an order of its own */
	open_all(many.fd, MANY);
	test_result(test_run(1, many_main, NULL), 0);
	close_all(many.fd, MANY);
}

/* --- news that is old ------------------------------------------------------ */

enum {
	READERS = 50, LOOKED_AT = 4, OLD_TIMES = 5,
	OTHER = READERS, AT = OTHER + LOOKED_AT, OLD = AT + LOOKED_AT
};

static struct {
	int fd[OLD];			/* at the last ones the loop looks still
					   when nobody waits for them */
	bool company;			/* somebody waits for one of the last,
					   or for its other, and gets that */
	bool first;			/* nobody was served in this round */
	int looks;
} old;

static int
read_once(void *arg)
{
	uint64_t v;

	return co_read(*(int *)arg, &v, sizeof v) == sizeof v ? 0 : -EIO;
}

/* Has an earlier place in the queue of the one that is looked at.  poll(2) and
   select(2) tell of that one first, which is as good. */
static int
wait_for_either(void *arg)
{
	int i = (int)(intptr_t)arg, other = old.fd[OTHER + i], status[2];
	uint64_t v;

	ck_assert_int_ge(co_select(co_on_readable(other, &status[0]),
	    co_on_readable(old.fd[AT + i], &status[1])), 0);
	test_result(co_read(other, &v, sizeof v), sizeof v);
	return 0;
}

/* The loop knows that they are readable and has not said so yet. */
static int
empty_and_look(void *arg)
{
	int me = (int)(intptr_t)arg, status[LOOKED_AT], i, k;
	const int *at = &old.fd[AT];
	uint64_t v;

	for (k = 0; k < OLD_TIMES; k++) {
		test_result(co_read(old.fd[me], &v, sizeof v), sizeof v);
		if (!old.first)
			continue;
		old.first = false;
		for (i = 0; i < LOOKED_AT; i++)
			ck_assert_int_eq(read(at[i], &v, sizeof v), sizeof v);
		test_result(co_select(co_on_readable(at[0], &status[0]),
		    co_on_readable(at[1], &status[1]),
		    co_on_readable(at[2], &status[2]),
		    co_on_readable(at[3], &status[3]),
		    co_on_timeout(CO_MS(20))), 4);
		old.looks++;
	}
	return 0;
}

static int
old_main(void *arg)
{
	struct co_scope readers, once;
	int i, k;

	(void)arg;
	co_scope(readers) {
		for (i = 0; i < READERS; i++)
			test_result(co_spawn(empty_and_look,
			    (void *)(intptr_t)i), 0);
		for (k = 0; k < OLD_TIMES; k++) {
			co_scope(once) {
				for (i = 0; i < LOOKED_AT; i++)
					test_result(co_spawn(read_once,
					    &old.fd[AT + i]), 0);
				test_result(co_sleep(CO_MS(5)), 0);
				tell(&old.fd[AT], LOOKED_AT);
			}
			test_result(once.status, 0);
			/* The kernel forgets that they were ready. */
			test_result(co_sleep(CO_MS(5)), 0);
			old.first = true;
			for (i = 0; old.company && i < LOOKED_AT; i++)
				test_result(co_spawn(wait_for_either,
				    (void *)(intptr_t)i), 0);
			test_result(co_sleep(CO_MS(5)), 0);
			tell(old.fd, READERS);
			if (old.company)
				tell(&old.fd[OTHER], LOOKED_AT);
			tell(&old.fd[AT], LOOKED_AT);
			while (old.looks == k)
				test_result(co_sleep(CO_MS(1)), 0);
		}
	}
	return readers.status;
}

static void
look_after_reading(bool company)
{
	old.looks = 0;
	old.company = company;
	open_all(old.fd, OLD);
	test_result(test_run(1, old_main, NULL), 0);
	ck_assert_int_eq(old.looks, OLD_TIMES);
	close_all(old.fd, OLD);
}

TEST(what_was_read_in_the_meantime_is_no_longer_readable)
{
	look_after_reading(false);
}

TEST(what_was_read_is_not_readable_for_the_second_in_the_queue_either)
{
	look_after_reading(true);
}

/* SPDX-License-Identifier: MIT */
/*
 * fd_test.c - descriptors in selects, from plain threads, shared by runtimes;
 * transfers; 0, 1 and 2.  Interrupted, and always ready: fd_busy_test.c.
 */
#include "harness.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#include <weft/io.h>
#include <weft/scope.h>

static int fds[2];

/* --- select --------------------------------------------------------------- */

static int
write_soon(void *arg)
{
	co_sleep(CO_MS(3));
	return co_write(*(int *)arg, "x", 1) == 1 ? 0 : -EIO;
}

static int
close_soon(void *arg)
{
	co_sleep(CO_MS(3));
	return co_close(*(int *)arg);
}

static int
selects(void *arg)
{
	chan(int) ch = chan_new(int, 1);
	int status = 1, x = 0, other[2];
	struct co_scope s;
	char c;

	(void)arg;
	test_pair(fds);
	test_pair(other);
	test_result(co_select(co_on_readable(fds[0]), co_otherwise), 1);
	test_result(co_select(co_on_writable(fds[0], &status), co_otherwise),
	    0);
	test_result(status, 0);
	test_result(co_select(co_on_readable(fds[0]), co_on_recv(ch, &x),
	    co_on_timeout(CO_MS(3))), 2);
	co_scope(s) {
		co_spawn(write_soon, &fds[1]);
		test_result(co_select(co_on_recv(ch, &x),
		    co_on_readable(other[0]), co_on_readable(fds[0], &status)),
		    2);
		test_result(status, 0);
	}
	/* It is ready until somebody reads. */
	test_result(co_select(co_on_readable(fds[0])), 0);
	test_result(co_read(fds[0], &c, 1), 1);
	test_result(chan_send(ch, 5), 0);
	test_result(co_select(co_on_readable(fds[0]), co_on_recv(ch, &x)), 1);
	ck_assert_int_eq(x, 5);
	co_scope(s) {
		co_spawn(close_soon, &fds[0]);
		test_result(co_select(co_on_readable(other[0]),
		    co_on_readable(fds[0], &status)), 1);
		test_result(status, -EBADF);
	}
	status = 1;
	test_result(co_select(co_on_writable(fds[0], &status)), 0);
	test_result(status, -EBADF);
	co_timeout(CO_MS(2))
		test_result(co_select(co_on_readable(fds[1]), co_on_recv(ch,
		    &x), co_on_readable(other[0])) == 0, 1);
	test_result(co_close(fds[1]), 0);
	test_close_pair(other);
	chan_unref(ch);
	return 0;
}

TEST(descriptors_in_selects)
{
	FOR_WORKERS(w)
		test_result(test_run(w, selects, NULL), 0);
}

/* --- plain threads -------------------------------------------------------- */

static void *
thread_reads(void *arg)
{
	char c;
	ssize_t n = co_read(fds[0], &c, 1);

	(void)arg;
	return (void *)(intptr_t)n;
}

static bool selected;

static void *
thread_selects(void *arg)
{
	int n = co_select(co_on_readable(fds[0], arg));

	__atomic_store_n(&selected, true, __ATOMIC_RELEASE);
	return (void *)(intptr_t)n;
}

static int
with_threads(void *arg)
{
	int status = 1;
	pthread_t t;
	void *got;
	char c;

	(void)arg;
	selected = false;
	test_pair(fds);
	ck_assert_int_eq(pthread_create(&t, NULL, thread_reads, NULL), 0);
	co_sleep(CO_MS(3));
	test_result(co_write(fds[1], "x", 1), 1);
	pthread_join(t, &got);
	test_result((intptr_t)got, 1);
	ck_assert_int_eq(pthread_create(&t, NULL, thread_selects, &status), 0);
	co_sleep(CO_MS(3));
	test_result(co_write(fds[1], "x", 1), 1);
	while (co_sleep(CO_MS(1)) == 0 &&
	    !__atomic_load_n(&selected, __ATOMIC_ACQUIRE))
		continue;
	pthread_join(t, &got);
	test_result((intptr_t)got, 0);
	test_result(status, 0);
	test_result(co_read(fds[0], &c, 1), 1);
	ck_assert_int_eq(pthread_create(&t, NULL, thread_reads, NULL), 0);
	co_sleep(CO_MS(3));
	test_result(co_close(fds[0]), 0);
	pthread_join(t, &got);
	test_result((intptr_t)got, -EBADF);
	return co_close(fds[1]);
}

TEST(plain_threads_wait_and_are_woken)
{
	FOR_WORKERS(w)
		test_result(test_run(w, with_threads, NULL), 0);
}

/* --- two runtimes --------------------------------------------------------- */

static int
read_first(void *arg)
{
	char c;

	(void)arg;
	return (int)co_read(fds[0], &c, 1);
}

static void *
other_runtime(void *arg)
{
	return (void *)(intptr_t)test_run((int)(intptr_t)arg, read_first, NULL);
}

static int
leave_watch(void *arg)
{
	char c;

	co_timeout(CO_MS(5))
		test_result(co_read(fds[0], &c, 1), -ETIMEDOUT);
	/* Now the other runtime waits by our loop. */
	ck_assert_int_eq(pthread_create(arg, NULL, other_runtime, (void *)2),
	    0);
	co_sleep(CO_MS(20));
	return 0;
}

TEST(a_watch_outlives_the_runtime_that_made_it)
{
	pthread_t t;
	void *got;

	test_pair(fds);
	test_result(test_run(2, leave_watch, &t), 0);
	ck_assert_int_eq(write(fds[1], "x", 1), 1);
	pthread_join(t, &got);
	test_result((intptr_t)got, 1);
	test_close_pair(fds);
}

/* --- ready, and not wanted ------------------------------------------------ */

/* A descriptor that is ready, and that nobody reads, costs nothing. */
static int
unread(void *arg)
{
	struct co_scope s;
	int64_t before;
	char c;

	(void)arg;
	test_pair(fds);
	co_scope(s) {
		co_spawn(write_soon, &fds[1]);
		test_result(co_read(fds[0], &c, 1), 1);
	}
	test_result(co_write(fds[1], "unread", 6), 6);
	before = test_cpu_us();
	test_result(co_sleep(CO_MS(200)), 0);
	test_between(test_cpu_us() - before, 0, 20000 * test_slow());
	test_result(co_read(fds[0], &c, 1), 1);
	test_close_pair(fds);
	return 0;
}

TEST(what_nobody_reads_costs_nothing)
{
	FOR_WORKERS(w)
		if (w <= 4)
			test_result(test_run(w, unread, NULL), 0);
}

/* --- ready in vain -------------------------------------------------------- */

/* A socket with a queue of errors that nobody reads: poll(2) calls it ready. */
static int
with_unread_errors(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int gone = co_socket(AF_INET, SOCK_DGRAM, 0);
	int fd = co_socket(AF_INET, SOCK_DGRAM, 0), on = 1;
	socklen_t len = sizeof sa;
	char c;

	ck_assert_int_eq(bind(gone, (struct sockaddr *)&sa, len), 0);
	ck_assert_int_eq(getsockname(gone, (struct sockaddr *)&sa, &len), 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&sa, len), 0);
	ck_assert_int_eq(setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on,
	    sizeof on), 0);
	test_result(co_close(gone), 0);
	test_result(co_send(fd, "x", 1, 0), 1);
	test_result(co_recv(fd, &c, 1, 0), -ECONNREFUSED);
	test_result(co_recv(fd, &c, 1, MSG_DONTWAIT), -EAGAIN);
	test_result(co_wait_fd(fd, CO_READ), CO_READ);
	return fd;
}

struct full {
	int receiver, sender;
	struct sockaddr_un sun;
	socklen_t len;
};

/* A sender that is connected to nobody is writable, but its receiver full. */
static void
fill(struct full *f)
{
	struct sockaddr *sa = (struct sockaddr *)&f->sun;

	f->receiver = co_socket(AF_UNIX, SOCK_DGRAM, 0);
	f->sender = co_socket(AF_UNIX, SOCK_DGRAM, 0);
	f->sun.sun_family = AF_UNIX;
	f->len = sizeof f->sun;
	/* The system chooses a name. */
	ck_assert_int_eq(bind(f->receiver, sa, sizeof f->sun.sun_family), 0);
	ck_assert_int_eq(getsockname(f->receiver, sa, &f->len), 0);
	while (co_sendto(f->sender, "x", 1, MSG_DONTWAIT, sa, f->len) > 0)
		continue;
}

static int
in_vain(void *arg)
{
	int fd = with_unread_errors(), p[2], i;
	int64_t before = 0;
	co_time start = 0;
	struct full f;
	char c;

	(void)arg;
	fill(&f);
	ck_assert_int_eq(pipe2(p, O_CLOEXEC | O_NONBLOCK), 0);
	for (i = 0; i < 3; i++) {
		before = test_cpu_us();
		start = co_now();
		co_timeout(CO_MS(200)) {
			if (i == 0)
				test_result(co_recv(fd, &c, 1, 0),
				    -ETIMEDOUT);
			else if (i == 1)
				test_result(co_sendto(f.sender, "x", 1, 0,
				    (struct sockaddr *)&f.sun, f.len),
				    -ETIMEDOUT);
			else
				test_result(co_splice(fd, NULL, p[1], NULL, 1,
				    0), -ETIMEDOUT);
		}
		test_between(test_cpu_us() - before, 0, 60000 * test_slow());
		test_between(co_now() - start, CO_MS(200), CO_SEC(10));
	}
	test_result(co_close(p[0]), 0);
	test_result(co_close(p[1]), 0);
	test_result(co_close(f.receiver), 0);
	test_result(co_close(f.sender), 0);
	return co_close(fd);
}

TEST(what_is_called_ready_and_is_not_is_asked_in_pauses)
{
	FOR_WORKERS(w)
		test_result(test_run(w, in_vain, NULL), 0);
	test_result(in_vain(NULL), 0);
}

static int
receive_soon(void *arg)
{
	struct full *f = arg;
	char c;

	test_result(co_sleep(CO_MS(100)), 0);
	test_result(co_recv(f->receiver, &c, 1, 0), 1);
	return 0;
}

static int
no_longer_in_vain(void *arg)
{
	co_time start = co_now();
	struct co_scope s;
	struct full f;

	(void)arg;
	fill(&f);
	co_scope(s) {
		test_result(co_spawn(receive_soon, &f), 0);
		test_result(co_sendto(f.sender, "x", 1, 0,
		    (struct sockaddr *)&f.sun, f.len), 1);
	}
	test_result(s.status, 0);
	test_between(co_now() - start, CO_MS(100), CO_SEC(1) * test_slow());
	co_scope(s) {
		test_result(co_spawn(close_soon, &f.sender), 0);
		test_result(co_sendto(f.sender, "x", 1, 0,
		    (struct sockaddr *)&f.sun, f.len), -EBADF);
	}
	return co_close(f.receiver);
}

TEST(who_asks_in_pauses_hears_of_room_and_of_a_close)
{
	FOR_WORKERS(w)
		test_result(test_run(w, no_longer_in_vain, NULL), 0);
}

/* --- other kinds ---------------------------------------------------------- */

static int
kinds(void *arg)
{
	struct itimerspec soon = { { 0, 0 }, { 0, 5000000 } };
	int e = eventfd(0, EFD_CLOEXEC), i;
	int t = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	struct co_scope s;
	uint64_t n = 1;

	(void)arg;
	for (i = 0; i < 30; i++) {
		co_timeout(CO_MS(1))
			test_result(co_read(e, &n, 8), -ETIMEDOUT);
		n = 1;
		test_result(co_write(e, &n, 8), 8);
		test_result(co_read(e, &n, 8), 8);
	}
	co_scope(s) {
		timerfd_settime(t, 0, &soon, NULL);
		test_result(co_read(t, &n, 8), 8);
	}
	test_result(co_wait_fd(e, 0), -EINVAL);
	test_result(co_wait_fd(e, 8), -EINVAL);
	test_result(co_wait_fd(e, CO_READ | CO_WRITE), CO_WRITE);
	test_result(co_recv(e, &n, 8, 0), -ENOTSOCK);
	test_result(co_accept(e, NULL, NULL), -ENOTSOCK);
	test_result(co_close(e), 0);
	test_result(co_close(t), 0);
	test_result(co_wait_fd(e, CO_READ), -EBADF);
	return 0;
}

TEST(events_timers_and_wrong_kinds)
{
	FOR_WORKERS(w)
		test_result(test_run(w, kinds, NULL), 0);
}

static int
send_file(void *arg)
{
	char name[] = "/tmp/weft-fd-test-XXXXXX", buf[5000], *text = arg;
	int file = mkstemp(name), p[2], q[2];
	off_t at = 3;

	unlink(name);
	test_pair(fds);
	ck_assert_int_eq(pipe(p), 0);
	ck_assert_int_eq(pipe(q), 0);
	test_result(co_write_full(file, text, 4000), 4000);
	test_result(co_sendfile(fds[1], file, &at, 2000), 2000);
	ck_assert_int_eq(at, 2003);
	test_result(co_read_full(fds[0], buf, 2000), 2000);
	ck_assert_int_eq(memcmp(buf, text + 3, 2000), 0);
	/* From a socket through a pipe to a pipe: waits on both sides. */
	co_timeout(CO_MS(2))
		test_result(co_splice(fds[0], NULL, p[1], NULL, 100, 0),
		    -ETIMEDOUT);
	test_result(co_write(fds[1], "spliced", 7), 7);
	test_result(co_splice(fds[0], NULL, p[1], NULL, 100, 0), 7);
	test_result(co_splice(p[0], NULL, q[1], NULL, 100, 0), 7);
	test_result(co_read(q[0], buf, 100), 7);
	ck_assert_int_eq(memcmp(buf, "spliced", 7), 0);
	test_result(co_close(q[0]), 0);
	test_result(co_write(fds[1], "x", 1), 1);
	test_result(co_splice(fds[0], NULL, q[1], NULL, 1, 0), -EPIPE);
	test_result(co_close(q[1]), 0);
	test_close_pair(p);
	test_close_pair(fds);
	return co_close(file);
}

TEST(sendfile_and_splice)
{
	static char text[4000];
	size_t i;

	for (i = 0; i < sizeof text; i++)
		text[i] = (char)(i * 7 + i / 256);
	FOR_WORKERS(w)
		test_result(test_run(w, send_file, text), 0);
}

struct moving {
	int in, out;
	int result;
};

static int
move_some(void *arg)
{
	struct moving *m = arg;

	m->result = (int)co_splice(m->in, NULL, m->out, NULL, 100, 0);
	return 0;
}

static void *
move_in_thread(void *arg)
{
	move_some(arg);
	return NULL;
}

/* Moves nothing, as `in` is empty or `out` is full, until `end` is closed. */
static void
moves_until_closed(int in, int out, int end, bool in_a_thread)
{
	struct moving m = { in, out, 1 };
	struct co_scope s;
	pthread_t thread;

	if (in_a_thread)
		ck_assert_int_eq(pthread_create(&thread, NULL, move_in_thread,
		    &m), 0);
	co_scope(s) {
		if (!in_a_thread)
			test_result(co_spawn(move_some, &m), 0);
		test_result(co_sleep(CO_MS(5)), 0);
		test_result(co_close(end), 0);
	}
	if (in_a_thread)
		pthread_join(thread, NULL);
	test_result(m.result, -EBADF);
}

static int
either_end_is_closed(void *arg)
{
	int p[2], i;
	bool in_a_thread;

	(void)arg;
	for (i = 0; i < 8; i++) {
		in_a_thread = i & 1;
		test_pair(fds);
		if (i & 2) {	/* it waits for p[1], else for fds[0] */
			test_full_pipe(p);
			test_result(co_write(fds[1], "x", 1), 1);
		} else {
			ck_assert_int_eq(pipe(p), 0);
		}
		moves_until_closed(fds[0], p[1], i & 4 ? fds[0] : p[1],
		    in_a_thread);
		test_result(co_close(i & 4 ? p[1] : fds[0]), 0);
		test_result(co_close(fds[1]), 0);
		test_result(co_close(p[0]), 0);
	}
	return 0;
}

TEST(a_splice_ends_when_either_end_is_closed)
{
	FOR_WORKERS(w)
		test_result(test_run(w, either_end_is_closed, NULL), 0);
}

/* --- 0, 1 and 2 ----------------------------------------------------------- */

static int
standard(void *arg)
{
	char buf[100000] = "";
	int in[2], out[2], n = 0;
	ssize_t k;

	(void)arg;
	ck_assert_int_eq(pipe2(in, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
	dup2(in[0], 0);
	dup2(out[1], 1);
	close(in[0]);
	close(out[1]);
	co_timeout(CO_MS(5))
		test_result(co_read(0, buf, 10), -ETIMEDOUT);
	test_result(co_write(in[1], "typed", 5), 5);
	test_result(co_read(0, buf, 10), 5);
	ck_assert(!(fcntl(0, F_GETFL) & O_NONBLOCK));
	/* More than fits: the thread must not be stuck in write(2). */
	co_timeout(CO_MS(30)) {
		while ((k = co_write(1, buf, sizeof buf)) > 0)
			n += (int)k;
		test_result(k, -ETIMEDOUT);
	}
	ck_assert_int_ge(n, 4096);
	ck_assert(!(fcntl(1, F_GETFL) & O_NONBLOCK));
	test_result(co_close(out[0]), 0);
	test_result(co_write(1, "x", 1), -EPIPE);
	return co_close(in[1]);
}

static int
standard_child(void *arg)
{
	return test_run((int)(intptr_t)arg, standard, NULL) == 0 ? 0 : 1;
}

TEST(standard_descriptors_stay_blocking_and_block_nobody)
{
	FOR_WORKERS(w) {
		struct test_child c = test_child(standard_child,
		    (void *)(intptr_t)w);

		ck_assert_msg(c.code == 0, "%d %d %s", c.code, c.signal, c.err);
	}
}

static int
forget(void *arg)
{
	struct co_scope s;
	int i;

	(void)arg;
	test_pair(fds);
	co_scope(s) {
		i = co_spawn(close_soon, &fds[1]);
		test_result(i, 0);
		test_result(co_read(fds[0], &(char){ 0 }, 1), 0);
	}
	test_result(co_forget(fds[0]), 0);
	test_result(co_forget(12345), 0);
	test_result(co_forget(-1), 0);
	test_result(co_read(fds[0], &(char){ 0 }, 1), 0);
	return co_close(fds[0]);
}

TEST(forgetting_costs_nothing_but_a_look)
{
	test_result(test_run(2, forget, NULL), 0);
}

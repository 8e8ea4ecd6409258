/* SPDX-License-Identifier: MIT */
/*
 * io_stress_test.c - numbers of descriptors that come again, connections, jobs
 * of the blocking pool, values posted by threads.
 */
#include "harness.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <weft.h>

/* --- numbers of descriptors ----------------------------------------------- */

enum { RECYCLERS = 8 };

struct recycler {
	uint64_t rounds, random;
};

static int
echo_token(void *arg)
{
	int fd = *(int *)arg;
	uint64_t token = 0;

	test_result(co_read_full(fd, &token, sizeof token), sizeof token);
	test_result(co_write_full(fd, &token, sizeof token), sizeof token);
	return 0;
}

/* Each opens and closes for itself: the kernel gives everybody's numbers
   round, while events of the last owner may still be on their way. */
static int
recycle(void *arg)
{
	struct recycler *r = arg;
	uint64_t i, token, got;
	struct co_task t;
	int fd[2];

	for (i = 0; i < r->rounds; i++) {
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC,
		    0, fd), 0);
		token = test_random(&r->random);
		got = ~token;
		test_result(co_fork(&t, echo_token, &fd[1]), 0);
		test_result(co_write_full(fd[0], &token, sizeof token),
		    sizeof token);
		test_result(co_read_full(fd[0], &got, sizeof got), sizeof got);
		ck_assert_uint_eq(got, token);
		if (token & 1)		/* an event that nobody takes */
			test_result(co_write(fd[0], "", 1), 1);
		test_result(co_join(&t), 0);
		test_result(co_close(fd[token >> 1 & 1]), 0);
		test_result(co_close(fd[~token >> 1 & 1]), 0);
	}
	return 0;
}

static int
recycle_main(void *arg)
{
	struct recycler r[RECYCLERS];
	struct co_scope s;
	int i;

	co_scope(s) {
		for (i = 0; i < RECYCLERS; i++) {
			r[i].rounds = *(uint64_t *)arg;
			r[i].random = test_seed() + (uint64_t)i;
			test_result(co_spawn(recycle, &r[i]), 0);
		}
	}
	return s.status;
}

TEST(numbers_come_again_and_no_byte_reaches_a_stranger, .seconds = 120)
{
	uint64_t n = test_count(200, 100000);

	FOR_WORKERS(w) {
		test_result(test_run(w, recycle_main, &n), 0);
		test_soak("fd generations", 2 * n * RECYCLERS);
	}
}

/* --- connections ---------------------------------------------------------- */

static int
serve(int *arg)
{
	int fd = *arg;
	char b[256];
	ssize_t n;

	while ((n = co_read(fd, b, sizeof b)) > 0)
		test_result(co_write_full(fd, b, (size_t)n), n);
	test_result(n, 0);
	return co_close(fd);
}

static int
accept_all(void *arg)
{
	struct co_scope s;
	int fd = 0;

	co_scope(s)
		while ((fd = co_accept(*(int *)arg, NULL, NULL)) >= 0)
			test_result(co_go(serve, fd), 0);
	test_result(s.status, 0);
	return fd == -EBADF ? 0 : fd;
}

static int
connect_often(void *arg)
{
	struct recycler *r = ((void **)arg)[0];
	const char *to = ((void **)arg)[1];
	uint64_t i, token, got = 0;
	int fd;

	for (i = 0; i < r->rounds; i++) {
		fd = co_dial(to);
		ck_assert_int_ge(fd, 0);
		token = test_random(&r->random);
		test_result(co_write_full(fd, &token, sizeof token),
		    sizeof token);
		test_result(co_read_full(fd, &got, sizeof got), sizeof got);
		ck_assert_uint_eq(got, token);
		test_result(co_close(fd), 0);
	}
	return 0;
}

static int
connect_main(void *arg)
{
	struct recycler r[RECYCLERS];
	struct co_task t[RECYCLERS], server;
	void *args[RECYCLERS][2];
	char at[64];
	int i, listener = co_listen("tcp:127.0.0.1:0");

	ck_assert_int_ge(listener, 0);
	ck_assert_int_ge(co_address(listener, at, sizeof at), 0);
	test_result(co_fork(&server, accept_all, &listener), 0);
	for (i = 0; i < RECYCLERS; i++) {
		r[i].rounds = *(uint64_t *)arg;
		r[i].random = test_seed() + (uint64_t)i;
		args[i][0] = &r[i];
		args[i][1] = at;
		test_result(co_fork(&t[i], connect_often, args[i]), 0);
	}
	for (i = 0; i < RECYCLERS; i++)
		test_result(co_join(&t[i]), 0);
	test_result(co_close(listener), 0);
	test_result(co_join(&server), 0);
	return 0;
}

TEST(connections_echo_and_none_is_lost, .seconds = 120)
{
	uint64_t n = test_count(50, 2000);

	FOR_WORKERS(w) {
		test_result(test_run(w, connect_main, &n), 0);
		test_soak("connections", n * RECYCLERS);
	}
}

/* --- the blocking pool ---------------------------------------------------- */

static int
quick(void *arg)
{
	return (int)(intptr_t)arg;
}

/* The request lies in the caller's frame, which is gone when it is woken. */
static int
ask(void *arg)
{
	uint64_t i, n = *(uint64_t *)arg;

	for (i = 0; i < n; i++) {
		test_result(co_blocking(quick, (void *)(intptr_t)(i & 1023)),
		    (long)(i & 1023));
		if (i % 16 == 15)
			co_yield();
	}
	return 0;
}

static int
ask_main(void *arg)
{
	struct co_scope s;
	int i;

	co_scope(s)
		for (i = 0; i < RECYCLERS; i++)
			test_result(co_spawn(ask, arg), 0);
	return s.status;
}

static void
ask_in(int workers, int threads, uint64_t n)
{
	struct co_options o = { .workers = workers,
	    .blocking_threads = threads };

	test_result(co_run(&o, ask_main, &n), 0);
	test_soak("blocking jobs", n * RECYCLERS);
}

TEST(jobs_are_never_stranded, .seconds = 120)
{
	uint64_t n = test_count(300, 100000);

	FOR_WORKERS(w) {
		ask_in(w, 2, n);
		ask_in(w, 8, n);
	}
}

/*
 * tokio#8056: two quick jobs leave threads that are idle; two jobs park; and
 * quick ones come all the time, on which those depend in the end.  A job that
 * is given to an idle thread which has got another one meanwhile is stranded.
 */
enum { PARKED = 2, CHURNERS = 4 };

struct round {
	int fd[PARKED][2];
	co_time most;		/* that it may take */
};

/* On a thread of the pool, until somebody has written. */
static int
park_job(void *arg)
{
	const struct round *r = ((void **)arg)[0];
	const int *fd = ((void **)arg)[1];
	struct pollfd p = { .fd = fd[0], .events = POLLIN };

	return poll(&p, 1, (int)(r->most / CO_MS(1))) == 1 ? 0 : -ETIMEDOUT;
}

static int
release_job(void *arg)
{
	const int *fd = arg;

	return write(fd[1], "x", 1) == 1 ? 0 : -EIO;
}

static int
park(void *arg)
{
	return co_blocking(park_job, arg);
}

static int
release(void *arg)
{
	co_yield();
	return co_blocking(release_job, arg);
}

static int
churn(void *arg)
{
	int i;

	(void)arg;
	for (i = 0; i < 4; i++)
		test_result(co_blocking(quick, (void *)(intptr_t)i), i);
	return 0;
}

static void
play_round(void)
{
	struct round r = { .most = CO_SEC(5) * test_slow() };
	void *args[PARKED][2];
	struct co_scope s;
	co_time start = co_now();
	int i;

	co_scope(s)
		for (i = 0; i < 2; i++)
			test_result(co_spawn(churn, NULL), 0);
	co_scope(s) {
		for (i = 0; i < PARKED; i++) {
			ck_assert_int_eq(pipe2(r.fd[i], O_CLOEXEC), 0);
			args[i][0] = &r;
			args[i][1] = r.fd[i];
			test_result(co_spawn(park, args[i]), 0);
		}
		for (i = 0; i < CHURNERS; i++)
			test_result(co_spawn(churn, NULL), 0);
		for (i = 0; i < PARKED; i++)
			test_result(co_spawn(release, r.fd[i]), 0);
	}
	test_result(s.status, 0);
	test_between(co_now() - start, 0, r.most);
	for (i = 0; i < PARKED; i++) {
		close(r.fd[i][0]);
		close(r.fd[i][1]);
	}
}

static int
play(void *arg)
{
	uint64_t i, n = test_count(512, 50000);

	for (i = 0; i < n; i++)
		play_round();
	return arg != NULL;
}

TEST(jobs_beside_some_that_park_come_all_to_their_end, .seconds = 120)
{
	FOR_WORKERS(w) {
		struct co_options o = { .workers = w,
		    .blocking_threads = PARKED + 1 };

		test_result(co_run(&o, play, NULL), 0);
		o.blocking_threads = 0;		/* as many as it likes */
		test_result(co_run(&o, play, NULL), 0);
	}
}

TEST(pools_come_and_go, .seconds = 120)
{
	uint64_t i, n = test_count(50, 5000);

	for (i = 0; i < n; i++)
		ask_in(1 + (int)(i & 3), 1 + (int)(i % 5), 2);
}

/* --- threads that post ---------------------------------------------------- */

enum { POSTERS = 4 };

struct post {
	chan(uint64_t) ch;
	uint64_t n, from;
};

static void *
post(void *arg)
{
	struct post *p = arg;
	uint64_t i;

	for (i = 0; i < p->n; i++)
		test_result(chan_send(p->ch, p->from * p->n + i), 0);
	return NULL;
}

static int
post_main(void *arg)
{
	uint64_t n = *(uint64_t *)arg, next[POSTERS] = { 0 }, i, v;
	chan(uint64_t) ch = chan_new(uint64_t, 8);
	struct post p[POSTERS];
	pthread_t t[POSTERS];

	for (i = 0; i < POSTERS; i++) {
		p[i] = (struct post){ ch, n, i };
		ck_assert_int_eq(pthread_create(&t[i], NULL, post, &p[i]), 0);
	}
	for (i = 0; i < n * POSTERS; i++) {
		test_result(chan_recv(ch, &v), 0);
		ck_assert_uint_lt(v / n, POSTERS);
		ck_assert_uint_eq(v % n, next[v / n]++);
	}
	test_result(chan_try_recv(ch, &v), -EAGAIN);
	for (i = 0; i < POSTERS; i++)
		ck_assert_int_eq(pthread_join(t[i], NULL), 0);
	chan_unref(ch);
	return 0;
}

TEST(posts_of_threads_are_all_received, .seconds = 120)
{
	uint64_t n = test_count(3000, 1000000);

	FOR_WORKERS(w) {
		test_result(test_run(w, post_main, &n), 0);
		test_soak("messages", n * POSTERS);
	}
}

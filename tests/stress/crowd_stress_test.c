/* SPDX-License-Identifier: MIT */
/*
 * crowd_stress_test.c - very many connections at once; clients that are slow on
 * purpose.
 */
#include "harness.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <weft.h>

enum { AT = 128 };		/* bytes of an address: sun_path, and its kind */

/* --- ten thousand connections ---------------------------------------------- */

/* The server is this process and the clients are another one: each has a
   descriptor of every connection. */
struct crowd {
	char at[AT];
	int n;			/* connections */
	int rounds;		/* messages of each */
	int listener;
	int open, most;		/* [atomic] */
	uint64_t echoed;	/* [atomic] */
	struct co_barrier all_there;
};

struct message {
	uint32_t from, round;
};

struct guest {
	struct crowd *crowd;
	int fd;
};

static int
serve_guest(struct guest *g)
{
	struct crowd *c = g->crowd;
	struct message m;
	int now = __atomic_add_fetch(&c->open, 1, __ATOMIC_ACQ_REL);
	int most = __atomic_load_n(&c->most, __ATOMIC_RELAXED);
	ssize_t n;

	while (now > most && !__atomic_compare_exchange_n(&c->most, &most, now,
	    false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		continue;
	while ((n = co_read_full(g->fd, &m, sizeof m)) == sizeof m) {
		test_result(co_write_full(g->fd, &m, sizeof m), sizeof m);
		__atomic_add_fetch(&c->echoed, 1, __ATOMIC_RELAXED);
	}
	test_result(n, 0);
	__atomic_sub_fetch(&c->open, 1, __ATOMIC_ACQ_REL);
	return co_close(g->fd);
}

/* The kernel's queue of a socket of this kind may be full, and nothing tells
   when it no longer is. */
static int
dial_again(const char *at)
{
	int fd;

	while ((fd = co_dial(at)) == -EAGAIN)
		test_result(co_sleep(CO_MS(1)), 0);
	return fd;
}

static int
serve_crowd(void *arg)
{
	struct crowd *c = arg;
	struct co_scope s;
	int i, fd;

	co_scope(s) {
		for (i = 0; i < c->n; i++) {
			fd = co_accept(c->listener, NULL, NULL);
			ck_assert_int_ge(fd, 0);
			test_result(co_go(serve_guest, (struct guest){ c,
			    fd }), 0);
		}
	}
	return s.status;
}

/* Says nothing until all are connected. */
static int
be_guest(struct guest *g)
{
	struct crowd *c = g->crowd;
	struct message m, got;
	int i, code, fd = dial_again(c->at);

	ck_assert_int_ge(fd, 0);
	code = co_barrier_wait(&c->all_there);
	ck_assert(code == 0 || code == 1);
	for (i = 0; i < c->rounds; i++) {
		m = (struct message){ (uint32_t)g->fd, (uint32_t)i };
		got = (struct message){ 0 };
		test_result(co_write_full(fd, &m, sizeof m), sizeof m);
		test_result(co_read_full(fd, &got, sizeof got), sizeof got);
		ck_assert_uint_eq(got.from, m.from);
		ck_assert_uint_eq(got.round, m.round);
	}
	/* Nobody leaves early, or they would not all be there. */
	code = co_barrier_wait(&c->all_there);
	ck_assert(code == 0 || code == 1);
	return co_close(fd);
}

static int
come_all(void *arg)
{
	struct crowd *c = arg;
	struct co_scope s;
	int i;

	co_scope(s)
		for (i = 0; i < c->n; i++)
			test_result(co_go(be_guest, (struct guest){ c, i }), 0);
	return s.status;
}

static pid_t
start_clients(struct crowd *c, int workers)
{
	pid_t parent = getpid(), pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid > 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	close(c->listener);
	_exit(test_run(workers, come_all, c) == 0 ? 0 : 1);
}

/* Its descriptor; where it is in `at`, for co_dial.  No address of the network:
   of these it would use up too many.  No co_listen: a child of a process that
   has used weft may not use it. */
static int
open_listener(char at[AT])
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int n = snprintf(a.sun_path + 1, sizeof a.sun_path - 1, "weft-crowd-%d",
	    (int)getpid()), fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(at, AT, "unix:@%s", a.sun_path + 1);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&a,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
	    (size_t)n)), 0);
	ck_assert_int_eq(listen(fd, 4096), 0);
	return fd;
}

/* Each needs one of the limit, and something is left for other things. */
static int
raise_limit(int n)
{
	struct rlimit r;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &r), 0);
	r.rlim_cur = r.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &r), 0);
	return r.rlim_cur < (rlim_t)n + 100 ? (int)r.rlim_cur - 100 : n;
}

struct party {
	int n, workers;
};

static int
serve_and_count(void *arg)
{
	struct party *p = arg;
	struct crowd c = { .n = p->n, .rounds = (int)test_count(2, 100),
	    .all_there = CO_BARRIER_INIT((unsigned)p->n) };
	int status = -1;
	pid_t pid;

	c.listener = open_listener(c.at);
	pid = start_clients(&c, p->workers);
	test_result(test_run(p->workers, serve_crowd, &c), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	ck_assert_int_eq(c.most, c.n);
	ck_assert_int_eq(c.open, 0);
	ck_assert_uint_eq(c.echoed, (uint64_t)c.n * (uint64_t)c.rounds);
	return 0;
}

/* In processes of their own: a child of one that has used weft may not. */
TEST(ten_thousand_connections_are_served, .seconds = 300)
{
	int want = (int)test_count(10000, 10000), n = raise_limit(want);
	char why[100];

	/* A tenth under sanitizers, of which one knows 8128 coroutines. */
	ck_assert_int_gt(n, 0);
	FOR_WORKERS(w) {
		struct party p = { n, w };
		struct test_child child;

		if (w != 1 && w != 4 && !test_long())
			continue;
		child = test_child_for(250, serve_and_count, &p);
		ck_assert_msg(child.code == 0, "status %d, %s", child.status,
		    child.err);
		test_soak("connections at once", (uint64_t)n);
	}
	if (n < want) {
		snprintf(why, sizeof why, "%d of %d connections were served: "
		    "more are over the limit of descriptors", n, want);
		test_skip(why);
	}
}

/* --- slow on purpose ------------------------------------------------------- */

/* A request is a line; it must come within this time. */
struct loris {
	co_time deadline;
	int slow, good;		/* clients */
	int requests;		/* of each good one */
	int listener;
	char at[AT];
	int cut, answered;	/* [atomic] by the server */
	int was_cut, served;	/* [atomic] so the clients saw it */
	int slow_there;		/* [atomic] */
};

static void
serve_lines(struct loris *l, struct co_stream *s)
{
	char line[4096];
	ssize_t n = 1;

	while (n > 0) {
		co_timeout(l->deadline)
			n = co_stream_read_line(s, line, sizeof line);
		if (n == -ETIMEDOUT)
			__atomic_add_fetch(&l->cut, 1, __ATOMIC_RELAXED);
		if (n <= 0)
			return;
		if (co_stream_printf(s, "got %d\n", (int)n) < 0 ||
		    co_stream_flush(s) < 0)
			return;
		__atomic_add_fetch(&l->answered, 1, __ATOMIC_RELAXED);
	}
}

struct client {
	struct loris *all;
	int fd;
};

static int
serve_client(struct client *c)
{
	struct co_stream *s = co_stream_new(c->fd);

	ck_assert_ptr_nonnull(s);
	serve_lines(c->all, s);
	co_stream_close(s);	/* it may be gone */
	return 0;
}

static int
serve_clients(void *arg)
{
	struct loris *l = arg;
	struct co_scope s;
	int fd = 0;

	co_scope(s)
		while ((fd = co_accept(l->listener, NULL, NULL)) >= 0)
			test_result(co_go(serve_client, (struct client){ l,
			    fd }), 0);
	test_result(fd, -EBADF);
	return s.status;
}

/* Bytes now and then, never the end of the line, until it is cut off. */
static int
dawdle(struct loris **at)
{
	struct loris *l = *at;
	int64_t begin = co_now();
	int fd = dial_again(l->at);
	ssize_t n = 1;
	char c;

	ck_assert_int_ge(fd, 0);
	__atomic_add_fetch(&l->slow_there, 1, __ATOMIC_RELAXED);
	while (n == 1) {
		n = co_write(fd, "x", 1);
		if (n != 1)
			break;
		co_timeout(l->deadline / 16)
			n = co_read(fd, &c, 1);
		n = n == -ETIMEDOUT ? 1 : n == 1 ? -EPROTO : n;
	}
	ck_assert(n == 0 || n == -EPIPE || n == -ECONNRESET);
	ck_assert_int_ge(co_now() - begin, l->deadline);
	__atomic_add_fetch(&l->was_cut, 1, __ATOMIC_RELAXED);
	return co_close(fd);
}

/* Some answers; fewer than it asked for only if a request took as long as
   would have a slow one cut off. */
static int
ask(struct loris *l, int requests)
{
	int64_t before = co_now(), now;
	int i, fd = dial_again(l->at);
	struct co_stream *s = co_stream_new(fd);
	char line[64];
	ssize_t n = 1;

	ck_assert_int_ge(fd, 0);
	for (i = 0; i < requests; i++) {
		now = co_now();
		if (co_stream_printf(s, "%d\n", 1000 + i) < 0 ||
		    co_stream_flush(s) < 0 ||
		    (n = co_stream_read_line(s, line, sizeof line)) <= 0)
			break;
		ck_assert_str_eq(line, "got 5\n");
		before = now;
	}
	if (i < requests)
		ck_assert_int_ge(co_now() - before, l->deadline);
	co_stream_close(s);
	return i;
}

static int
be_good(struct loris **at)
{
	struct loris *l = *at;
	int left = l->requests;

	while (left > 0)
		left -= ask(l, left < 5 ? left : 5);
	__atomic_add_fetch(&l->served, 1, __ATOMIC_RELAXED);
	return 0;
}

static int
loris_main(void *arg)
{
	struct loris *l = arg;
	struct co_task server;
	struct co_scope s;
	int i;

	test_result(co_fork(&server, serve_clients, l), 0);
	co_scope(s) {
		for (i = 0; i < l->slow; i++)
			test_result(co_go(dawdle, l), 0);
		while (__atomic_load_n(&l->slow_there, __ATOMIC_RELAXED) <
		    l->slow)
			test_result(co_sleep(CO_MS(1)), 0);
		for (i = 0; i < l->good; i++)
			test_result(co_go(be_good, l), 0);
	}
	test_result(s.status, 0);
	test_result(co_close(l->listener), 0);
	test_result(co_join(&server), 0);
	return 0;
}

TEST(who_dawdles_is_cut_off_and_others_are_served, .seconds = 300)
{
	int slow = (int)test_count(300, 5000), good = (int)test_count(50, 100);
	int n = raise_limit(2 * (slow + good)) / 2;

	ck_assert_int_gt(n, good);
	FOR_WORKERS(w) {
		struct loris l = {
			.deadline = test_long() ? CO_SEC(5) :
			    CO_MS(500) * test_slow(),
			.slow = n - good,
			.good = good,
			.requests = (int)test_count(40, 1000),
		};

		if (w != 1 && w != 4 && !test_long())
			continue;
		l.listener = open_listener(l.at);
		test_result(test_run(w, loris_main, &l), 0);
		ck_assert_int_eq(l.was_cut, l.slow);
		ck_assert_int_ge(l.cut, l.slow);
		ck_assert_int_eq(l.served, l.good);
		ck_assert_int_ge(l.answered, l.good * l.requests);
		test_soak("slow clients", (uint64_t)l.slow);
	}
}

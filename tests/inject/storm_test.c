/* SPDX-License-Identifier: MIT */
/*
 * inject/storm_test.c - what may happen at any time and must not be seen: the
 * scenarios give 0 while system calls are interrupted, find nothing where
 * something was announced, and transfer a few bytes where more were there.
 */
#include "harness.h"
#include "inject/fault.h"
#include "inject/scenarios.h"

#include <signal.h>
#include <sys/time.h>

#define INTERRUPTED \
	" accept4 epoll_wait fdatasync fsync ftruncate futex lstat mkdir " \
	"openat poll preadv pwritev pwritev2 read readv recv recvfrom " \
	"recvmsg rename rmdir send sendfile sendmsg sendto splice stat " \
	"unlink waitpid write writev "
#define SPURIOUS \
	" accept4 pwritev2 readv recv recvfrom recvmsg send sendmsg sendto " \
	"writev "
/* No datagrams: a part of one is another one. */
#define SHORT	" preadv pwritev pwritev2 readv recvmsg sendmsg writev "

static const struct scenario *at;

static void
run_all(struct fault f)
{
	uint64_t i, n = test_count(10, 1000), hits = 0, seed = test_seed();

	f.from = 1;
	for (at = scenarios; at->name; at++) {
		if (f.error == EAGAIN && strcmp(at->name, "files") == 0)
			continue;	/* they are always ready */
		for (i = 0; i < n; i++) {
			int code;

			f.seed = test_random(&seed);
			fault_arm(&f);
			code = scenario_run(at, 1 + (int)(i & 1));
			hits += fault_disarm();
			ck_assert_msg(code == 0, "%s gives %d (%s)", at->name,
			    code, strerror(-code));
		}
	}
	ck_assert_uint_gt(hits, 0);
}

TEST(interrupted_calls_are_made_again, .seconds = 900)
{
	run_all((struct fault){ .only = INTERRUPTED, .error = EINTR,
	    .chance = 300 });
}

TEST(what_is_ready_may_turn_out_not_to_be, .seconds = 900)
{
	run_all((struct fault){ .only = SPURIOUS, .error = EAGAIN,
	    .chance = 300 });
}

TEST(a_few_bytes_at_a_time_are_enough, .seconds = 900)
{
	uint64_t seed = test_seed();

	run_all((struct fault){ .only = SHORT,
	    .most = 1 + test_below(&seed, 7) });
}

/* Streams alone. */
TEST(a_socket_takes_a_few_bytes_at_a_time)
{
	static const char *const names[] = { "tcp", "unix_sockets", "streams",
		"names" };
	struct fault f = { .only = " recv send ", .from = 1 };
	uint64_t i, k, hits;

	for (i = 0; i < sizeof names / sizeof *names; i++) {
		for (k = 1; k <= 7; k++) {
			f.most = k;
			fault_arm(&f);
			test_result(scenario_run(scenario_find(names[i]), 1),
			    0);
			hits = fault_disarm();
			ck_assert_uint_gt(hits, 0);
		}
	}
}

/* IO-07: a shortage ends while somebody waits to accept. */
TEST(accepting_outlasts_a_shortage)
{
	static const int errors[] = { EMFILE, ENFILE, ENOBUFS, ENOMEM,
		ECONNABORTED, EPROTO, EPERM };
	struct fault f = { .only = " accept4 ", .from = 1, .times = 4 };
	size_t i;

	for (i = 0; i < sizeof errors / sizeof *errors; i++) {
		f.error = errors[i];
		fault_arm(&f);
		test_result(scenario_run(scenario_find("tcp"), 2), 0);
		ck_assert_uint_eq(fault_disarm(), 4);
	}
}

/* IO-09: that a socket can be written to does not say that it is connected. */
TEST(a_socket_without_a_peer_is_not_connected_yet)
{
	struct fault f = { .only = " getpeername ", .from = 1, .times = 3,
	    .error = ENOTCONN };

	fault_arm(&f);
	test_result(scenario_run(scenario_find("names"), 1), 0);
	(void)fault_disarm();
}

/* BP-05. */
TEST(jobs_run_with_the_threads_that_can_be_made)
{
	struct fault f = { .only = " pthread_create ", .from = 2,
	    .every = 2 };
	uint64_t hits = 0;
	int i;

	for (i = 0; i < 40; i++) {
		if (i == 20)
			f.every = 0;	/* but for the first all */
		fault_arm(&f);
		test_result(scenario_run(scenario_find("blocking"), 1), 0);
		hits += fault_disarm();
	}
	if (test_slow() == 1)		/* else one thread may be enough */
		ck_assert_uint_gt(hits, 0);
	f.from = 1;		/* none */
	fault_arm(&f);
	test_result(scenario_run(scenario_find("blocking"), 1), -EAGAIN);
	ck_assert_uint_gt(fault_disarm(), 0);
	test_result(scenario_run(scenario_find("blocking"), 1), 0);
}

/* MS-06: no memory for stacks, for as long as it lasts. */
TEST(a_spawn_without_a_stack_says_so_and_later_ones_do_well)
{
	struct fault f = { .only = " mmap madvise mprotect ", .error = ENOMEM };
	const struct scenario *s = scenario_find("spawn_join");
	uint64_t hits;

	for (f.from = 1; ; f.from++) {
		int code;

		fault_arm(&f);
		code = scenario_run(s, 1);
		hits = fault_disarm();
		ck_assert_msg(code == 0 || code == -ENOMEM, "%d", code);
		test_result(scenario_run(s, 1), 0);
		if (hits == 0)
			break;
	}
}

static int ticks;	/* [atomic] */

static void
on_tick(int sig)
{
	(void)sig;
	__atomic_add_fetch(&ticks, 1, __ATOMIC_RELAXED);
}

/* IO-18. */
TEST(a_thousand_signals_a_second_are_not_noticed, .seconds = 600)
{
	static const char *const names[] = { "files", "messages", "names",
		"pipes", "scopes", "streams", "tcp", "udp", "unix_sockets" };
	struct itimerval every_ms = { { 0, 1000 }, { 0, 1000 } };
	struct sigaction act = { .sa_handler = on_tick };
	uint64_t i, k, n = test_count(100, 10000);

	sigaction(SIGALRM, &act, NULL);		/* no SA_RESTART */
	setitimer(ITIMER_REAL, &every_ms, NULL);
	for (i = 0; i < sizeof names / sizeof *names; i++)
		for (k = 0; k < n; k++)
			test_result(scenario_run(scenario_find(names[i]), 1),
			    0);
	memset(&every_ms, 0, sizeof every_ms);
	setitimer(ITIMER_REAL, &every_ms, NULL);
	ck_assert_int_gt(__atomic_load_n(&ticks, __ATOMIC_RELAXED), 0);
}

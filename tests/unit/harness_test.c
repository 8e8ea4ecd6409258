/* SPDX-License-Identifier: MIT */
/*
 * harness_test.c - does the harness see what it is there to see?
 *
 * The tests whose names begin with planted_ are bad on purpose and run only by
 * name; the others run the program once more, in a child, with such a name.
 * Not by exec: the program may be running under valgrind or qemu.
 */
#include "harness.h"

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#ifndef RUNNING_ON_VALGRIND
#define RUNNING_ON_VALGRIND	0
#endif

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define PLANTED(name, ...) \
	TEST(planted_##name, .only_by_name = true, ##__VA_ARGS__)

static void
sleep_ms(long ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&ts, NULL);
}

PLANTED(good)
{
	ck_assert_int_eq(1, 1);
}

PLANTED(assertion)
{
	ck_assert_int_eq(test_seed() != 0, 1);
	ck_assert_int_eq(4, 5);
}

PLANTED(crash)
{
	raise(SIGSEGV);
}

PLANTED(abort_that_is_expected, .signal = SIGABRT)
{
	raise(SIGABRT);
}

PLANTED(exit)
{
	_exit(3);
}

PLANTED(hang)
{
	for (;;)
		pause();
}

PLANTED(hang_deaf)
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	for (;;)
		pause();
}

PLANTED(descriptor)
{
	ck_assert_int_ge(open("/dev/null", O_RDONLY), 0);
}

PLANTED(descriptor_on_purpose, .leaves_fds = true)
{
	ck_assert_int_ge(open("/dev/null", O_RDONLY), 0);
}

static void *
sleeper(void *arg)
{
	pause();
	return arg;
}

PLANTED(thread)
{
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, sleeper, NULL), 0);
}

PLANTED(skip)
{
	test_skip("no reason");
}

PLANTED(noise)
{
	printf("not ok 1 - this is no result\n");
}

/* --- the tests of them --- */

struct plant {
	const char *name;
	const char *seed;
	const char *seconds;
};

static int
run_planted(void *arg)
{
	const struct plant *p = arg;
	char program[] = "harness_test", name[64];
	char *argv[3] = { program, name, NULL };

	/* Whatever hangs must not outlive us. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setenv("WEFT_TEST_TIMEOUT", p->seconds, 1);
	if (p->seed)
		setenv("SEED", p->seed, 1);
	dup2(STDERR_FILENO, STDOUT_FILENO);
	snprintf(name, sizeof name, "%s", p->name);
	return test_program(2, argv);
}

static struct test_child
plant_for(const char *name, const char *seed, const char *seconds)
{
	struct plant p = { name, seed, seconds };

	return test_child_for(45, run_planted, &p);
}

static struct test_child
plant(const char *name)
{
	return plant_for(name, NULL, "20");
}

TEST(a_good_test_passes)
{
	struct test_child r = plant("planted_good");

	test_result(r.code, 0);
	test_has(r.err, "ok 1 - planted_good");
	ck_assert_ptr_null(strstr(r.err, "not ok"));
}

TEST(a_failing_assertion_fails_and_tells_its_seed)
{
	struct test_child r = plant_for("planted_assertion", "4711", "20");

	test_result(r.code, 1);
	test_has(r.err, "not ok 1 - planted_assertion");
	test_has(r.err, "harness_test.c:");
	test_has(r.err, "4 == 5");
	test_has(r.err, "# SEED=4711\n");
}

TEST(a_crash_fails_and_says_how_far_it_came)
{
	struct test_child r = plant("planted_crash");

	test_result(r.code, 1);
	test_has(r.err, "not ok 1 - planted_crash");
}

TEST(an_exit_fails)
{
	struct test_child r = plant("planted_exit");

	test_result(r.code, 1);
	test_has(r.err, "not ok 1 - planted_exit");
}

TEST(an_expected_signal_passes)
{
	struct test_child r = plant("planted_abort_that_is_expected");

	test_result(r.code, 0);
}

TEST(a_hang_fails_in_time_and_says_so)
{
	int64_t begin = test_now();
	struct test_child r = plant_for("planted_hang", NULL, "1");

	test_result(r.code, 1);
	test_has(r.err, "not ok 1 - planted_hang");
	test_has(r.err, "harness: time is up");
	test_has(r.err, "# the time is up");
	test_between(test_now() - begin, INT64_C(1000000000),
	    INT64_C(30000000000));
}

TEST(a_hang_with_all_signals_blocked_fails_too)
{
	struct test_child r = plant_for("planted_hang_deaf", NULL, "1");

	test_result(r.code, 1);
	test_has(r.err, "not ok 1 - planted_hang_deaf");
}

TEST(a_descriptor_left_open_fails)
{
	struct test_child r = plant("planted_descriptor");

	test_result(r.code, 1);
	test_has(r.err, "not ok 1 - planted_descriptor (");
	test_has(r.err, "/dev/null");
	r = plant("planted_descriptor_on_purpose");
	test_result(r.code, 0);
}

TEST(a_thread_left_running_fails)
{
	struct test_child r = plant("planted_thread");

	test_result(r.code, 1);
	test_has(r.err, "left 1 threads running");
	ck_assert_ptr_null(strstr(r.err, "time is up"));
}

TEST(a_skipped_test_passes_and_says_why)
{
	struct test_child r = plant("planted_skip");

	test_result(r.code, 0);
	test_has(r.err, "ok 1 - planted_skip # SKIP no reason\n");
}

TEST(what_a_test_prints_is_no_result)
{
	struct test_child r = plant("planted_noise");

	test_result(r.code, 0);
	test_has(r.err, "this is no result");
	test_has(r.err, "1..1\n");
}

static int
speaks_and_dies(void *arg)
{
	fputs(arg, stderr);
	abort();
}

static int
speaks_and_returns(void *arg)
{
	fputs(arg, stderr);
	return 5;
}

static int
sleeps(void *arg)
{
	(void)arg;
	sleep_ms(3600 * 1000L);
	return 0;
}

TEST(a_child_tells_how_it_ended)
{
	char text[] = "last words\n";
	struct test_child r = test_child(speaks_and_dies, text);

	ck_assert_int_eq(r.code, -1);
	ck_assert_int_eq(r.signal, SIGABRT);
	test_has(r.err, "last words\n");
	r = test_child(speaks_and_returns, text);
	ck_assert_int_eq(r.code, 5);
	ck_assert_int_eq(r.signal, 0);
	ck_assert_str_eq(r.err, text);
}

TEST(a_child_that_hangs_is_killed)
{
	struct test_child r = test_child_for(0, sleeps, NULL);

	ck_assert_int_eq(r.signal, SIGKILL);
}

TEST(a_seed_stays_the_same_and_random_numbers_follow_from_it)
{
	uint64_t a = test_seed(), b = test_seed(), sum = 0;
	int i;

	ck_assert_uint_eq(a, b);
	for (i = 0; i < 1000; i++) {
		ck_assert_uint_eq(test_random(&a), test_random(&b));
		sum += test_below(&a, 10);
		test_below(&b, 10);
	}
	/* 4500 and 90 off would be one in 100 million: 2.87 * sqrt(1000). */
	test_between(sum, 4500 - 520, 4500 + 520);
}

TEST(workers_are_gone_through)
{
	int n = 0, last = 0;

	unsetenv("WEFT_TEST_WORKERS");
	FOR_WORKERS(w) {
		ck_assert_int_gt(w, last);
		last = w;
		n++;
	}
	ck_assert_int_eq(n, RUNNING_ON_VALGRIND ? 3 : 4);
	ck_assert_int_eq(last, RUNNING_ON_VALGRIND ? 4 : 16);
	setenv("WEFT_TEST_WORKERS", "3", 1);
	n = 0;
	FOR_WORKERS(w) {
		ck_assert_int_eq(w, 3);
		n++;
	}
	ck_assert_int_eq(n, 1);
}

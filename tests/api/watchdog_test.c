/* SPDX-License-Identifier: MIT */
/*
 * watchdog_test.c - whom the watchdog names, and whom it does not.
 *
 * Each case runs in a process of its own; what it writes is read from there.
 * A hog burns processor time, not time: on a busy machine that is another
 * thing.
 */
#include "harness.h"

#include <weft.h>

#include <dlfcn.h>
#include <regex.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

enum { TIME = 40 };		/* ms */

struct what {
	co_fn *fn;
	int workers;
	co_time watchdog;
};

static int
run_it(void *arg)
{
	struct what *w = arg;
	struct co_options o = { .workers = w->workers,
	    .watchdog = w->watchdog };

	return co_run(&o, w->fn, NULL);
}

static struct test_child
watched(co_fn *fn, int workers)
{
	struct what w = { fn, workers, CO_MS(TIME) };

	return test_child_for(60, run_it, &w);
}

static int
times_in(const char *text, const char *part)
{
	int n = 0;

	while ((text = strstr(text, part)) != NULL) {
		text++;
		n++;
	}
	return n;
}

static void
matches(const char *text, const char *expression)
{
	regex_t re;

	ck_assert_int_eq(regcomp(&re, expression, REG_EXTENDED | REG_NEWLINE),
	    0);
	ck_assert_msg(regexec(&re, text, 0, NULL, 0) == 0, "\"%s\" in \"%s\"",
	    expression, text);
	regfree(&re);
}

static int64_t
used(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * CO_SEC(1) + ts.tv_nsec;
}

/* --- who computes --------------------------------------------------------- */

static volatile int turns;

__attribute__((noinline)) static int
burn(void *arg)
{
	int64_t from = used();

	(void)arg;
	while (used() - from < CO_MS(TIME) * 5)
		turns = turns + 1;
	return turns ? 0 : 1;
}

static int
hog(void *arg)
{
	int code;

	co_set_name("hog");
	code = burn(arg);
	co_sleep(CO_MS(1));
	return code;
}

static int
hog_main(void *arg)
{
	struct co_task t;

	(void)arg;
	if (co_fork(&t, hog, NULL) < 0)
		return 1;
	return co_join(&t);
}

static bool
stands_in(const char *text, co_fn *fn)
{
	uintptr_t at, from = (uintptr_t)fn;
	const char *plus = strstr(text, "    at ");
	Dl_info info;

	ck_assert_int_ne(dladdr((void *)from, &info), 0);
	from -= (uintptr_t)info.dli_fbase;
	while (plus && (plus = strstr(plus, "+0x")) != NULL) {
		at = (uintptr_t)strtoull(plus + 3, NULL, 16);
		if (at > from && at < from + 512)
			return true;
		plus += 3;
	}
	return false;
}

TEST(who_computes_for_too_long_is_named_once_and_shown)
{
	FOR_WORKERS(w) {
		struct test_child c = watched(hog_main, w);

		ck_assert_int_eq(c.code, 0);
		matches(c.err, "^weft: coroutine [0-9]+ \"hog\" \\(spawned by 1 in "
		    ".*\\) has kept worker [0-9]+ busy for [0-9]+ ms$");
		ck_assert_int_eq(times_in(c.err, "has kept worker"), 1);
		/* ThreadSanitizer keeps signals back. */
		if (!TEST_TSAN && !test_emulated())
			ck_assert_msg(stands_in(c.err, burn) ||
			    stands_in(c.err, hog), "%s", c.err);
	}
}

static int
three_times(void *arg)
{
	int i;

	for (i = 0; i < 3; i++) {
		burn(arg);
		co_sleep(CO_MS(1));
	}
	return 0;
}

TEST(each_stretch_is_named)
{
	struct test_child c = watched(three_times, 1);

	ck_assert_int_eq(c.code, 0);
	ck_assert_int_eq(times_in(c.err, "has kept worker 0 busy for"), 3);
}

/* --- who blocks ----------------------------------------------------------- */

static int
block(void *arg)
{
	int64_t from = test_now();

	(void)arg;
	if (usleep(TIME * 10 * 1000) != 0)
		return 1;	/* EINTR: it must not be interrupted */
	return test_now() - from >= CO_MS(TIME) * 10 ? 0 : 1;
}

static int
block_all(void *arg)
{
	struct co_task t;
	int code;

	if (co_fork(&t, block, arg) < 0)
		return 1;
	code = block(arg);
	return code | co_join(&t);
}

TEST(who_blocks_its_worker_is_named_and_not_interrupted)
{
	struct test_child c = watched(block, 1);

	ck_assert_int_eq(c.code, 0);
	matches(c.err, "^weft: coroutine 1 has kept worker 0 busy for [0-9]+ "
	    "ms, in a blocking call");
	ck_assert_int_eq(times_in(c.err, "has kept worker"), 1);
	ck_assert_int_eq(times_in(c.err, "weft: every worker (1) is in a "
	    "blocking call: no other coroutine can run\n"), 1);
}

TEST(that_not_all_are_stuck_is_known)
{
	struct test_child c = watched(block, 4);

	ck_assert_int_eq(c.code, 0);
	ck_assert_int_eq(times_in(c.err, "has kept worker"), 1);
	ck_assert_int_eq(times_in(c.err, "every worker"), 0);
}

TEST(that_all_are_stuck_is_said)
{
	struct test_child c = watched(block_all, 1);

	ck_assert_int_eq(c.code, 0);
	ck_assert_int_ge(times_in(c.err, "every worker (1)"), 1);
}

/* --- who does neither ----------------------------------------------------- */

static int
idle_main(void *arg)
{
	(void)arg;
	return co_sleep(CO_MS(TIME) * 8);
}

static int
talk(void *arg)
{
	chan(int) ch = arg;
	int64_t until = test_now() + CO_MS(TIME) * 8;
	int i = 0, v;

	while (test_now() < until) {
		if (i++ & 1)
			co_yield();
		else if (chan_send(ch, i) < 0 || chan_recv(ch, &v) < 0)
			return 1;
	}
	return 0;
}

static int
busy_main(void *arg)
{
	chan(int) ch = chan_new(int, 64);
	struct co_scope s;
	int i;

	(void)arg;
	co_scope(s)
		for (i = 0; i < 8; i++)
			co_spawn(talk, ch);
	chan_unref(ch);
	return s.status;
}

static int
lone_yielder(void *arg)
{
	int64_t until = test_now() + CO_MS(TIME) * 8;

	(void)arg;
	while (test_now() < until)
		co_yield();
	return 0;
}

TEST(nobody_else_is_named)
{
	co_fn *const fns[] = { idle_main, busy_main, lone_yielder };
	int i;

	FOR_WORKERS(w)
		for (i = 0; i < 3; i++) {
			struct test_child c = watched(fns[i], w);

			ck_assert_int_eq(c.code, 0);
			ck_assert_str_eq(c.err, "");
		}
}

static int
deadlock_main(void *arg)
{
	(void)arg;
	return co_select_v(NULL, 0) == -ECANCELED ? 0 : 1;
}

static int
deadlock_child(void *arg)
{
	return run_it(arg) == -EDEADLK ? 33 : 1;
}

TEST(its_thread_does_not_hide_a_deadlock)
{
	FOR_WORKERS(w) {
		struct what what = { deadlock_main, w, CO_MS(TIME) };
		struct test_child c = test_child(deadlock_child, &what);

		ck_assert_int_eq(c.code, 33);
		test_has(c.err, "deadlock: all coroutines are asleep\n");
	}
}

/* --- how it is asked for -------------------------------------------------- */

static int
by_environment(void *arg)
{
	struct what w = { three_times, 1, 0 };

	setenv("WEFT_WATCHDOG", arg, 1);
	return run_it(&w) < 0 ? 44 : 0;
}

TEST(the_environment_may_ask_for_it)
{
	struct test_child c = test_child(by_environment, "40");

	ck_assert_int_eq(c.code, 0);
	ck_assert_int_eq(times_in(c.err, "has kept worker 0 busy for"), 3);
	c = test_child(by_environment, "");
	ck_assert_int_eq(c.code, 0);
	ck_assert_str_eq(c.err, "");
	ck_assert_int_eq(test_child(by_environment, "soon").code, 44);
	ck_assert_int_eq(test_child(by_environment, "-1").code, 44);
}

TEST(a_time_out_of_range_is_refused)
{
	struct what w = { idle_main, 1, -1 };

	test_result(run_it(&w), -EINVAL);
	w.watchdog = CO_US(999);
	test_result(run_it(&w), -EINVAL);
	w.watchdog = CO_FOREVER;
	test_result(run_it(&w), -EINVAL);
}

/* --- its signal ----------------------------------------------------------- */

static volatile sig_atomic_t urgent;

static void
on_urgent(int signo)
{
	(void)signo;
	urgent = 1;
}

static int
own_handler(void *arg)
{
	struct sigaction now;
	int code;

	signal(SIGURG, on_urgent);
	code = run_it(arg);
	sigaction(SIGURG, NULL, &now);
	return code || urgent || now.sa_handler != on_urgent;
}

static int
no_handler(void *arg)
{
	struct sigaction now;
	sigset_t set, old;
	int code;

	sigemptyset(&set);
	sigaddset(&set, SIGURG);
	sigprocmask(SIG_BLOCK, &set, NULL);
	code = run_it(arg);
	sigaction(SIGURG, NULL, &now);
	sigprocmask(SIG_BLOCK, NULL, &old);
	return code || now.sa_handler != SIG_DFL || !sigismember(&old, SIGURG);
}

static int
waits_for_it(void *arg)
{
	(void)arg;
	return co_select(co_on_signal(SIGURG), co_otherwise) == 1 ? 0 : 1;
}

/* One that was caught by co_on_signal for a while, and then by the watchdog. */
static int
after_a_wait(void *arg)
{
	struct what w = { waits_for_it, 1, CO_MS(TIME) };
	int code = run_it(&w);

	return code ? code : run_it(arg);
}

TEST(who_waited_for_its_signal_leaves_it_to_the_next_watchdog)
{
	struct what w = { hog_main, 1, CO_MS(TIME) };
	struct test_child c = test_child(after_a_wait, &w);

	ck_assert_int_eq(c.code, 0);
	ck_assert_int_eq(times_in(c.err, "has kept worker"), 1);
	if (!TEST_TSAN && !test_emulated())
		ck_assert_int_ge(times_in(c.err, "    at "), 1);
}

TEST(a_program_that_uses_its_signal_is_left_alone)
{
	struct what w = { hog_main, 2, CO_MS(TIME) };
	struct test_child c = test_child(own_handler, &w);

	ck_assert_int_eq(c.code, 0);
	ck_assert_int_eq(times_in(c.err, "has kept worker"), 1);
	ck_assert_int_eq(times_in(c.err, "    at "), 0);
	ck_assert_int_eq(test_child(no_handler, &w).code, 0);
}

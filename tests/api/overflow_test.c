/* SPDX-License-Identifier: MIT */
/*
 * overflow_test.c - a stack that overflows is named, and other faults are not
 * taken for one.
 */
#include "harness.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <weft/chan.h>
#include <weft/inspect.h>
#include <weft/scope.h>

/* How a coroutine is made that overflows. */
struct victim {
	int workers;
	const char *name;
	size_t stack_size;	/* 0: the default */
	size_t default_size;
	int others;		/* that are parked meanwhile */
	int uses;		/* of stacks before: are guards still there? */
	co_fn *fn;
};

static volatile char sink;
static int recurse(int n);
static int wide(int n);
/* Not to be made a loop. */
static int (*volatile again)(int) = recurse, (*volatile deeper)(int) = wide;

static int __attribute__((noinline))
recurse(int n)
{
	volatile char frame[100];

	frame[n % 100] = (char)n;
	sink = frame[n % 100];
	return again(n + 1) + frame[0];
}

static int
overflow(void *arg)
{
	(void)arg;
	return recurse(0);
}

/* Frames that step right over the guard, and are then touched from their near
   end on, as under -fstack-clash-protection. */
static int __attribute__((noinline))
wide(int n)
{
	volatile char frame[40 * 1024];
	size_t i;

	for (i = sizeof frame; i > 1024; i -= 1024)
		frame[i - 1] = (char)n;
	sink = frame[1023];
	return deeper(n + 1) + frame[2047];
}

static int
big_frames(void *arg)
{
	(void)arg;
	return wide(0);
}

static int
sleep_on(void *arg)
{
	(void)arg;
	return co_sleep(CO_FOREVER) == -ECANCELED ? 0 : 1;
}

/* Uses a good deal of its stack, but not all. */
static int
dig(void *arg)
{
	volatile char frame[100 * 1024];
	size_t i;

	(void)arg;
	for (i = sizeof frame; i >= 4096; i -= 4096)
		frame[i - 1] = 1;
	co_yield();
	return frame[4095] - 1;
}

static int
victim_main(void *arg)
{
	struct victim *v = arg;
	struct co_spawn_options o = {
		.name = v->name, .stack_size = v->stack_size };
	struct co_scope s;
	int i;

	co_scope(s)
		for (i = 0; i < v->uses; i++)
			test_result(co_spawn(dig, NULL), 0);
	for (i = 0; i < v->others; i++)
		test_result(co_spawn(sleep_on, NULL), 0);
	co_scope(s)
		test_result(co_spawn_with(&o, v->fn, NULL), 0);
	return 1;
}

static int
run_victim(void *arg)
{
	struct victim *v = arg;
	struct co_options o = {
		.workers = v->workers, .stack_size = v->default_size };

	return co_run(&o, victim_main, v) ? 1 : 2;
}

static void
expect_overflow(struct victim v)
{
	size_t size = v.stack_size ? v.stack_size :
	    v.default_size ? v.default_size : 256 * 1024;
	struct test_child c;
	char part[64];

	if (!v.fn)
		v.fn = overflow;
	c = test_child(run_victim, &v);
	test_has(c.err, "stack overflow in coroutine ");
	ck_assert_msg(strncmp(c.err, "stack overflow in coroutine ", 28) == 0 ||
	    TEST_ASAN, "something came before: %s", c.err);
	if (v.name)
		test_has(c.err, v.name);
	snprintf(part, sizeof part, "%zu", size);
	test_has(c.err, part);
	ck_assert_msg(c.signal == SIGSEGV || c.signal == SIGBUS,
	    "code %d, signal %d", c.code, c.signal);
}

TEST(an_overflow_is_named_with_its_coroutine_and_the_size_of_its_stack)
{
	FOR_WORKERS(w) {
		expect_overflow((struct victim){ .workers = w });
		expect_overflow((struct victim){ .workers = w,
		    .name = "the-deep-one" });
		expect_overflow((struct victim){ .workers = w,
		    .stack_size = 64 * 1024, .name = "small" });
		expect_overflow((struct victim){ .workers = w,
		    .stack_size = 1024 * 1024, .name = "large" });
		expect_overflow((struct victim){ .workers = w,
		    .default_size = 128 * 1024 });
	}
}

TEST(a_big_frame_is_an_overflow_too)
{
	expect_overflow((struct victim){ .workers = 2, .fn = big_frames,
	    .name = "wide" });
}

TEST(guards_are_there_after_stacks_were_used_again_and_again)
{
	expect_overflow((struct victim){ .workers = 1, .uses = 2000 });
	expect_overflow((struct victim){ .workers = 4, .uses = 5000,
	    .name = "late" });
}

TEST(an_overflow_is_named_among_very_many)
{
	expect_overflow((struct victim){ .workers = 2, .name = "one-of-many",
	    .others = (int)test_count(20000, 1000000) });
}

TEST(an_overflow_is_named_where_guards_are_mprotects)
{
	setenv("WEFT_STACK_GUARD", "mprotect", 1);
	expect_overflow((struct victim){ .workers = 2, .name = "protected" });
	expect_overflow((struct victim){ .workers = 1, .uses = 1000,
	    .others = 1000 });
}

/* As before signalfd(2): the caller's mask is worker 0's. */
static int
run_blocked(void *arg)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	return test_run((int)(intptr_t)arg, overflow, NULL) ? 1 : 2;
}

TEST(an_overflow_is_named_where_the_caller_blocks_all_signals)
{
	struct test_child c;

	FOR_WORKERS(w) {
		c = test_child(run_blocked, (void *)(intptr_t)w);
		test_has(c.err, "stack overflow in coroutine ");
		ck_assert_int_eq(c.signal, SIGSEGV);
	}
}

static bool
blocked(int sig)
{
	sigset_t now;

	sigemptyset(&now);
	pthread_sigmask(SIG_BLOCK, NULL, &now);
	return sigismember(&now, sig) == 1;
}

/* Who changes his mask inside finds it so afterwards. */
static int
block_one_more(void *arg)
{
	sigset_t set;

	(void)arg;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	return blocked(SIGSEGV) + 2 * blocked(SIGBUS) + 4 * blocked(SIGUSR1);
}

TEST(the_caller_gets_his_signal_mask_back)
{
	sigset_t set;

	test_result(test_run(1, block_one_more, NULL), 0);
	ck_assert(!blocked(SIGSEGV) && !blocked(SIGBUS) && blocked(SIGUSR2));
	sigemptyset(&set);
	sigaddset(&set, SIGBUS);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_SETMASK, &set, NULL);
	test_result(test_run(1, block_one_more, NULL), 4);
	ck_assert(!blocked(SIGSEGV) && blocked(SIGBUS) && blocked(SIGUSR1));
	ck_assert(blocked(SIGUSR2));
	sigaddset(&set, SIGSEGV);
	pthread_sigmask(SIG_SETMASK, &set, NULL);
	test_result(test_run(1, block_one_more, NULL), 4);
	ck_assert(blocked(SIGSEGV) && blocked(SIGBUS));
}

static int
return_at_once(void *arg)
{
	return (int)(intptr_t)arg;
}

/* As a crash reporter does that puts back what it had found. */
static int
run_after_reset(void *arg)
{
	test_result(test_run(2, return_at_once, NULL), 0);
	signal(SIGSEGV, SIG_DFL);
	signal(SIGBUS, SIG_DFL);
	return test_run(2, (co_fn *)arg, NULL) ? 1 : 2;
}

TEST(an_overflow_is_named_though_the_handler_was_taken_away_between_runs)
{
	struct test_child c = test_child(run_after_reset, (void *)overflow);

	test_has(c.err, "stack overflow in coroutine ");
	ck_assert_int_eq(c.signal, SIGSEGV);
}

/* What co_run's caller does with his own stack is no business of weft's. */
static int
overflow_after(void *arg)
{
	(void)arg;
	test_run(2, return_at_once, NULL);
	return recurse(0);
}

TEST(an_overflow_of_a_plain_stack_is_not_called_a_coroutines)
{
	struct test_child c = test_child(overflow_after, NULL);

	ck_assert_msg(strstr(c.err, "in coroutine") == NULL, "%s", c.err);
	ck_assert_int_ne(c.code, 0);
}

/* --- other faults ----------------------------------------------------------- */

static int *volatile nowhere;

/* UBSan would see it coming and end the program before the fault. */
__attribute__((no_sanitize("undefined")))
static int
write_null(void *arg)
{
	(void)arg;
	*nowhere = 1;
	return 0;
}

static char *volatile forbidden;

static int
write_forbidden(void *arg)
{
	(void)arg;
	forbidden[100] = 1;
	return 0;
}

enum { SURVIVED = 41 };

static int
run_it(void *arg)
{
	return test_run(2, (co_fn *)arg, NULL) ? SURVIVED : SURVIVED + 1;
}

static int
write_forbidden_child(void *arg)
{
	(void)arg;
	forbidden = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
	    -1, 0);
	return run_it(write_forbidden);
}

static int
raise_it(void *arg)
{
	(void)arg;
	return raise(SIGSEGV);
}


TEST(another_fault_kills_as_it_always_did)
{
	struct test_child c[3];
	int i;

	c[0] = test_child(run_it, (void *)write_null);
	ck_assert_ptr_null(strstr(c[0].err, "in coroutine"));
	c[1] = test_child(write_forbidden_child, NULL);
	ck_assert_ptr_null(strstr(c[1].err, "in coroutine"));
	c[2] = test_child(run_it, (void *)raise_it);
	ck_assert_ptr_null(strstr(c[2].err, "in coroutine"));
	for (i = 0; i < 3; i++)
		/* A sanitizer exits, after a report of its own. */
		ck_assert_msg(c[i].signal == SIGSEGV ||
		    (test_slow() > 1 && c[i].code > 0 &&
		    c[i].code != SURVIVED && c[i].code != SURVIVED + 1),
		    "%d: code %d, signal %d", i, c[i].code, c[i].signal);
}

static void
own_handler(int sig, siginfo_t *info, void *context)
{
	static const char line[] = "my own handler\n";
	ssize_t n = write(2, line, sizeof line - 1);

	(void)n;
	(void)context;
	_exit(sig == SIGSEGV && info->si_addr == NULL ? 42 : 43);
}

static void
install_own(void)
{
	struct sigaction act = { .sa_sigaction = own_handler,
		.sa_flags = SA_SIGINFO | SA_ONSTACK };

	sigaction(SIGSEGV, &act, NULL);
}

static int
handler_before(void *arg)
{
	install_own();
	return test_run(2, (co_fn *)arg, NULL) ? 1 : 2;
}

static int
install_and_fault(void *arg)
{
	install_own();
	return write_null(arg);
}

static int
handler_inside(void *arg)
{
	(void)arg;
	return test_run(2, install_and_fault, NULL) ? 1 : 2;
}

TEST(the_programs_own_handler_gets_the_other_faults)
{
	struct test_child c;

	c = test_child(handler_before, (void *)write_null);
	ck_assert_msg(c.code == 42, "code %d, signal %d: %s", c.code, c.signal,
	    c.err);
	test_has(c.err, "my own handler");
	c = test_child(handler_inside, NULL);
	ck_assert_int_eq(c.code, 42);
	/* An overflow is named all the same. */
	c = test_child(handler_before, (void *)overflow);
	test_has(c.err, "stack overflow in coroutine ");
	ck_assert_int_ne(c.code, 0);
}

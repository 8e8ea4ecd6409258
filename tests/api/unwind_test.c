/* SPDX-License-Identifier: MIT */
/*
 * unwind_test.c - what leaves a coroutine's frames otherwise than by return:
 * longjmp works within a coroutine, and the end of a thread is told.
 * Exceptions: tests/cxx.
 */
#include "harness.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>

#include <weft/io.h>
#include <weft/scope.h>

/* Of frames that were left otherwise than by return it says that they were
   overrun. */
#if defined __clang__
#define GCC_ASAN	0
#else
#define GCC_ASAN	TEST_ASAN
#endif

#define TOLD	"weft: bug: a coroutine or a job ended its thread"

/* --- longjmp within a coroutine -------------------------------------------- */

struct jump {
	jmp_buf back;
	int depth;
	int jumps;		/* how often it came back */
};

static __attribute__((noinline)) int
down(struct jump *j, int level)
{
	volatile char canary[64];
	int i, below;

	memset((void *)canary, level, sizeof canary);
	if (level % 4 == 0)
		co_yield();
	if (level == j->depth)
		longjmp(j->back, j->depth);
	below = level < 1000 ? down(j, level + 1) : 0;
	for (i = 0; i < (int)sizeof canary; i++)	/* it is never here */
		ck_assert_int_eq(canary[i], level);
	return below;
}

static int
jump_about(void *arg)
{
	int id = (int)(intptr_t)arg, rounds = (int)test_count(50, 2000);
	volatile int local = id;
	struct jump j = { .depth = 1 };
	int got;

	while (j.jumps < rounds) {
		got = setjmp(j.back);
		if (got == 0) {
			/* It goes on on another worker, perhaps. */
			co_yield();
			down(&j, 0);
			ck_abort_msg("down() returned");
		}
		ck_assert_int_eq(got, j.depth);
		ck_assert_int_eq(local, id);
		j.jumps++;
		j.depth = 1 + (id + j.jumps) % 40;
		if (j.jumps % 8 == 0)
			test_result(co_sleep(CO_US(10)), 0);
	}
	return 0;
}

static int
many_jump(void *arg)
{
	struct co_scope s;
	intptr_t i;

	(void)arg;
	co_scope(s)
		for (i = 0; i < 20; i++)
			test_result(co_spawn(jump_about, (void *)i), 0);
	return s.status;
}

TEST(longjmp_within_a_coroutine_keeps_it_whole)
{
	FOR_WORKERS(w)
		test_result(test_run(w, many_jump, NULL), 0);
}

/* --- the end of a thread ---------------------------------------------------- */

struct end {
	void (*end)(void);
	int workers;
	bool first;		/* ... coroutine does it, not another one */
};

static void
end_by_exit(void)
{
	pthread_exit(NULL);
}

static void
end_by_cancel(void)
{
	pthread_cancel(pthread_self());
	pthread_testcancel();
}

static int
end_thread(void *arg)
{
	struct end *e = arg;
	char name[40];

	snprintf(name, sizeof name, "number %llu",
	    (unsigned long long)co_id());
	co_set_name(name);
	co_yield();
	e->end();
	return 0;
}

static int
first_of_end(void *arg)
{
	struct end *e = arg;

	if (e->first)
		return end_thread(e);
	test_result(co_spawn(end_thread, e), 0);
	return co_sleep(CO_FOREVER);
}

static int
run_to_the_end(void *arg)
{
	struct end *e = arg;

	test_run(e->workers, first_of_end, e);
	return 0;
}

/* What the process said. */
static const char *
dies_of_it(int (*fn)(void *), void *arg)
{
	struct test_child c = test_child(fn, arg);

	ck_assert_int_eq(c.signal, SIGABRT);
	test_has(c.err, TOLD);
	return c.err;
}

/* The coroutine whose id and name stand there, as end_thread gave it. */
static int
named(const char *text)
{
	const char *at = strstr(text, "in coroutine ");
	int id = 0, name = -1;

	ck_assert_msg(at && sscanf(at, "in coroutine %d \"number %d\"", &id,
	    &name) == 2 && id == name, "%s", text);
	return id;
}

static void
is_told(void (*end)(void))
{
	FOR_WORKERS(w) {
		struct end e = { end, w, false };

		ck_assert_int_gt(named(dies_of_it(run_to_the_end, &e)), 1);
		e.first = true;
		ck_assert_int_eq(named(dies_of_it(run_to_the_end, &e)), 1);
	}
}

TEST(a_coroutine_that_ends_its_thread_is_named)
{
	if (TEST_TSAN || GCC_ASAN)
		test_skip("the sanitizer dies itself of pthread_exit there");
	is_told(end_by_exit);
}

TEST(a_coroutine_whose_thread_is_cancelled_is_named)
{
	if (GCC_ASAN)
		test_skip("the sanitizer dies itself of the cancellation");
	is_told(end_by_cancel);
}

static int
end_in_job(void *arg)
{
	(void)arg;
	pthread_exit(NULL);
}

static int
await_job(void *arg)
{
	return co_blocking(end_in_job, arg);
}

static int
run_job_to_the_end(void *arg)
{
	test_run((int)(intptr_t)arg, await_job, NULL);
	return 0;
}

TEST(a_job_that_ends_its_thread_is_told)
{
	FOR_WORKERS(w)
		dies_of_it(run_job_to_the_end, (void *)(intptr_t)w);
}

static int
cancel_and_wait(void *arg)
{
	(void)arg;
	pthread_cancel(pthread_self());
	return co_sleep(CO_FOREVER);
}

static int
cancel_a_worker(void *arg)
{
	test_run((int)(intptr_t)arg, cancel_and_wait, NULL);
	return 0;
}

/* The cancellation is met where nobody runs: in the calls of the worker. */
TEST(a_worker_that_is_cancelled_as_it_idles_says_so)
{
	if (GCC_ASAN)
		test_skip("the sanitizer dies itself of the cancellation");
	FOR_WORKERS(w)
		dies_of_it(cancel_a_worker, (void *)(intptr_t)w);
}

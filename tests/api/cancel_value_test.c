/* SPDX-License-Identifier: MIT */
/*
 * cancel_value_test.c - waits for values, jobs, processes and signals, ended in
 * every way at every moment.
 */
#include "cancel_cell.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <weft.h>

static struct {
	co_future(int) future;
	co_bcast(int) bcast;
	co_sub(int) sub;
	co_watch(int) watch;
	chan(int) ch;
	pid_t child;
	struct background hog;
	int hog_runs, hog_may_end;	/* [atomic] */
	int ran;
} v;

/* What a wait gave that was to set got, -1, to 42. */
static int
value(int code, int got)
{
	ck_assert_int_eq(got, code == 0 ? 42 : -1);
	return code;
}

/* --- futures, broadcasts, watches ----------------------------------------- */

static void
init_future(void)
{
	v.future = co_future_new(int);
	ck_assert_ptr_nonnull(v.future);
}

static int
finish_future(void)
{
	return co_future_set(v.future, 42);
}

static int
wait_future(void)
{
	int got = -1, code = co_future_get(v.future, &got);

	return value(code, got);
}

static int
wait_select_future(void)
{
	int got = -1, status = 5, code;

	code = co_select(co_on_future(v.future, &got, &status));
	ck_assert_int_eq(status, code == 0 ? 0 : 5);
	return value(code, got);
}

static void
fini_future(void)
{
	co_future_unref(v.future);
}

static void
init_sub(void)
{
	v.bcast = co_bcast_new(int, 1, CO_BCAST_WAIT);
	v.sub = co_bcast_subscribe(v.bcast);
	ck_assert_ptr_nonnull(v.sub);
}

static int
finish_sub(void)
{
	return co_bcast_send(v.bcast, 42);
}

static int
wait_sub(void)
{
	int got = -1, code = co_sub_recv(v.sub, &got);

	return value(code, got);
}

static int
wait_select_sub(void)
{
	int got = -1, status = 5, code;

	code = co_select(co_on_sub(v.sub, &got, &status));
	ck_assert_int_eq(status, code == 0 ? 0 : 5);
	return value(code, got);
}

/* Nothing is left. */
static void
fini_sub(void)
{
	int got;

	ck_assert_int_eq(co_select(co_on_sub(v.sub, &got), co_otherwise), 1);
	co_sub_unref(v.sub);
	co_bcast_unref(v.bcast);
}

static void
init_bcast(void)
{
	init_sub();
	test_result(co_bcast_send(v.bcast, 7), 0);	/* it is full */
}

static int
finish_bcast(void)
{
	int got = 0, code = co_sub_recv(v.sub, &got);

	return code == 0 && got != 7 ? -EPROTO : code;
}

static int
wait_bcast(void)
{
	return co_bcast_send(v.bcast, 42);
}

/* It was sent once. */
static void
fini_bcast(void)
{
	test_result(wait_sub(), 0);
	fini_sub();
}

static void
init_watch(void)
{
	v.watch = co_watch_new(int, 1);
	ck_assert_ptr_nonnull(v.watch);
}

static int
finish_watch(void)
{
	return co_watch_set(v.watch, 42);
}

static int
wait_watch(void)
{
	uint64_t version = 1;
	int got = -1, code = co_watch_next(v.watch, &got, &version);

	ck_assert_uint_eq(version, code == 0 ? 2 : 1);
	return value(code, got);
}

static int
wait_select_watch(void)
{
	uint64_t version = 1;
	int got = -1, code;

	code = co_select(co_on_watch(v.watch, &got, &version));
	ck_assert_uint_eq(version, code == 0 ? 2 : 1);
	return value(code, got);
}

static void
fini_watch(void)
{
	co_watch_unref(v.watch);
}

/* --- a generator that waits ----------------------------------------------- */

static void
init_gen(void)
{
	v.ch = chan_new(int, 0);
}

static int
finish_gen(void)
{
	return chan_send(v.ch, 42);
}

static int
gen(co_gen(int) g, void *arg)
{
	int got, code = chan_recv(v.ch, &got);

	(void)arg;
	return code ? code : co_gen_yield(g, got);
}

static int
wait_gen(void)
{
	co_gen(int) g = co_gen_new(int, gen, NULL);
	int got = -1, code = co_gen_next(g, &got);

	co_gen_free(g);
	return value(code, got);
}

static void
fini_gen(void)
{
	chan_unref(v.ch);
}

/* --- jobs ----------------------------------------------------------------- */

static int
hog_job(void *arg)
{
	store(&v.hog_runs, 1);
	while (!load(&v.hog_may_end))
		usleep(100);
	return (int)(intptr_t)arg;
}

static int
hog(void)
{
	return co_blocking(hog_job, NULL);
}

/* All of the pool, one thread, is busy. */
static void
init_job(void)
{
	v.hog_runs = v.hog_may_end = v.ran = 0;
	start(&v.hog, hog);
	while (!load(&v.hog_runs))
		co_yield();
}

static int
finish_job(void)
{
	store(&v.hog_may_end, 1);
	return 0;
}

static int
job(void *arg)
{
	(void)arg;
	v.ran++;
	return 42;
}

/* One that has begun is waited for, whatever the code is then. */
static int
wait_job(void)
{
	int before = v.ran, code = co_blocking(job, NULL);

	if (a.moment != RACE || code >= 0)
		ck_assert_int_eq(v.ran - before, code >= 0);
	return code == 42 ? 0 : code;
}

static void
fini_job(void)
{
	finish(&v.hog);
}

/* --- processes ------------------------------------------------------------ */

static void
init_child(void)
{
	v.child = fork();
	ck_assert_int_ge(v.child, 0);
	while (v.child == 0)
		pause();
}

static int
finish_child(void)
{
	return kill(v.child, SIGKILL);
}

static int
waitpid_for(pid_t pid)
{
	int status = -1, code = co_waitpid(pid, &status, 0);

	if (code < 0) {
		ck_assert_int_eq(status, -1);
		return code;
	}
	ck_assert_int_eq(code, v.child);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	return 0;
}

static int
wait_child(void)
{
	return waitpid_for(v.child);
}

static int
wait_any_child(void)
{
	return waitpid_for(-1);
}

static void
fini_child(void)
{
	test_result(co_waitpid(v.child, NULL, 0), -ECHILD);
}

/* --- signals -------------------------------------------------------------- */

/* From the first use on it is caught. */
static void
init_signal(void)
{
	ck_assert_int_eq(co_select(co_on_signal(SIGUSR1), co_otherwise), 1);
}

static int
finish_signal(void)
{
	return kill(getpid(), SIGUSR1);
}

static int
wait_signal(void)
{
	return co_wait_signal(SIGUSR1);
}

static int
wait_select_signal(void)
{
	return co_select(co_on_signal(SIGUSR1));
}

/* --- all of them ---------------------------------------------------------- */

static const struct kind kinds[] = {
	{ "future", init_future, wait_future, finish_future, fini_future },
	{ "select future", init_future, wait_select_future, finish_future,
	  fini_future },
	{ "bcast", init_bcast, wait_bcast, finish_bcast, fini_bcast },
	{ "sub", init_sub, wait_sub, finish_sub, fini_sub },
	{ "select sub", init_sub, wait_select_sub, finish_sub, fini_sub },
	{ "watch", init_watch, wait_watch, finish_watch, fini_watch },
	{ "select watch", init_watch, wait_select_watch, finish_watch,
	  fini_watch },
	{ "gen", init_gen, wait_gen, finish_gen, fini_gen },
	{ "waitpid", init_child, wait_child, finish_child, fini_child },
	{ "waitpid, any", init_child, wait_any_child, finish_child,
	  fini_child },
	{ .name = NULL }
};

static const struct kind inside_kinds[] = {
	{ "job", init_job, wait_job, finish_job, fini_job },
	{ "signal", init_signal, wait_signal, finish_signal, init_signal },
	{ "select signal", init_signal, wait_select_signal, finish_signal,
	  init_signal },
	{ .name = NULL }
};

TEST(a_value_in_a_scope_that_has_ended_is_not_waited_for_nor_taken)
{
	run_matrix(kinds, inside_kinds, BEFORE);
}

TEST(a_parked_wait_for_a_value_is_ended_and_has_had_no_effect)
{
	run_matrix(kinds, inside_kinds, PARKED);
}

TEST(a_wait_for_a_value_that_is_ended_as_it_comes_took_it_or_not,
    .seconds = 300)
{
	run_matrix(kinds, inside_kinds, RACE);
}

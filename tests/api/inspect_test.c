/* SPDX-License-Identifier: MIT */
/*
 * inspect_test.c - <weft/inspect.h>: counters, dumps, SIGQUIT.
 */
#include "harness.h"

#include <weft.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int
nothing(void *arg)
{
	(void)arg;
	return 0;
}

static int
receiver(void *arg)
{
	chan(int) ch = arg;
	int v;

	co_set_name("a receiver");
	return chan_recv(ch, &v);
}

/* --- counters ------------------------------------------------------------- */

static uint32_t over;		/* [atomic] */

static void *
watch_counters(void *arg)
{
	struct co_stats s;
	unsigned i;

	(void)arg;
	while (!__atomic_load_n(&over, __ATOMIC_ACQUIRE)) {
		if (co_stats_get(&s) < 0)
			continue;
		ck_assert_uint_lt(s.coroutines, 1000000);
		for (i = 0; i < s.workers; i++)
			ck_assert_uint_lt(s.worker[i].picks, UINT64_MAX / 2);
	}
	return NULL;
}

static int
come_and_go(void *arg)
{
	struct co_scope s;
	int i;

	(void)arg;
	for (i = 0; i < 20000; i++) {
		co_scope(s)
			if (co_spawn(nothing, NULL) < 0)
				return -1;
		if (i % 100 == 0)
			co_sleep(CO_US(10));
	}
	return 0;
}

TEST(counters_that_are_read_meanwhile_are_never_below_zero)
{
	pthread_t thread;

	FOR_WORKERS(w) {
		over = 0;
		ck_assert_int_eq(pthread_create(&thread, NULL, watch_counters,
		    NULL), 0);
		ck_assert_int_eq(test_run(w, come_and_go, NULL), 0);
		__atomic_store_n(&over, 1, __ATOMIC_RELEASE);
		pthread_join(thread, NULL);
	}
}

static void *
dump_to(void *arg)
{
	FILE *to = arg;

	setvbuf(to, NULL, _IONBF, 0);
	ck_assert_int_eq(co_dump(to), 0);
	fclose(to);
	return NULL;
}

/* One that is in no runtime goes through the list of them. */
static void *
ask_outside(void *arg)
{
	struct co_stats s;

	*(int *)arg = co_stats_get(&s);
	return NULL;
}

/* Another's dump waits for us to read it. */
static int
during_a_dump(void *arg)
{
	char some[4096];
	pthread_t thread, other;
	int p[2], code = -1;

	(void)arg;
	test_full_pipe(p);
	ck_assert_int_eq(pthread_create(&thread, NULL, dump_to,
	    fdopen(p[1], "w")), 0);
	ck_assert_int_eq(co_sleep(CO_MS(20)), 0);
	ck_assert_int_eq(pthread_create(&other, NULL, ask_outside, &code), 0);
	pthread_join(other, NULL);
	ck_assert_int_eq(code, 0);
	while (co_read(p[0], some, sizeof some) > 0)
		continue;
	pthread_join(thread, NULL);
	return co_close(p[0]);
}

TEST(counters_are_told_during_a_dump_that_waits_for_its_reader)
{
	ck_assert_int_eq(test_run(1, during_a_dump, NULL), 0);
}

static int
count_main(void *arg)
{
	struct co_stats before, after;
	struct co_task t;
	int i;

	ck_assert_int_eq(co_stats_get(NULL), -EINVAL);
	ck_assert_int_eq(co_stats_get(&before), 0);
	ck_assert_uint_eq(before.workers, *(unsigned *)arg);
	ck_assert_uint_eq(before.coroutines, 1);
	for (i = 0; i < 100; i++) {
		ck_assert_int_eq(co_fork(&t, nothing, NULL), 0);
		ck_assert_int_eq(co_join(&t), 0);
	}
	ck_assert_int_eq(co_stats_get(&after), 0);
	ck_assert_uint_eq(after.all.spawned - before.all.spawned, 100);
	ck_assert_uint_eq(after.all.ended - before.all.ended, 100);
	ck_assert_uint_ge(after.all.picks, 100);
	ck_assert_uint_ge(after.stacks_mapped, after.stacks_in_use);
	ck_assert_uint_ge(after.stacks_in_use, 1);
	ck_assert_uint_eq(after.stacks_unguarded, 0);
	return 0;
}

TEST(counters_count_what_was_spawned_and_has_ended)
{
	FOR_WORKERS(w) {
		unsigned n = (unsigned)w;

		ck_assert_int_eq(test_run(w, count_main, &n), 0);
	}
}

/* It looks after stacks for a while, and then no longer. */
static int
idle_main(void *arg)
{
	struct co_stats before, after;

	(void)arg;
	ck_assert_int_eq(co_stats_get(&before), 0);
	ck_assert_int_eq(co_sleep(CO_MS(4500)), 0);
	ck_assert_int_eq(co_stats_get(&after), 0);
	ck_assert_uint_ge(after.all.sleeps - before.all.sleeps, 1);
	ck_assert_uint_le(after.all.sleeps - before.all.sleeps, 4);
	ck_assert_uint_le(after.all.picks - before.all.picks, 2);
	return 0;
}

TEST(a_worker_that_has_nothing_to_do_sleeps_on)
{
	ck_assert_int_eq(test_run(1, idle_main, NULL), 0);
}

TEST(counters_without_a_runtime_are_refused)
{
	struct co_stats s;

	ck_assert_int_eq(co_stats_get(&s), -ESRCH);
}

/* --- dumps ---------------------------------------------------------------- */

static int
dump_main(void *arg)
{
	chan(int) ch = chan_new(int, 0);
	char *text = NULL, want[64];
	struct co_scope s;
	size_t size = 0;
	FILE *to;
	int i;

	(void)arg;
	ck_assert_int_eq(co_dump(NULL), -EINVAL);
	to = open_memstream(&text, &size);
	ck_assert_ptr_nonnull(to);
	co_scope(s, .policy = CO_SUPERVISE) {
		for (i = 0; i < 3; i++)
			ck_assert_int_eq(co_spawn(receiver, ch), 0);
		ck_assert_int_eq(co_sleep(CO_MS(20)), 0);
		ck_assert_int_eq(co_dump(to), 0);
		chan_close(ch);
	}
	fclose(to);
	ck_assert_ptr_nonnull(strstr(text, "coroutine 1: running"));
	ck_assert_ptr_nonnull(strstr(text, "\"a receiver\": waiting for "
	    "receive from channel"));
	snprintf(want, sizeof want, "channel %p ", (void *)ch);
	ck_assert_ptr_nonnull(strstr(text, want));
	ck_assert_ptr_nonnull(strstr(text, "spawned by 1 in "));
	free(text);
	chan_unref(ch);
	return 0;
}

TEST(a_dump_names_each_coroutine_and_what_it_waits_for)
{
	FOR_WORKERS(w)
		ck_assert_int_eq(test_run(w, dump_main, NULL), 0);
}

static int
full_main(void *arg)
{
	FILE *full = fopen("/dev/full", "w");

	(void)arg;
	ck_assert_ptr_nonnull(full);
	ck_assert_int_eq(co_dump(full), -EIO);
	fclose(full);
	return 0;
}

TEST(a_dump_that_cannot_be_written_says_so)
{
	ck_assert_int_eq(test_run(1, full_main, NULL), 0);
}

/* Once it has taken the first it is there to be seen. */
static int
receives_twice(void *arg)
{
	int code = receiver(arg);

	return code < 0 ? code : receiver(arg);
}

static int
quit_main(void *arg)
{
	chan(int) ch = chan_new(int, 0);
	int i;

	(void)arg;
	if (co_spawn(receives_twice, ch) < 0 || chan_send(ch, 0) < 0)
		return -1;
	for (i = 0; i < 3; i++) {
		kill(getpid(), SIGQUIT);
		/* Two that come before the dump begins are one. */
		if (co_sleep(CO_MS(50) * test_slow()) < 0)
			return -1;
	}
	return 7;
}

/* It waits for the signal, too: both the dump and the wait see each. */
static int
quit_waits(void *arg)
{
	chan(int) ch = chan_new(int, 0);
	int i;

	(void)arg;
	if (co_spawn(receives_twice, ch) < 0 || chan_send(ch, 0) < 0)
		return -1;
	if (co_select(co_on_signal(SIGQUIT), co_otherwise) != 1)
		return -2;
	for (i = 0; i < 3; i++) {
		kill(getpid(), SIGQUIT);
		/* Taken before the dump begins, or long after it. */
		if (i % 2 && co_sleep(CO_MS(50) * test_slow()) < 0)
			return -3;
		if (co_select(co_on_signal(SIGQUIT),
		    co_on_timeout(CO_SEC(20) * test_slow())) != 0)
			return -4;
		if (co_sleep(CO_MS(50) * test_slow()) < 0)
			return -5;
	}
	return 7;
}

struct quit {
	int workers;
	co_fn *main;
};

static int
quit_child(void *arg)
{
	const struct quit *q = arg;
	struct co_options o = { .workers = q->workers,
	    .flags = CO_DUMP_ON_SIGQUIT };

	return co_run(&o, q->main, NULL);
}

static void
dumps_three_times(co_fn *main)
{
	struct test_child r;
	const char *at;
	int n;

	FOR_WORKERS(w) {
		r = test_child(quit_child, &(struct quit){ w, main });
		ck_assert_int_eq(r.code, 7);
		for (n = 0, at = r.err; (at = strstr(at, "\"a receiver\""));
		    at++)
			n++;
		ck_assert_int_eq(n, 3);
	}
}

TEST(sigquit_writes_a_dump_and_ends_nobody)
{
	dumps_three_times(quit_main);
}

TEST(sigquit_is_dumped_and_waited_for)
{
	dumps_three_times(quit_waits);
}

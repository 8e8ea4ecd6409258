/* SPDX-License-Identifier: MIT */
/*
 * census_test.c - co_stack_report: how much of their stacks coroutines use.
 */
#include "harness.h"

#include <weft.h>

#include <pthread.h>
#include <regex.h>

enum { FLAT = 60, DEEP = 45, BYTES = 40 * 1024 };

static struct co_event event;

/* Touches that much, from below. */
__attribute__((noinline)) static int
touch(int bytes)
{
	volatile char room[BYTES];
	int i;

	for (i = BYTES - bytes; i < BYTES; i += 512)
		room[i] = 1;
	room[0] = bytes == BYTES;
	return room[0];
}

static int
flat(void *arg)
{
	(void)arg;
	co_yield();
	return 0;
}

static int
deep(void *arg)
{
	(void)arg;
	co_yield();
	return touch(BYTES) ? 0 : -1;
}

static int
deep_and_wait(void *arg)
{
	int code = deep(arg);

	return code < 0 ? code : co_event_wait(&event);
}

/* Each kind is spawned at one place, however compilers unroll loops. */
__attribute__((noinline)) static void
spawn(co_fn *fn)
{
	ck_assert_int_eq(co_spawn(fn, NULL), 0);
}

__attribute__((noinline)) static void
spawn_deep(void)
{
	ck_assert_int_eq(co_spawn(deep, NULL), 0);
}

__attribute__((noinline)) static void
spawn_waiting(void)
{
	ck_assert_int_eq(co_spawn(deep_and_wait, NULL), 0);
}

static char *
report(int *ret_lines)
{
	return test_written(co_stack_report, ret_lines);
}

/* The numbers of the line that has so many that ended. */
static void
find_line(const char *text, int ended, int wait, long *ret_most,
    long *ret_would)
{
	char expression[160];
	regmatch_t m[3];
	regex_t re;

	snprintf(expression, sizeof expression, ": %d ended, %d wait, at most "
	    "([0-9]+) of 262144 bytes, stack_size ([0-9]+) would do$", ended,
	    wait);
	ck_assert_int_eq(regcomp(&re, expression, REG_EXTENDED | REG_NEWLINE),
	    0);
	ck_assert_msg(regexec(&re, text, 3, m, 0) == 0, "\"%s\" in \"%s\"",
	    expression, text);
	*ret_most = atol(text + m[1].rm_so);
	*ret_would = atol(text + m[2].rm_so);
	regfree(&re);
}

/* Who ended last is counted a moment later, by the worker that he was on. */
static bool
all_counted(const char *text)
{
	char flat_ones[32], deep_ones[32];

	snprintf(flat_ones, sizeof flat_ones, ": %d ended, 0 wait", FLAT);
	snprintf(deep_ones, sizeof deep_ones, ": %d ended, 0 wait", DEEP);
	return strstr(text, flat_ones) && strstr(text, deep_ones) &&
	    strstr(text, ": 0 ended, 3 wait");
}

static int
census_main(void *arg)
{
	struct co_scope s, in;
	long most, would;
	char *text = NULL;
	int i, n;

	(void)arg;
	event = (struct co_event)CO_EVENT_INIT;
	co_scope(s) {
		co_scope(in)
			for (i = 0; i < FLAT; i++) {
				spawn(flat);
				if (i < DEEP)
					spawn_deep();
			}
		ck_assert_int_eq(in.status, 0);
		for (i = 0; i < 3; i++)
			spawn_waiting();
		do {
			co_sleep(CO_MS(1));
			text = report(&n);
			if (all_counted(text))
				break;
			free(text);
		} while (true);
		co_event_set(&event);
	}
	fputs(text, stderr);
	find_line(text, FLAT, 0, &most, &would);
	ck_assert_int_lt(most, 24 * 1024 * test_slow());
	ck_assert_int_ge(would, most);
	find_line(text, DEEP, 0, &most, &would);
	ck_assert_int_ge(most, BYTES);
	ck_assert_int_lt(most, BYTES + 24 * 1024 * test_slow());
	ck_assert_int_ge(would, most + most / 2);
	find_line(text, 0, 3, &most, &would);
	ck_assert_int_ge(most, BYTES);
	free(text);
	return (int)would;
}

static int
small_main(void *arg)
{
	struct co_spawn_options o = { .stack_size = *(size_t *)arg };
	struct co_scope s;

	co_scope(s)
		ck_assert_int_eq(co_spawn_with(&o, deep, NULL), 0);
	return s.status;
}

static int
all(void *arg)
{
	struct co_options o = { .workers = *(int *)arg,
	    .flags = CO_STACK_CENSUS };
	size_t would;
	char *text;
	int n, lines;

	n = co_run(&o, census_main, NULL);
	ck_assert_int_gt(n, BYTES);
	text = report(&lines);	/* the runtime has ended */
	test_has(text, "the main coroutine: 1 ended, 0 wait");
	test_has(text, ": 3 ended, 0 wait");
	ck_assert_int_eq(lines, 4);
	free(text);
	would = (size_t)n;
	ck_assert_int_eq(co_run(NULL, small_main, &would), 0);
	return 0;
}

TEST(what_was_touched_is_told_by_the_place_of_the_spawn)
{
	FOR_WORKERS(w) {
		struct test_child c = test_child(all, &w);

		ck_assert_msg(c.code == 0, "%s", c.err);
	}
}

TEST(without_a_census_there_is_no_report)
{
	char *text;
	int n;

	ck_assert_int_eq(co_stack_report(NULL), -EINVAL);
	ck_assert_int_eq(test_run(1, flat, NULL), 0);
	text = report(&n);
	ck_assert_int_eq(n, -ESRCH);
	free(text);
}

TEST(a_report_that_cannot_be_written_says_so)
{
	struct co_options o = { .workers = 1, .flags = CO_STACK_CENSUS };
	FILE *to = fopen("/dev/full", "w");

	ck_assert_ptr_nonnull(to);
	ck_assert_int_eq(co_run(&o, flat, NULL), 0);
	ck_assert_int_eq(co_stack_report(to), -EIO);
	fclose(to);
}

static int
asks_at_once(void *arg)
{
	char *text;
	int n;

	(void)arg;
	text = report(&n);
	ck_assert_int_ge(n, 0);
	free(text);
	return 0;
}

static int
first_question(void *arg)
{
	struct co_options o = { .workers = 1, .flags = CO_STACK_CENSUS };

	(void)arg;
	return co_run(&o, asks_at_once, NULL);
}

TEST(a_census_that_has_seen_nobody_is_one)
{
	struct test_child c = test_child(first_question, NULL);

	ck_assert_msg(c.code == 0, "%s", c.err);
}

/* --- a reader that is slow ------------------------------------------------ */

static void *
report_to(void *arg)
{
	FILE *to = arg;

	setvbuf(to, NULL, _IONBF, 0);
	ck_assert_int_ge(co_stack_report(to), 8);
	fclose(to);
	return NULL;
}

/* So many that the report is written in several pieces. */
static void
spawn_in_many_places(void)
{
	spawn_deep();
	spawn_waiting();
	ck_assert_int_eq(co_spawn(flat, NULL), 0);
	ck_assert_int_eq(co_spawn(flat, NULL), 0);
	ck_assert_int_eq(co_spawn(flat, NULL), 0);
	ck_assert_int_eq(co_spawn(flat, NULL), 0);
	ck_assert_int_eq(co_spawn(flat, NULL), 0);
	ck_assert_int_eq(co_spawn(flat, NULL), 0);
	ck_assert_int_eq(co_spawn(flat, NULL), 0);
}

static int
slow_reader(void *arg)
{
	char some[4096];
	pthread_t thread;
	struct co_scope s;
	int p[2];

	(void)arg;
	event = (struct co_event)CO_EVENT_INIT;
	co_event_set(&event);
	co_scope(s)
		spawn_in_many_places();
	test_full_pipe(p);
	ck_assert_int_eq(pthread_create(&thread, NULL, report_to,
	    fdopen(p[1], "w")), 0);
	ck_assert_int_eq(co_sleep(CO_MS(20)), 0);
	co_scope(s)		/* it ends, while the other writes */
		spawn(flat);
	while (co_read(p[0], some, sizeof some) > 0)
		continue;
	pthread_join(thread, NULL);
	return co_close(p[0]);
}

TEST(a_report_that_waits_for_its_reader_holds_up_nobody)
{
	FOR_WORKERS(w) {
		struct co_options o = { .workers = w,
		    .flags = CO_STACK_CENSUS };

		ck_assert_int_eq(co_run(&o, slow_reader, NULL), 0);
	}
}

/* SPDX-License-Identifier: MIT */
/*
 * timer_test.c - sleeps and deadlines: order, never early, the ends of time.
 * Races of timers with what they time: tests/stress/timer_stress_test.c.
 */
#include "harness.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <weft/chan.h>
#include <weft/scope.h>
#include <weft/sync.h>

#define CORO_TEST(name) \
	static int name##_body(void *arg); \
	TEST(name) \
	{ \
		FOR_WORKERS(w) \
			test_result(test_run(w, name##_body, NULL), 0); \
	} \
	static int name##_body(void *arg __attribute__((unused)))

#define load(p)		__atomic_load_n((p), __ATOMIC_SEQ_CST)
#define add(p, n)	__atomic_add_fetch((p), (n), __ATOMIC_SEQ_CST)

/* Processor time of the whole process, ns. */
static int64_t
cpu_time(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

static void
busy_for(co_time duration)
{
	co_time until = co_now() + duration;

	while (co_now() < until)
		;
}

/* --- order ------------------------------------------------------------------ */

struct sleeper {
	co_time when;
	int number;	/* in the order of going to sleep */
};

static struct sleeper *woke;	/* in the order of waking; one worker */
static int n_woke, n_asleep;

static int
sleep_until(void *arg)
{
	struct sleeper *s = arg;

	s->number = n_asleep++;
	test_result(co_sleep_until(s->when), 0);
	woke[n_woke++] = *s;
	return 0;
}

static int
sleep_in_order(void *arg)
{
	int n = (int)test_count(5000, 100000), i;
	struct sleeper *all = calloc((size_t)n, sizeof *all);
	co_time span = CO_MS((int)test_count(100, 1000)), start;
	uint64_t seed = test_seed();
	struct co_scope s;

	(void)arg;
	woke = calloc((size_t)n, sizeof *woke);
	ck_assert_ptr_nonnull(all);
	ck_assert_ptr_nonnull(woke);
	n_woke = n_asleep = 0;
	start = co_now() + CO_MS(200) * test_slow();
	co_scope(s) {
		for (i = 0; i < n; i++) {
			all[i].when = start + (co_time)test_below(&seed,
			    (uint64_t)span);
			if (i % 2)	/* the same as the one before */
				all[i].when = all[i - 1].when;
			test_result(co_spawn(sleep_until, &all[i]), 0);
			co_yield();
		}
		ck_assert(co_now() < start);	/* else the test is too slow */
	}
	ck_assert_int_eq(n_woke, n);
	for (i = 1; i < n; i++)
		ck_assert(woke[i - 1].when < woke[i].when ||
		    (woke[i - 1].when == woke[i].when &&
		    woke[i - 1].number < woke[i].number));
	free(all);
	free(woke);
	return 0;
}

TEST(sleeps_end_in_the_order_of_their_deadlines_and_equal_ones_of_sleeping)
{
	test_result(test_run(1, sleep_in_order, NULL), 0);
}

/* --- never early ------------------------------------------------------------ */

static int early;	/* [atomic] */
static int64_t latest;	/* [atomic] */

static int
sleep_randomly(void *arg)
{
	uint64_t seed = test_seed() + (uintptr_t)arg;
	int n = (int)test_count(5, 50);

	while (n--) {
		co_time d = (co_time)(100000 + test_below(&seed, 20000000));
		int64_t from = test_now(), late;

		if (test_below(&seed, 50) == 0)
			busy_for(CO_MS(2));
		from = test_now();
		test_result(co_sleep(d), 0);
		late = test_now() - from - d;
		if (late < 0)
			add(&early, 1);
		if (late > load(&latest))
			__atomic_store_n(&latest, late, __ATOMIC_SEQ_CST);
	}
	return 0;
}

CORO_TEST(no_sleep_ends_early)
{
	int n = (int)test_count(500, 20000), i;
	struct co_scope s;
	int64_t from;

	test_seed();		/* made by one */
	early = 0;
	latest = 0;
	co_scope(s)
		for (i = 0; i < n; i++)
			test_result(co_spawn(sleep_randomly,
			    (void *)(intptr_t)i), 0);
	ck_assert_int_eq(load(&early), 0);
	/* After a stretch without a look at the clock. */
	for (i = 0; i < 3; i++) {
		busy_for(CO_MS(20));
		from = test_now();
		test_result(co_sleep(CO_MS(1)), 0);
		ck_assert(test_now() - from >= CO_MS(1));
		busy_for(CO_MS(5));
		from = test_now();
		co_timeout(CO_MS(1))
			test_result(co_sleep(CO_FOREVER), -ETIMEDOUT);
		ck_assert(test_now() - from >= CO_MS(1));
	}
	return 0;
}

static int
lateness(void *arg)
{
	int late = 0, i, n = (int)test_count(100, 10000);

	(void)arg;
	for (i = 0; i < n; i++) {
		int64_t from = test_now();

		test_result(co_sleep(CO_US(500)), 0);
		late += test_now() - from > CO_US(5500);
	}
	return late;
}

/* The median, not the 99th percentile: others may use this machine. */
TEST(an_idle_runtime_wakes_sleepers_in_time)
{
	FOR_WORKERS(w)
		ck_assert_int_lt(test_run(w, lateness, NULL),
		    (int)test_count(100, 10000) / 2);
}

/* --- the ends of time ------------------------------------------------------- */

CORO_TEST(what_has_passed_returns_after_a_yield)
{
	static const co_time past[] = { 0, -1, -CO_SEC(1), INT64_MIN,
		INT64_MIN + 1 };
	int64_t from = test_now();
	size_t i;

	for (i = 0; i < sizeof past / sizeof past[0]; i++) {
		test_result(co_sleep(past[i]), 0);
		test_result(co_sleep_until(past[i]), 0);
	}
	test_result(co_sleep_until(co_now()), 0);
	test_between(test_now() - from, 0, CO_SEC(1) * test_slow());
	return 0;
}

static int turns;

static int
count_turns(void *arg)
{
	(void)arg;
	turns++;
	return 0;
}

static int
sleep_zero(void *arg)
{
	struct co_scope s;

	(void)arg;
	co_scope(s) {
		test_result(co_spawn(count_turns, NULL), 0);
		test_result(co_sleep(0), 0);
		ck_assert_int_eq(turns, 1);
		test_result(co_spawn(count_turns, NULL), 0);
		test_result(co_sleep_until(INT64_MIN), 0);
		ck_assert_int_eq(turns, 2);
	}
	return 0;
}

TEST(a_sleep_of_nothing_lets_others_run)
{
	test_result(test_run(1, sleep_zero, NULL), 0);
}

static int
sleep_long(void *arg)
{
	co_time d = *(co_time *)arg;
	int code = co_sleep(d);

	return code == -ECANCELED ? 0 : -EPROTO;
}

static int
sleep_until_long(void *arg)
{
	int code = co_sleep_until(*(co_time *)arg);

	return code == -ECANCELED ? 0 : -EPROTO;
}

static int
deadline_long(void *arg)
{
	int code = 0;

	co_timeout(*(co_time *)arg)
		code = co_sleep(CO_FOREVER);
	return code == -ECANCELED ? 0 : -EPROTO;
}

CORO_TEST(the_longest_sleeps_do_not_end_but_can_be_cancelled)
{
	static co_time longest[] = { INT64_MAX, INT64_MAX - 1, INT64_MAX / 2,
		CO_SEC(1000000000) };
	co_fn *const fns[] = { sleep_long, sleep_until_long, deadline_long };
	struct co_scope s;
	size_t i, j;
	int64_t cpu = cpu_time();

	co_scope(s) {
		for (i = 0; i < sizeof longest / sizeof longest[0]; i++)
			for (j = 0; j < 3; j++)
				test_result(co_spawn(fns[j], &longest[i]), 0);
		test_result(co_sleep(CO_MS(50)), 0);
		co_cancel(&s);
	}
	test_result(s.status, -ECANCELED);
	ck_assert_int_eq(s.failures, 0);
	test_between(cpu_time() - cpu, 0, CO_MS(40) * test_slow());
	return 0;
}

static void *
thread_sleeps(void *arg)
{
	int64_t from = test_now();

	test_result(co_sleep(CO_MS(2)), 0);
	ck_assert(test_now() - from >= CO_MS(2));
	test_result(co_sleep_until(co_now() + CO_MS(1)), 0);
	test_result(co_sleep(0), 0);
	test_result(co_sleep(INT64_MIN), 0);
	co_timeout(CO_MS(2))
		test_result(co_sleep(INT64_MAX), -ETIMEDOUT);
	co_timeout(INT64_MAX)
		co_timeout(CO_MS(1))
			test_result(co_sleep_until(INT64_MAX - 1), -ETIMEDOUT);
	return arg;
}

TEST(a_plain_thread_sleeps)
{
	pthread_t t[4];
	int i;

	thread_sleeps(NULL);
	for (i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, thread_sleeps,
		    NULL), 0);
	for (i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
}

/* --- the earliest changes --------------------------------------------------- */

static int
sleep_for(void *arg)
{
	return co_sleep((co_time)(intptr_t)arg);
}

/* Another worker, or a thread's wake-up, brings an earlier timer to one that
   sleeps until a later one. */
static void *
set_soon(void *arg)
{
	struct timespec nap = { 0, 3000000 };

	nanosleep(&nap, NULL);
	co_event_set(arg);
	return NULL;
}

static int
nap_when_set(void *arg)
{
	int64_t from;

	test_result(co_event_wait(arg), 0);
	from = test_now();
	test_result(co_sleep(CO_MS(5)), 0);
	test_between(test_now() - from, CO_MS(5), CO_MS(100) * test_slow());
	return 0;
}

CORO_TEST(an_earlier_timer_is_noticed_while_all_sleep_for_a_later_one)
{
	struct co_event e = CO_EVENT_INIT;
	struct co_scope s;
	pthread_t t;
	int i;

	for (i = 0; i < 5; i++) {
		co_event_reset(&e);
		co_scope(s) {
			test_result(co_spawn(sleep_for,
			    (void *)(intptr_t)CO_SEC(1000)), 0);
			ck_assert_int_eq(pthread_create(&t, NULL, set_soon, &e),
			    0);
			test_result(nap_when_set(&e), 0);
			co_cancel(&s);
		}
		pthread_join(t, NULL);
	}
	return 0;
}

/* Deleted timers do not keep anybody awake. */
CORO_TEST(timers_that_never_fired_cost_no_time)
{
	int i, n = (int)test_count(20000, 1000000), v;
	chan(int) ch = chan_new(int, 1);
	int64_t cpu;

	for (i = 0; i < n; i++) {
		co_timeout(CO_MS(20) + i) {
			test_result(chan_send(ch, i), 0);
			test_result(chan_recv(ch, &v), 0);
			test_result(co_sleep(i % 64 == 0), 0);
		}
	}
	cpu = cpu_time();
	test_result(co_sleep(CO_MS(50)), 0);
	test_between(cpu_time() - cpu, 0, CO_MS(30) * test_slow());
	chan_unref(ch);
	return 0;
}

struct busy {
	int rang;		/* [atomic] */
	int64_t after;		/* so long after it was to ring */
};

static int
ring(void *arg)
{
	struct busy *b = arg;
	int64_t from = test_now();

	test_result(co_sleep(CO_MS(2)), 0);
	b->after = test_now() - from - CO_MS(2);
	__atomic_store_n(&b->rang, 1, __ATOMIC_SEQ_CST);
	return 0;
}

/* The sleeper's timer is on this worker, which does not come by. */
static int
compute(void *arg)
{
	struct busy b = { .rang = 0 };
	struct co_scope s;
	int i;

	(void)arg;
	for (i = 0; i < 5; i++) {
		b.rang = 0;
		co_scope(s) {
			test_result(co_spawn(ring, &b), 0);
			co_yield();
			while (!load(&b.rang))
				;
		}
		test_between(b.after, 0, CO_MS(200) * test_slow());
	}
	return 0;
}

TEST(who_computes_does_not_hold_up_the_sleepers_of_its_worker)
{
	FOR_WORKERS(w)
		if (w > 1)
			test_result(test_run(w, compute, NULL), 0);
}

/* --- many at once ----------------------------------------------------------- */

static int
sleep_to(void *arg)
{
	return co_sleep_until(*(co_time *)arg);
}

CORO_TEST(all_that_are_due_at_one_instant_wake)
{
	int n = (int)test_count(20000, 1000000), i;
	co_time when = co_now() + CO_MS(100) * test_slow();
	struct co_scope s;

	co_scope(s)
		for (i = 0; i < n; i++)
			test_result(co_spawn(sleep_to, &when), 0);
	test_result(s.status, 0);
	test_between(co_now() - when, 0, CO_SEC(10) * test_slow());
	return 0;
}

CORO_TEST(all_are_cancelled_at_one_instant)
{
	int n = (int)test_count(20000, 1000000), i;
	co_time when = co_now() + CO_SEC(1000), from = 0;
	struct co_scope s;

	co_scope(s) {
		for (i = 0; i < n; i++)
			test_result(co_spawn(sleep_to, &when), 0);
		test_result(co_sleep(CO_MS(10)), 0);
		from = co_now();
		co_cancel(&s);
	}
	test_result(s.status, -ECANCELED);
	ck_assert_uint_eq(s.failures, (unsigned)n);
	test_between(co_now() - from, 0, CO_SEC(10) * test_slow());
	return 0;
}

/* --- timers of selects ------------------------------------------------------ */

CORO_TEST(a_select_times_out_not_early_and_a_ready_case_wins)
{
	chan(int) ch = chan_new(int, 1);
	int i, v, n = (int)test_count(20, 1000);
	int64_t from;

	for (i = 0; i < n; i++) {
		from = test_now();
		ck_assert_int_eq(co_select(co_on_recv(ch, &v),
		    co_on_timeout(CO_US(200))), 1);
		ck_assert(test_now() - from >= CO_US(200));
		test_result(chan_send(ch, i), 0);
		ck_assert_int_eq(co_select(co_on_recv(ch, &v),
		    co_on_timeout(CO_US(200))), 0);
		co_timeout(CO_US(100))
			test_result(co_select(co_on_recv(ch, &v),
			    co_on_timeout(CO_SEC(10))), -ETIMEDOUT);
	}
	ck_assert_int_eq(co_select(co_on_recv(ch, &v),
	    co_on_timeout(-1)), 1);
	chan_unref(ch);
	return 0;
}

/* --- the clock -------------------------------------------------------------- */

static int
sleep_through_a_stop(void *arg)
{
	int code, fired = 0;

	(void)arg;
	co_timeout(CO_MS(30)) {
		while ((code = co_sleep(CO_MS(10))) == 0)
			fired++;
		if (code != -ETIMEDOUT)
			return 1;
	}
	/* What was due meanwhile fired once each. */
	return fired <= 2 && co_sleep(CO_MS(1)) == 0 ? 0 : 2;
}

static int
stopped(void *arg)
{
	return test_run(*(int *)arg, sleep_through_a_stop, NULL);
}

/* Stops it in the midst of its sleeps, and lets it go on when all is due. */
static void
stop_for_a_while(pid_t pid)
{
	struct timespec begun = { 0, 5000000 }, over = { 0, 80000000 };
	int status;

	nanosleep(&begun, NULL);
	ck_assert_int_eq(kill(pid, SIGSTOP), 0);
	ck_assert_int_eq(waitpid(pid, &status, WUNTRACED), pid);
	ck_assert_msg(WIFSTOPPED(status), "it had ended: %#x", status);
	nanosleep(&over, NULL);
	ck_assert_int_eq(kill(pid, SIGCONT), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}

TEST(a_process_that_was_stopped_wakes_who_is_due)
{
	pid_t pid;

	FOR_WORKERS(w) {
		pid = fork();
		ck_assert_int_ge(pid, 0);
		if (pid == 0)
			_exit(stopped(&w));
		stop_for_a_while(pid);
	}
}

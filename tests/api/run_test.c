/* SPDX-License-Identifier: MIT */
/*
 * run_test.c - co_run: what it takes, what it gives, how it begins and ends.
 *
 * Running out of memory, threads and descriptors: api/starve_test.c.
 */
#include "harness.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <weft/chan.h>
#include <weft/inspect.h>
#include <weft/io.h>
#include <weft/scope.h>
#include <weft/sync.h>

static int ran;		/* [atomic] */

static void
count(void)
{
	__atomic_add_fetch(&ran, 1, __ATOMIC_RELAXED);
}

static int
counted(void)
{
	return __atomic_load_n(&ran, __ATOMIC_RELAXED);
}

static int
give(void *arg)
{
	count();
	return (int)(intptr_t)arg;
}

/* --- what it takes -------------------------------------------------------- */

TEST(it_returns_what_the_first_coroutine_returned)
{
	static const int results[] = { 0, 1, -1, 12345, -EDEADLK, INT32_MIN };
	size_t i;

	test_result(co_run(NULL, give, (void *)7), 7);
	FOR_WORKERS(w)
		for (i = 0; i < sizeof results / sizeof *results; i++)
			test_result(test_run(w, give,
			    (void *)(intptr_t)results[i]), results[i]);
}

static void
refused(const struct co_options *o, co_fn *fn)
{
	ran = 0;
	test_result(co_run(o, fn, NULL), -EINVAL);
	ck_assert_int_eq(counted(), 0);
}

TEST(a_null_function_is_refused)
{
	refused(NULL, NULL);
	refused(&(struct co_options){ .workers = 2 }, NULL);
}

TEST(absurd_numbers_of_workers_are_refused)
{
	refused(&(struct co_options){ .workers = -1 }, give);
	refused(&(struct co_options){ .workers = INT32_MIN }, give);
	refused(&(struct co_options){ .workers = INT32_MAX }, give);
	refused(&(struct co_options){ .workers = 1000000 }, give);
	refused(&(struct co_options){ .blocking_threads = -1 }, give);
}

TEST(absurd_stack_sizes_are_refused)
{
	refused(&(struct co_options){ .stack_size = 1 }, give);
	refused(&(struct co_options){ .stack_size = 4096 }, give);
	refused(&(struct co_options){ .stack_size = 16 * 1024 - 1 }, give);
	refused(&(struct co_options){ .stack_size = SIZE_MAX }, give);
	refused(&(struct co_options){ .stack_size = SIZE_MAX / 2 + 1 }, give);
	refused(&(struct co_options){ .stack_size = SIZE_MAX / 4 }, give);
	refused(&(struct co_options){ .stack_size = (size_t)1 << 40 }, give);
}

TEST(unknown_flags_are_refused)
{
	refused(&(struct co_options){ .flags = 1u << 31 }, give);
}

static int
fill(void *arg)
{
	volatile char room[8 * 1024];
	size_t i;

	for (i = 0; i < sizeof room; i += 512)
		room[i] = (char)i;
	(void)arg;
	return room[512] == 0 ? 0 : -1;
}

TEST(the_least_and_odd_stack_sizes_are_taken)
{
	static const size_t sizes[] = { 16 * 1024, 16 * 1024 + 1, 20000,
	    100 * 1024 + 3, 1024 * 1024, 64 * 1024 * 1024 };
	size_t i;

	if (test_slow() > 1)
		test_skip("frames are larger under sanitizers");
	for (i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		struct co_options o = { .workers = 2, .stack_size = sizes[i] };

		test_result(co_run(&o, fill, NULL), 0);
	}
}

static int
workers_here(void *arg)
{
	struct co_stats *stats = malloc(sizeof *stats);
	int n;

	(void)arg;
	test_result(co_stats_get(stats), 0);
	n = (int)stats->workers;
	free(stats);
	return n;
}

TEST(each_number_of_workers_is_what_it_gives)
{
	static const int numbers[] = { 1, 2, 3, 5, 64 };
	size_t i;

	for (i = 0; i < sizeof numbers / sizeof *numbers; i++)
		test_result(test_run(numbers[i], workers_here, NULL),
		    numbers[i]);
}

TEST(without_a_number_there_is_a_worker_for_each_processor_in_the_set)
{
	cpu_set_t before, one;
	int i;

	unsetenv("WEFT_WORKERS");
	ck_assert_int_eq(sched_getaffinity(0, sizeof before, &before), 0);
	test_result(test_run(0, workers_here, NULL), CPU_COUNT(&before));
	for (i = 0; !CPU_ISSET(i, &before); i++)
		continue;
	CPU_ZERO(&one);
	CPU_SET(i, &one);
	ck_assert_int_eq(sched_setaffinity(0, sizeof one, &one), 0);
	test_result(test_run(0, workers_here, NULL), 1);
	test_result(co_run(NULL, workers_here, NULL), 1);
	test_result(test_run(3, workers_here, NULL), 3);
}

TEST(the_environment_gives_the_number_of_workers)
{
	static const char *const bad[] = { "-1", "x", "3x", "k", " ", "1 2",
	    "99999", "99999999999999999999", "9223372036854775807k", "0x" };
	size_t i;

	setenv("WEFT_WORKERS", "3", 1);
	test_result(test_run(0, workers_here, NULL), 3);
	test_result(co_run(NULL, workers_here, NULL), 3);
	test_result(test_run(2, workers_here, NULL), 2);
	setenv("WEFT_WORKERS", "", 1);
	ck_assert_int_gt(test_run(0, workers_here, NULL), 0);
	for (i = 0; i < sizeof bad / sizeof *bad; i++) {
		setenv("WEFT_WORKERS", bad[i], 1);
		refused(NULL, give);
		test_result(test_run(1, give, (void *)4), 4);
	}
}

TEST(the_environment_gives_the_stack_size)
{
	static const char *const bad[] = { "-1", "x", "1", "16383", "k",
	    "99999999999999999999", "9223372036854775807k", "1024g" };
	size_t i;

	if (test_slow() == 1) {
		setenv("WEFT_STACK", "16384", 1);
		test_result(test_run(1, fill, NULL), 0);
	}
	setenv("WEFT_STACK", "512k", 1);
	test_result(test_run(1, fill, NULL), 0);
	for (i = 0; i < sizeof bad / sizeof *bad; i++) {
		setenv("WEFT_STACK", bad[i], 1);
		refused(NULL, give);
	}
	test_result(co_run(&(struct co_options){ .workers = 1,
	    .stack_size = 65536 }, fill, NULL), 0);
}

static int
refused_by_environment(void *arg)
{
	setenv("WEFT_WORKERS", "3x", 1);
	return co_run(NULL, give, arg) == -EINVAL;
}

TEST(what_is_wrong_in_the_environment_is_said)
{
	struct test_child c = test_child(refused_by_environment, NULL);

	ck_assert_int_eq(c.code, 1);
	ck_assert_ptr_nonnull(strstr(c.err,
	    "weft: WEFT_WORKERS=3x: not a number from 1 to 1024\n"));
}

/* --- inside, again, at once ----------------------------------------------- */

static int
run_inside(void *arg)
{
	(void)arg;
	test_result(co_run(NULL, give, NULL), -EINVAL);
	test_result(test_run(1, give, NULL), -EINVAL);
	return 3;
}

TEST(a_coroutine_can_not_begin_a_runtime)
{
	FOR_WORKERS(w)
		test_result(test_run(w, run_inside, NULL), 3);
}

static int
answer_twice(void *arg)
{
	(void)arg;
	ck_assert_int_ge(co_id(), 1);
	co_yield();
	return 0;
}

TEST(it_may_be_called_again_and_again_and_leaves_nothing)
{
	uint64_t i, n = test_count(300, 10000);
	int fds = -1, threads = -1;

	for (i = 0; i < n; i++) {
		test_result(test_run(1 + (int)(i % 4), answer_twice, NULL), 0);
		if (i == 10) {
			fds = test_fds();
			threads = test_threads();
		}
	}
	if (fds >= 0) {
		ck_assert_int_eq(test_fds(), fds);
		test_between(test_threads(), 0, threads + 1);
	}
}

static long
resident_kb(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	long size = 0, resident = 0;

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fscanf(f, "%ld %ld", &size, &resident), 2);
	fclose(f);
	return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static int
child_of_work(void *arg)
{
	co_yield();
	return (int)(intptr_t)arg;
}

static int
some_work(void *arg)
{
	struct co_task t;
	chan(int) ch = chan_new(int, 1);
	int i, v;

	(void)arg;
	for (i = 0; i < 200; i++)
		test_result(co_spawn(child_of_work, NULL), 0);
	test_result(co_fork(&t, child_of_work, (void *)9), 0);
	test_result(chan_send(ch, 5), 0);
	test_result(chan_recv(ch, &v), 0);
	test_result(co_join(&t), 9);
	chan_unref(ch);
	return v;
}

TEST(memory_stays_level_over_many_runs)
{
	uint64_t i, n = test_count(200, 10000);
	long before;

	if (test_slow() > 1)
		test_skip("sanitizers keep what was freed");
	for (i = 0; i < 20; i++)
		test_result(test_run(2, some_work, NULL), 5);
	before = resident_kb();
	for (i = 0; i < n; i++)
		test_result(test_run(1 + (int)(i & 1), some_work, NULL), 5);
	test_between(resident_kb() - before, -1000000, 2048);
}

static pthread_barrier_t gate;

static void *
first_use(void *arg)
{
	pthread_barrier_wait(&gate);
	test_result(test_run(2, give, arg), (intptr_t)arg);
	return NULL;
}

static int
use_at_once(void *arg)
{
	pthread_t t[64];
	intptr_t i;

	(void)arg;
	pthread_barrier_init(&gate, NULL, 64);
	for (i = 0; i < 64; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, first_use,
		    (void *)i), 0);
	for (i = 0; i < 64; i++)
		pthread_join(t[i], NULL);
	return counted();
}

TEST(sixty_four_threads_may_use_it_first_at_the_same_moment)
{
	int i, n = (int)test_count(10, 200);

	for (i = 0; i < n; i++)
		ck_assert_int_eq(test_child(use_at_once, NULL).code, 64);
}

/* Two runtimes talk over one channel while the first begins and ends. */
static chan(int) bridge, back;

static int
echo(void *arg)
{
	int v;

	(void)arg;
	while (chan_recv(bridge, &v) == 0)
		test_result(chan_send(back, v + 1), 0);
	return 0;
}

static void *
echo_runtime(void *arg)
{
	test_result(test_run((int)(intptr_t)arg, echo, NULL), 0);
	return NULL;
}

static int
ask(void *arg)
{
	int i, v, n = (int)(intptr_t)arg;

	for (i = 0; i < n; i++) {
		test_result(chan_send(bridge, i), 0);
		test_result(chan_recv(back, &v), 0);
		ck_assert_int_eq(v, i + 1);
	}
	return 0;
}

TEST(runtimes_that_run_at_once_talk_over_channels)
{
	intptr_t n = (intptr_t)test_count(300, 30000);
	pthread_t t;
	int i;

	FOR_WORKERS(w) {
		bridge = chan_new(int, 0);
		back = chan_new(int, 1);
		ck_assert_int_eq(pthread_create(&t, NULL, echo_runtime,
		    (void *)(intptr_t)(w == 16 ? 1 : w)), 0);
		for (i = 0; i < 10; i++)
			test_result(test_run(w, ask, (void *)(n / 10)), 0);
		chan_close(bridge);
		pthread_join(t, NULL);
		chan_unref(bridge);
		chan_unref(back);
	}
}

static int
open_gate(void *arg)
{
	test_result(chan_send(*(chan(int) *)arg, 42), 0);
	return 0;
}

static int
await(void *arg)
{
	chan(int) ch = *(chan(int) *)arg;
	int v = 0;

	test_result(chan_recv(ch, &v), 0);
	return v;
}

static void *
wake_main(void *arg)
{
	open_gate(arg);
	return NULL;
}

/*
 * The thread's wake is the last thing that the runtime sees: it ends while the
 * thread is still on its way out of the wake.
 */
TEST(a_runtime_may_end_while_a_thread_still_wakes_it)
{
	uint64_t i, n = test_count(2000, 200000);
	chan(int) ch = chan_new(int, 0);
	pthread_t t;

	for (i = 0; i < n; i++) {
		ck_assert_int_eq(pthread_create(&t, NULL, wake_main, &ch), 0);
		test_result(test_run(1 + (int)(i & 1), await, &ch), 42);
		pthread_join(t, NULL);
	}
	chan_unref(ch);
}

/* --- how it ends ----------------------------------------------------------- */

static int cancelled;	/* [atomic] */
static chan(int) never;
static struct co_event woken_late;
static int pipe_fds[2];

static int
note_cancelled(int code)
{
	test_result(code, -ECANCELED);
	__atomic_add_fetch(&cancelled, 1, __ATOMIC_RELAXED);
	return 0;
}

static int
ends_parked(void *arg)
{
	int v, code = chan_recv(never, &v);

	(void)arg;
	/* One that was cancelled a moment before may have closed it. */
	return note_cancelled(code == -EPIPE ? -ECANCELED : code);
}

static int
ends_asleep(void *arg)
{
	(void)arg;
	return note_cancelled(co_sleep(CO_SEC(1000)));
}

static int
ends_running(void *arg)
{
	(void)arg;
	while (!co_cancelled())
		co_yield();
	return note_cancelled(co_sleep(0));
}

static int
ends_in_a_descriptor(void *arg)
{
	(void)arg;
	return note_cancelled(co_wait_fd(pipe_fds[0], CO_READ));
}

static int
nap(void *arg)
{
	(void)arg;
	usleep(20000);
	return 11;
}

static int
ends_in_a_job(void *arg)
{
	(void)arg;
	/* Begun: it is waited for.  Not begun: it never will be. */
	if (co_blocking(nap, NULL) == 11)
		return note_cancelled(-ECANCELED);
	return note_cancelled(-ECANCELED);
}

static int
nothing(void *arg)
{
	(void)arg;
	count();
	return 0;
}

static int
ends_spawning(void *arg)
{
	int code;

	(void)arg;
	for (;;) {
		code = co_spawn(nothing, NULL);
		if (code < 0)
			return note_cancelled(code);
		co_yield();
	}
}

/* What it does once cancelled wakes others. */
static int
ends_waking(void *arg)
{
	int code = co_sleep(CO_FOREVER);

	(void)arg;
	co_event_set(&woken_late);
	chan_close(never);
	return note_cancelled(code);
}

static int
ends_in_a_shield(void *arg)
{
	(void)arg;
	co_shield()
		test_result(co_event_wait(&woken_late), 0);
	return note_cancelled(co_sleep(1));
}

static int
grandchild(void *arg)
{
	(void)arg;
	return note_cancelled(co_sleep(CO_SEC(1000)));
}

static int
ends_joining(void *arg)
{
	struct co_scope s;
	struct co_task t;
	int code = 0;

	(void)arg;
	co_scope(s) {
		code = co_fork(&t, grandchild, NULL);
		if (code < 0)
			break;
		co_spawn(grandchild, NULL);
		code = co_join(&t);
	}
	return note_cancelled(code);
}

static co_fn *const endings[] = { ends_parked, ends_asleep, ends_running,
	ends_in_a_descriptor, ends_in_a_job, ends_spawning, ends_waking,
	ends_in_a_shield, ends_joining };

enum { ENDINGS = sizeof endings / sizeof *endings, OF_EACH = 10 };

static int
leave_them(void *arg)
{
	int i, j;

	for (j = 0; j < OF_EACH; j++)
		for (i = 0; i < ENDINGS; i++)
			test_result(co_spawn(endings[i], NULL), 0);
	if (arg)
		co_sleep(CO_MS(5));
	return 17;
}

TEST(what_still_runs_when_the_first_returns_is_cancelled_and_waited_for)
{
	int64_t begin;
	int how;

	ck_assert_int_eq(pipe(pipe_fds), 0);
	FOR_WORKERS(w) {
		for (how = 0; how < 2; how++) {
			cancelled = 0;
			never = chan_new(int, 0);
			woken_late = (struct co_event)CO_EVENT_INIT;
			begin = test_now();
			test_result(test_run(w, leave_them,
			    (void *)(intptr_t)how), 17);
			test_between(test_now() - begin, 0,
			    CO_SEC(2) * test_slow());
			/* Grandchildren that were not spawned any more do not
			   count. */
			test_between(cancelled, ENDINGS * OF_EACH,
			    (ENDINGS + 2) * OF_EACH);
			chan_unref(never);
		}
	}
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

static int
outlives(void *arg)
{
	int i;

	for (i = 0; i < 1000; i++)
		co_yield();
	++*(int *)arg;
	return 0;
}

static int
first_to_end(void *arg)
{
	return co_spawn(outlives, arg);
}

TEST(nothing_outlives_the_runtime)
{
	FOR_WORKERS(w) {
		int on_our_stack = 0;

		test_result(test_run(w, first_to_end, &on_our_stack), 0);
		ck_assert_int_eq(on_our_stack, 1);
	}
}

static int
child_fails(void *arg)
{
	(void)arg;
	return -EIO;
}

static int
survive(void *arg)
{
	int i;

	(void)arg;
	for (i = 0; i < 10; i++)
		test_result(co_spawn(child_fails, NULL), 0);
	test_result(co_sleep(CO_MS(2)), 0);
	ck_assert(!co_cancelled());
	return 6;
}

TEST(a_failure_in_the_root_scope_cancels_nobody)
{
	FOR_WORKERS(w)
		test_result(test_run(w, survive, NULL), 6);
}

/* --- the process ends ------------------------------------------------------ */

static bool exiting;

/* Asked by the leak detector, which does not look into what was mapped: to it
   all that coroutines hold is lost when the process exits among them. */
int __lsan_is_turned_off(void);
int
__lsan_is_turned_off(void)
{
	return exiting;
}

static int
call_exit(void *arg)
{
	exit((int)(intptr_t)arg);
}

static int
exit_in_a_child(void *arg)
{
	test_result(co_spawn(call_exit, arg), 0);
	for (;;)
		co_yield();
}

static int
run_to_exit(void *arg)
{
	(void)arg;
	return co_run(NULL, exit_in_a_child, (void *)23);
}

static int
sleep_long(void *arg)
{
	(void)arg;
	return co_sleep(CO_SEC(1000));
}

static void *
exit_soon(void *arg)
{
	usleep(3000);
	exit((int)(intptr_t)arg);
}

static int
exit_in_a_thread(void *arg)
{
	pthread_t t;

	(void)arg;
	if (pthread_create(&t, NULL, exit_soon, (void *)24))
		return 1;
	test_run(4, sleep_long, NULL);
	return 2;
}

static void
use_at_exit(void)
{
	struct co_scope s;

	/* The program is about to end, on whatever stack it is. */
	if (co_inside())
		co_spawn(nothing, NULL);
	else
		co_run(NULL, give, NULL);
	co_scope_enter(&s, NULL);
	co_sleep(CO_MS(1));
	co_scope_leave(&s);
}

static int
at_exit_uses_it(void *arg)
{
	atexit(use_at_exit);
	if (arg)
		return co_run(NULL, call_exit, (void *)25);
	co_run(NULL, give, NULL);
	exit(25);
}

static int
aborts(void *arg)
{
	(void)arg;
	abort();
}

static int
run_to_abort(void *arg)
{
	(void)arg;
	return test_run(4, aborts, NULL);
}

TEST(the_process_may_exit_from_wherever_it_is)
{
	int i, n = (int)test_count(10, 100);

	exiting = true;		/* in the children, which inherit it */
	for (i = 0; i < n; i++) {
		ck_assert_int_eq(test_child(run_to_exit, NULL).code, 23);
		ck_assert_int_eq(test_child(exit_in_a_thread, NULL).code, 24);
		ck_assert_int_eq(test_child(at_exit_uses_it, NULL).code, 25);
		ck_assert_int_eq(test_child(at_exit_uses_it, &i).code, 25);
		ck_assert_int_eq(test_child(run_to_abort, NULL).signal,
		    SIGABRT);
	}
}

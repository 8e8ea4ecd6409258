/* SPDX-License-Identifier: MIT */
/*
 * deadlock_test.c - everybody sleeps for ever: when it is said, and when not.
 *
 * Each case runs in a process of its own: what it says is read from there, and
 * the threads of that process are ours alone.
 */
#include "harness.h"

#include <pthread.h>
#include <regex.h>
#include <signal.h>
#include <unistd.h>

#include <weft/chan.h>
#include <weft/inspect.h>
#include <weft/io.h>
#include <weft/scope.h>
#include <weft/sync.h>

#define LINE	"deadlock: all coroutines are asleep\n"

enum { DEADLOCKED = 70, WRONG = 71 };

struct what {
	co_fn *fn;
	int workers;
};

static int
code_of(int result)
{
	return result == -EDEADLK ? DEADLOCKED : result;
}

static int
run_it(void *arg)
{
	struct what *w = arg;

	return code_of(test_run(w->workers, w->fn, NULL));
}

/* run(fn) deadlocks: the line, and each of `words` behind it. */
static void
deadlocks_in(int (*run)(void *), co_fn *fn, const char *const *words)
{
	FOR_WORKERS(w) {
		struct what what = { fn, w };
		int64_t begin = test_now();
		struct test_child c = test_child(run, &what);
		int i;

		ck_assert_msg(c.code == DEADLOCKED, "%d workers: exit %d,"
		    " signal %d, \"%.2000s\"", w, c.code, c.signal, c.err);
		ck_assert_msg(strncmp(c.err, LINE, sizeof LINE - 1) == 0,
		    "it says \"%.2000s\"", c.err);
		for (i = 0; words[i]; i++)
			test_has(c.err + sizeof LINE - 1, words[i]);
		ck_assert_ptr_null(strstr(c.err + 1, LINE));
		test_between(test_now() - begin, 0, CO_SEC(3) * test_slow());
	}
}

static void
deadlocks(co_fn *fn, const char *const *words)
{
	deadlocks_in(run_it, fn, words);
}

static void
is_quiet_in(int (*run)(void *), co_fn *fn)
{
	FOR_WORKERS(w) {
		struct what what = { fn, w };
		struct test_child c = test_child(run, &what);

		ck_assert_msg(c.code == 0 && c.err[0] == '\0', "%d workers:"
		    " exit %d, signal %d, \"%.2000s\"", w, c.code, c.signal,
		    c.err);
	}
}

static void
is_quiet(co_fn *fn)
{
	is_quiet_in(run_it, fn);
}

#define WORDS(...)	(const char *const[]){ __VA_ARGS__, NULL }

/* --- deadlocks --------------------------------------------------------------- */

static int
receive_alone(void *arg)
{
	chan(int) ch = chan_new(int, 0);
	int v, code = chan_recv(ch, &v);

	(void)arg;
	chan_unref(ch);
	return code == -ECANCELED ? 0 : WRONG;
}

TEST(one_receives_and_nobody_sends)
{
	deadlocks(receive_alone, WORDS("coroutine 1", "receive"));
}

static int
nil_channel(void *arg)
{
	chan(int) ch = NULL;
	int v, code;

	(void)arg;
	co_set_name("lonely");
	code = chan_recv(ch, &v);
	return code == -ECANCELED ? 0 : WRONG;
}

TEST(one_waits_for_a_null_channel)
{
	deadlocks(nil_channel, WORDS("coroutine 1", "\"lonely\""));
}

static int
empty_select(void *arg)
{
	(void)arg;
	return co_select_v(NULL, 0) == -ECANCELED ? 0 : WRONG;
}

TEST(one_selects_among_nothing)
{
	deadlocks(empty_select, WORDS("coroutine 1"));
}

static chan(int) first, second;

static int
forward(void *arg)
{
	int v;

	(void)arg;
	co_set_name("forward");
	if (chan_recv(first, &v) == -ECANCELED)
		return 0;
	return chan_send(second, v);
}

static int
cycle(void *arg)
{
	int v, code;

	(void)arg;
	first = chan_new(int, 0);
	second = chan_new(int, 0);
	co_spawn(forward, NULL);
	code = chan_recv(second, &v);
	return code == -ECANCELED ? 0 : WRONG;
}

TEST(two_wait_for_each_other_over_channels)
{
	deadlocks(cycle, WORDS("coroutine 1:", "spawned by 1", "\"forward\""));
}

static struct co_mutex fork_a, fork_b;

static int
lock_both(void *arg)
{
	struct co_mutex *a = arg ? &fork_a : &fork_b,
	    *b = arg ? &fork_b : &fork_a;

	if (co_mutex_lock(a) < 0)
		return 0;
	co_yield();
	co_sleep(CO_MS(2));
	if (co_mutex_lock(b) == 0)
		co_mutex_unlock(b);
	co_mutex_unlock(a);
	return 0;
}

static int
dine(void *arg)
{
	struct co_scope s;

	(void)arg;
	fork_a = fork_b = (struct co_mutex)CO_MUTEX_INIT;
	co_scope(s) {
		co_spawn(lock_both, &fork_a);
		co_spawn(lock_both, NULL);
	}
	return s.status;
}

TEST(two_lock_in_opposite_order)
{
	deadlocks(dine, WORDS("coroutine 1:", "spawned by 1", "mutex"));
}

static int
wait_for_child(void *arg)
{
	struct co_event e = CO_EVENT_INIT;

	(void)arg;
	return co_event_wait(&e) == -ECANCELED ? 0 : WRONG;
}

static int
abandon(void *arg)
{
	struct co_scope s;
	struct co_task t;
	int code = 0;

	(void)arg;
	co_scope(s) {
		co_fork(&t, wait_for_child, NULL);
		code = co_join(&t);
	}
	return code == -ECANCELED ? 0 : WRONG;
}

TEST(one_joins_a_task_that_never_ends)
{
	deadlocks(abandon, WORDS("join", "event"));
}

static int
shielded(void *arg)
{
	struct co_event e = CO_EVENT_INIT;
	int code = 0;

	(void)arg;
	co_shield()
		code = co_event_wait(&e);
	return code == -ECANCELED ? 0 : WRONG;
}

/* The first has returned; what it left behind does not heed it. */
static int
leave_shielded(void *arg)
{
	(void)arg;
	co_spawn(shielded, NULL);
	co_yield();
	return 0;
}

TEST(a_shield_does_not_hold_off_a_deadlock)
{
	deadlocks(shielded, WORDS("coroutine 1", "event"));
	deadlocks(leave_shielded, WORDS("spawned by 1", "event"));
}

static int
pinned_waiter(void *arg)
{
	(void)arg;
	return co_select_v(NULL, 0) == -ECANCELED ? 0 : WRONG;
}

static int
pinned_ones(void *arg)
{
	struct co_spawn_options o = { .pinned = true };
	struct co_scope s;
	int i;

	(void)arg;
	co_scope(s)
		for (i = 0; i < 50; i++) {
			o.priority = (enum co_priority)(i % 3);
			co_spawn_with(&o, pinned_waiter, NULL);
		}
	return s.status;
}

static struct co_cond cond;

static int
wait_with_lock(void *arg)
{
	(void)arg;
	if (co_mutex_lock(&fork_a) < 0)
		return 0;
	(void)!co_cond_wait(&cond, &fork_a);
	co_mutex_unlock(&fork_a);
	return 0;
}

static int
lock_and_end(void *arg)
{
	(void)arg;
	return co_mutex_lock(&fork_a);
}

static int
lost_lock(void *arg)
{
	struct co_scope s;

	(void)arg;
	fork_a = (struct co_mutex)CO_MUTEX_INIT;
	cond = (struct co_cond)CO_COND_INIT;
	co_scope(s) {
		co_spawn(wait_with_lock, NULL);
		co_sleep(CO_MS(2));
		co_spawn(lock_and_end, NULL);
	}
	return s.status;
}

/* Who waits for a condition gets its mutex back, also when it is cancelled:
   here never. */
TEST(what_cancelling_does_not_end_is_said_and_not_hung_upon)
{
	FOR_WORKERS(w) {
		struct what what = { lost_lock, w };
		struct test_child c = test_child(run_it, &what);

		test_has(c.err, LINE);
		test_has(c.err, "asleep again");
		test_has(c.err, "waiting for mutex");
		ck_assert(c.signal == SIGABRT ||
		    (test_slow() > 1 && c.code > 0));
	}
}

TEST(pinned_ones_sleep_for_ever_as_well)
{
	deadlocks(pinned_ones, WORDS("coroutine 1:", "spawned by 1", "select"));
}

static int
receive_first(void *arg)
{
	int v;

	(void)arg;
	if (chan_recv(first, &v) != -ECANCELED)
		return WRONG;
	return chan_send(second, 1) == -ECANCELED ? 0 : WRONG;
}

static int
receive_second(void *arg)
{
	int v;

	(void)arg;
	if (chan_recv(second, &v) != -ECANCELED)
		return WRONG;
	return chan_send(first, 1) == -ECANCELED ? 0 : WRONG;
}

static void *
run_in_thread(void *what)
{
	return (void *)(intptr_t)run_it(what);
}

/* fn in one, receive_second in another. */
static int
run_two(void *arg)
{
	struct what other = *(struct what *)arg;
	pthread_t t;
	void *result;
	int code;

	first = chan_new(int, 0);
	second = chan_new(int, 0);
	other.fn = receive_second;
	pthread_create(&t, NULL, run_in_thread, &other);
	code = run_it(arg);
	pthread_join(t, &result);
	chan_unref(first);
	chan_unref(second);
	return (intptr_t)result == code ? code : WRONG;
}

TEST(two_runtimes_wait_for_each_other)
{
	deadlocks_in(run_two, receive_first, WORDS("coroutine 1:", "receive"));
}

/* After it has had timers, descriptors and jobs, which are over. */
static int
nap(void *arg)
{
	(void)arg;
	usleep(1000);
	return 5;
}

static int
busy_past(void *arg)
{
	struct co_event e = CO_EVENT_INIT;
	int fds[2], i;
	char c;

	(void)arg;
	if (pipe(fds) < 0)
		return WRONG;
	for (i = 0; i < 20; i++) {
		co_timeout(CO_MS(1))
			if (co_read(fds[0], &c, 1) != -ETIMEDOUT)
				return WRONG;
		if (write(fds[1], "x", 1) != 1 || co_read(fds[0], &c, 1) != 1)
			return WRONG;
		if (co_blocking(nap, NULL) != 5)
			return WRONG;
		co_timeout(CO_SEC(100))
			co_sleep(CO_US(100));
	}
	co_close(fds[0]);
	co_close(fds[1]);
	return co_event_wait(&e) == -ECANCELED ? 0 : WRONG;
}

TEST(what_is_over_wakes_nobody)
{
	deadlocks(busy_past, WORDS("coroutine 1", "event"));
}

/* A thread keeps it silent; when that has ended, it is said. */
static void *
end_soon(void *arg)
{
	usleep(100000);
	return arg;
}

static int
after_a_thread(void *arg)
{
	struct co_event e = CO_EVENT_INIT;
	int64_t begin = test_now();
	pthread_t t;

	(void)arg;
	pthread_create(&t, NULL, end_soon, NULL);
	pthread_detach(t);
	if (co_event_wait(&e) != -ECANCELED)
		return WRONG;
	return test_now() - begin >= CO_MS(100) ? 0 : WRONG;
}

TEST(the_end_of_the_last_other_thread_is_noticed)
{
	deadlocks(after_a_thread, WORDS("coroutine 1"));
}

static int
cleans_up(void *arg)
{
	struct co_event *e = arg;

	if (co_event_wait(e) != -ECANCELED)
		return WRONG;
	/* Waits in here fail at once, whatever stands around them. */
	co_shield()
		if (co_sleep(CO_SEC(1000)) != -ECANCELED)
			return WRONG;
	return 0;
}

static int
run_again(void *arg)
{
	int i;

	for (i = 0; i < 3; i++) {
		if (run_it(arg) != DEADLOCKED)
			return WRONG;
		if (test_run(2, nap, NULL) != 5)
			return WRONG;
	}
	return DEADLOCKED;
}

static int
many_clean_up(void *arg)
{
	struct co_event e = CO_EVENT_INIT;
	struct co_scope s;
	int i;

	(void)arg;
	co_scope(s)
		for (i = 0; i < 100; i++)
			co_spawn(cleans_up, &e);
	return s.status == -ECANCELED ? 0 : WRONG;
}

TEST(everything_is_cancelled_and_the_next_runtime_is_sound)
{
	FOR_WORKERS(w) {
		struct what what = { many_clean_up, w };

		ck_assert_int_eq(test_child(run_again, &what).code,
		    DEADLOCKED);
	}
}

/* --- what must not be taken for one ------------------------------------------- */

static int
sleep_a_second(void *arg)
{
	(void)arg;
	return co_sleep(CO_MS(test_long() ? 1000 : 250));
}

static int
one_sleeps(void *arg)
{
	struct co_scope s;
	int i;

	(void)arg;
	co_scope(s)
		for (i = 0; i < 3; i++)
			co_spawn(sleep_a_second, NULL);
	return s.status;
}

TEST(a_sleeper_is_not_asleep_for_ever)
{
	is_quiet(one_sleeps);
}

static int
deadline_ends_it(void *arg)
{
	struct co_event e = CO_EVENT_INIT;
	int code = 0;

	(void)arg;
	co_timeout(CO_MS(200))
		code = co_event_wait(&e);
	return code == -ETIMEDOUT ? 0 : WRONG;
}

TEST(a_deadline_still_to_come_is_waited_for)
{
	is_quiet(deadline_ends_it);
}

static int pipe_fds[2];

static int
read_pipe(void *arg)
{
	char c;

	(void)arg;
	return co_read(pipe_fds[0], &c, 1) == 0 ? 0 : WRONG;
}

/* The other end of the pipe is another process's. */
static int
descriptor(void *arg)
{
	int code;

	(void)arg;
	if (pipe(pipe_fds) < 0)
		return WRONG;
	if (fork() == 0) {
		usleep(250000);
		_exit(0);
	}
	close(pipe_fds[1]);
	code = read_pipe(NULL);
	co_close(pipe_fds[0]);
	return code;
}

TEST(a_descriptor_may_become_ready)
{
	is_quiet(descriptor);
}

static int
long_nap(void *arg)
{
	(void)arg;
	usleep(250000);
	return 0;
}

static int
one_job(void *arg)
{
	(void)arg;
	return co_blocking(long_nap, NULL);
}

TEST(a_job_of_the_blocking_pool_will_end)
{
	is_quiet(one_job);
}

static chan(int) from_thread;

static void *
send_later(void *arg)
{
	usleep(250000);
	chan_send(from_thread, 1);
	return arg;
}

static int
thread_sends(void *arg)
{
	pthread_t t;
	int v;

	(void)arg;
	from_thread = chan_new(int, 0);
	pthread_create(&t, NULL, send_later, NULL);
	if (chan_recv(from_thread, &v) != 0)
		return WRONG;
	pthread_join(t, NULL);
	chan_unref(from_thread);
	return 0;
}

TEST(any_other_thread_may_wake_somebody)
{
	is_quiet(thread_sends);
}

static int
send_from_runtime(void *arg)
{
	(void)arg;
	co_sleep(CO_MS(200));
	return chan_send(from_thread, 1);
}

static void *
second_runtime(void *arg)
{
	test_run(2, send_from_runtime, NULL);
	return arg;
}

static int
runtime_sends(void *arg)
{
	pthread_t t;
	int v;

	(void)arg;
	from_thread = chan_new(int, 0);
	pthread_create(&t, NULL, second_runtime, NULL);
	if (chan_recv(from_thread, &v) != 0)
		return WRONG;
	pthread_join(t, NULL);
	chan_unref(from_thread);
	return 0;
}

TEST(another_runtime_may_wake_somebody)
{
	is_quiet(runtime_sends);
}

/* Both of them sleep nearly always; either may be the one that looks. */
static int
runtimes_talk(void *arg)
{
	int i, v;

	(void)arg;
	for (i = 0; i < 300; i++) {
		if (i % 10 == 0)
			co_sleep(CO_MS(1));
		if (chan_send(first, i) != 0 || chan_recv(second, &v) != 0)
			return WRONG;
	}
	return chan_close(first);
}

static int
answer(void *arg)
{
	int v;

	(void)arg;
	while (chan_recv(first, &v) == 0)
		if (chan_send(second, v) != 0)
			return WRONG;
	return 0;
}

static void *
answer_in_thread(void *arg)
{
	return test_run(2, answer, NULL) == 0 ? arg : NULL;
}

static int
runtimes_talk_in_two(void *arg)
{
	pthread_t t;
	void *result;
	int code;

	first = chan_new(int, 0);
	second = chan_new(int, 0);
	pthread_create(&t, NULL, answer_in_thread, &first);
	code = run_it(arg);
	pthread_join(t, &result);
	chan_unref(first);
	chan_unref(second);
	return result ? code : WRONG;
}

TEST(two_runtimes_that_talk_are_not_asleep)
{
	is_quiet_in(runtimes_talk_in_two, runtimes_talk);
}

static int
signal_arrives(void *arg)
{
	(void)arg;
	if (fork() == 0) {
		usleep(200000);
		kill(getppid(), SIGUSR1);
		_exit(0);
	}
	return co_select(co_on_signal(SIGUSR1));
}

TEST(a_signal_may_come)
{
	is_quiet(signal_arrives);
}

/* Everybody is nearly idle, again and again: one event from another process is
   all that keeps it going. */
static int
near_idle(void *arg)
{
	int there[2], back[2], i, n = (int)test_count(3000, 100000);
	char c = 'x';
	pid_t pid;

	(void)arg;
	if (pipe(there) < 0 || pipe(back) < 0)
		return WRONG;
	pid = fork();
	if (pid == 0) {
		close(there[1]);
		close(back[0]);
		while (read(there[0], &c, 1) == 1)
			if (write(back[1], &c, 1) != 1)
				break;
		_exit(0);
	}
	close(there[0]);
	close(back[1]);
	for (i = 0; i < n; i++)
		if (co_write(there[1], &c, 1) != 1 ||
		    co_read(back[0], &c, 1) != 1)
			return WRONG;
	co_close(there[1]);
	co_close(back[0]);
	return 0;
}

TEST(moments_of_near_idleness_are_not_taken_for_it)
{
	is_quiet(near_idle);
}

/* The same with the event handed from worker to worker, with tasks that wait
   in vain beside it. */
static struct co_event forever;

static int
wait_in_vain(void *arg)
{
	(void)arg;
	return co_event_wait(&forever) == 0 ? 0 : WRONG;
}

static int
relay(void *arg)
{
	int v, n = (int)(intptr_t)arg;

	while (chan_recv(first, &v) == 0) {
		if (v >= n)
			break;
		co_sleep(v % 7 == 0 ? CO_US(30) : 0);
		if (chan_send(first, v + 1) < 0)
			break;
	}
	chan_close(first);
	return 0;
}

static int
near_idle_many(void *arg)
{
	intptr_t n = (intptr_t)test_count(20000, 1000000);
	struct co_scope s, t;
	int i;

	(void)arg;
	forever = (struct co_event)CO_EVENT_INIT;
	first = chan_new(int, 0);
	co_scope(s) {
		for (i = 0; i < 8; i++)
			co_spawn(wait_in_vain, NULL);
		co_scope(t) {
			for (i = 0; i < 6; i++)
				co_spawn(relay, (void *)n);
			chan_send(first, 0);
		}
		co_event_set(&forever);
	}
	return s.status;
}

TEST(work_that_moves_between_workers_is_not_overlooked)
{
	is_quiet(near_idle_many);
}

/* --- partly ---------------------------------------------------------------------- */

static int
stuck(void *arg)
{
	(void)arg;
	return co_event_wait(&forever) == -ECANCELED ? 0 : WRONG;
}

static int
three_are_stuck(void *arg)
{
	struct co_spawn_options o = { .name = "stuck" };
	struct co_scope s;
	int i;

	(void)arg;
	forever = (struct co_event)CO_EVENT_INIT;
	co_scope(s) {
		for (i = 0; i < 3; i++)
			co_spawn_with(&o, stuck, NULL);
		co_sleep(CO_MS(100));
		co_dump(stderr);
		co_cancel(&s);
	}
	return 0;
}

TEST(a_dump_lists_those_that_are_stuck_while_others_run)
{
	FOR_WORKERS(w) {
		struct what what = { three_are_stuck, w };
		struct test_child c = test_child(run_it, &what);
		const char *at = c.err;
		int listed = 0;

		ck_assert_int_eq(c.code, 0);
		while ((at = strstr(at, "\"stuck\"")) != NULL) {
			listed++;
			at++;
		}
		ck_assert_int_eq(listed, 3);
		test_has(c.err, "event");
		ck_assert_ptr_null(strstr(c.err, LINE));
	}
}

/* --- last words -------------------------------------------------------------------- */

static int
never_left(void *arg)
{
	static struct co_scope s;

	(void)arg;
	return co_scope_enter(&s, NULL);
}

static int
leave_open(void *arg)
{
	struct co_scope s;

	(void)arg;
	co_scope(s)
		co_spawn(never_left, NULL);
	return 0;
}

TEST(a_broken_invariant_is_named_with_its_place)
{
	struct what what = { leave_open, 2 };
	struct test_child c = test_child(run_it, &what);
	regex_t re;

	ck_assert_int_eq(c.signal, SIGABRT);
	ck_assert_int_eq(regcomp(&re, "^weft: bug: .+ at [^ ]*\\.[ch]:[0-9]+ "
	    "in coroutine [0-9]+$",
	    REG_EXTENDED | REG_NEWLINE | REG_NOSUB), 0);
	ck_assert_msg(regexec(&re, c.err, 0, NULL, 0) == 0, "\"%s\"", c.err);
	regfree(&re);
}

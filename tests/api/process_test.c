/* SPDX-License-Identifier: MIT */
/*
 * process_test.c - processes and signals.
 */
#include "harness.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <weft/io.h>
#include <weft/scope.h>

static char *const true_argv[] = { "true", NULL };

static int
run_sh(const char *script, const struct co_process_options *o,
    struct co_process *p)
{
	char *argv[] = { "sh", "-c", (char *)(uintptr_t)script, NULL };

	return co_spawn_process(p, argv, o);
}

static int
exits(void *arg)
{
	struct co_process p;
	int status = 0;

	(void)arg;
	test_result(run_sh("exit 7", NULL, &p), 0);
	ck_assert_int_eq(p.in, -1);
	test_result(co_waitpid(p.pid, &status, 0), p.pid);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	test_result(co_waitpid(p.pid, &status, 0), -ECHILD);
	test_result(run_sh("kill -9 $$", NULL, &p), 0);
	test_result(co_waitpid(-1, &status, 0), p.pid);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == 9);
	if (!test_emulated())	/* there exec fails after the fact */
		test_result(co_spawn_process(&p,
		    (char *[]){ "/no/such/program", NULL }, NULL), -ENOENT);
	test_result(co_spawn_process(&p, (char *[]){ NULL }, NULL), -EINVAL);
	return 0;
}

TEST(a_process_ends_and_is_waited_for)
{
	FOR_WORKERS(w)
		test_result(test_run(w, exits, NULL), 0);
	test_result(exits(NULL), 0);
}

static int
pipes(void *arg)
{
	const struct co_process_options o = { .pipe_in = true, .pipe_out = true,
	    .pipe_err = true, .directory = "/" };
	const struct co_process_options one = { .pipe_out = true,
	    .err_to_out = true, .env = (char *[]){ "X=y", NULL } };
	struct co_process p;
	char buf[100];
	int status;

	(void)arg;
	test_result(run_sh("cat; pwd >&2", &o, &p), 0);
	test_result(co_write_full(p.in, "through", 7), 7);
	test_result(co_close(p.in), 0);
	test_result(co_read_full(p.out, buf, 100), 7);
	ck_assert_int_eq(memcmp(buf, "through", 7), 0);
	test_result(co_read_full(p.err, buf, 100), 2);
	ck_assert_int_eq(memcmp(buf, "/\n", 2), 0);
	co_close(p.out);
	co_close(p.err);
	test_result(co_waitpid(p.pid, &status, 0), p.pid);
	/* Nothing of ours is open in it, and no signal is blocked. */
	test_result(run_sh("echo $X; ls -l /proc/self/fd | grep -c anon_inode; "
	    "grep SigBlk /proc/self/status >&2", &one, &p), 0);
	memset(buf, 0, sizeof buf);
	ck_assert_int_gt(co_read_full(p.out, buf, 99), 10);
	ck_assert_str_eq(buf, "y\n0\nSigBlk:\t0000000000000000\n");
	co_close(p.out);
	test_result(co_waitpid(p.pid, &status, 0), p.pid);
	return 0;
}

TEST(pipes_to_a_process)
{
	FOR_WORKERS(w)
		test_result(test_run(w, pipes, NULL), 0);
}

static int
cancel_wait(void *arg)
{
	struct co_process p;
	int status;

	(void)arg;
	test_result(run_sh("sleep 10", NULL, &p), 0);
	co_timeout(CO_MS(20))
		test_result(co_waitpid(p.pid, &status, 0), -ETIMEDOUT);
	test_result(co_waitpid(p.pid, &status, WNOHANG), 0);
	kill(p.pid, SIGTERM);
	test_result(co_waitpid(p.pid, &status, 0), p.pid);
	return 0;
}

TEST(a_deadline_ends_the_wait_for_a_process)
{
	FOR_WORKERS(w)
		test_result(test_run(w, cancel_wait, NULL), 0);
}

static int
one_process(void *arg)
{
	struct co_process p;
	int status, i, n = (int)test_count(10, 200);

	(void)arg;
	for (i = 0; i < n; i++) {
		test_result(co_spawn_process(&p, true_argv, NULL), 0);
		test_result(co_waitpid(p.pid, &status, 0), p.pid);
		ck_assert_int_eq(status, 0);
	}
	return 0;
}

static int
many_processes(void *arg)
{
	struct co_scope s;
	int i;

	(void)arg;
	co_scope(s)
		for (i = 0; i < 8; i++)
			co_spawn(one_process, NULL);
	return s.status;
}

TEST(many_processes_at_once)
{
	test_result(test_run(2, many_processes, NULL), 0);
}

/* --- processes that begin while much goes on ------------------------------ */

enum { STARTERS = 4, TALKERS = 4 };

static struct {
	int fd[TALKERS][2];
	chan(uint64_t) ch;
	int left;		/* [atomic] starters that are not done */
	int ended;		/* [atomic] processes that were waited for */
	uint64_t rounds[TALKERS], echoed[TALKERS], ticks;
} load;

static bool
busy(void)
{
	return __atomic_load_n(&load.left, __ATOMIC_RELAXED) > 0;
}

static int
echoes(void *arg)
{
	int i = (int)(intptr_t)arg;
	uint64_t v;

	while (co_read_full(load.fd[i][1], &v, sizeof v) == sizeof v) {
		test_result(co_write_full(load.fd[i][1], &v, sizeof v),
		    sizeof v);
		load.echoed[i]++;
	}
	return 0;
}

/* Each byte, value and turn of the clock that is owed comes. */
static int
talks(void *arg)
{
	int i = (int)(intptr_t)arg, *fd = load.fd[i];
	uint64_t n, got = 0;

	for (n = 0; n == 0 || busy(); n++) {
		test_result(co_write_full(fd[0], &n, sizeof n), sizeof n);
		test_result(co_read_full(fd[0], &got, sizeof got), sizeof got);
		ck_assert_uint_eq(got, n);
	}
	load.rounds[i] = n;
	ck_assert_int_eq(shutdown(fd[0], SHUT_WR), 0);
	return 0;
}

static int
ticks(void *arg)
{
	(void)arg;
	do {
		test_result(co_sleep(CO_US(300)), 0);
		test_result(chan_send(load.ch, load.ticks), 0);
		load.ticks++;
	} while (busy());
	return chan_close(load.ch);
}

static int
counts_ticks(void *arg)
{
	uint64_t n = 0;

	(void)arg;
	chan_each(uint64_t, v, load.ch)
		ck_assert_uint_eq(v, n++);
	ck_assert_uint_eq(n, load.ticks);
	return 0;
}

/* By fork and exec, or as co_spawn_process does it: nothing is open in it that
   is ours. */
static pid_t
start(int i)
{
	struct co_process p;
	char script[100];
	pid_t pid;

	if (i % 2) {
		pid = fork();
		if (pid == 0) {
			execvp(true_argv[0], true_argv);
			_exit(127);
		}
		ck_assert_int_gt(pid, 0);
		return pid;
	}
	snprintf(script, sizeof script, "[ ! -e /proc/$$/fd/%d ] && "
	    "[ ! -e /proc/$$/fd/%d ]", load.fd[i % TALKERS][0],
	    load.fd[i % TALKERS][1]);
	test_result(run_sh(script, NULL, &p), 0);
	return p.pid;
}

static int
starts(void *arg)
{
	int i, status, n = *(int *)arg;
	pid_t pid;

	for (i = 0; i < n; i++) {
		pid = start(i);
		status = -1;
		test_result(co_waitpid(pid, &status, 0), pid);
		ck_assert_int_eq(status, 0);
		__atomic_add_fetch(&load.ended, 1, __ATOMIC_RELAXED);
	}
	__atomic_sub_fetch(&load.left, 1, __ATOMIC_RELAXED);
	return 0;
}

static int
start_under_load(void *arg)
{
	struct co_scope s;
	int i;

	load.left = STARTERS;
	load.ended = 0;
	load.ticks = 0;
	load.ch = chan_new(uint64_t, 0);
	co_scope(s) {
		co_spawn(ticks, NULL);
		co_spawn(counts_ticks, NULL);
		for (i = 0; i < TALKERS; i++) {
			load.rounds[i] = load.echoed[i] = 0;
			ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM |
			    SOCK_CLOEXEC, 0, load.fd[i]), 0);
			co_spawn(echoes, (void *)(intptr_t)i);
			co_spawn(talks, (void *)(intptr_t)i);
		}
		for (i = 0; i < STARTERS; i++)
			co_spawn(starts, arg);
	}
	test_result(s.status, 0);
	ck_assert_int_eq(load.ended, STARTERS * *(int *)arg);
	for (i = 0; i < TALKERS; i++) {
		ck_assert_uint_eq(load.rounds[i], load.echoed[i]);
		test_result(co_close(load.fd[i][0]), 0);
		test_result(co_close(load.fd[i][1]), 0);
	}
	chan_unref(load.ch);
	return 0;
}

TEST(processes_begin_under_load_and_nothing_that_is_owed_is_lost,
    .seconds = 120)
{
	int n = (int)test_count(20, 2500);

	FOR_WORKERS(w)
		test_result(test_run(w, start_under_load, &n), 0);
}

/* --- signals -------------------------------------------------------------- */

static int
signals(void *arg)
{
	co_time start = co_now();

	(void)arg;
	test_result(co_wait_signal(0), -EINVAL);
	test_result(co_wait_signal(SIGKILL), -EINVAL);
	test_result(co_wait_signal(1000), -EINVAL);
	co_timeout(CO_MS(10))
		test_result(co_wait_signal(SIGUSR1), -ETIMEDOUT);
	ck_assert(co_now() - start >= CO_MS(10));
	/* Remembered, once. */
	kill(getpid(), SIGUSR1);
	kill(getpid(), SIGUSR1);
	test_result(co_wait_signal(SIGUSR1), 0);
	test_result(co_select(co_on_signal(SIGUSR1), co_otherwise), 1);
	test_result(co_select(co_on_signal(SIGUSR1), co_on_signal(SIGUSR2),
	    co_on_timeout(CO_MS(5))), 2);
	kill(getpid(), SIGUSR2);
	test_result(co_select(co_on_signal(SIGUSR1), co_on_signal(SIGUSR2)), 1);
	return 0;
}

static int
send_soon(void *arg)
{
	co_sleep(CO_MS(5));
	kill(getpid(), (int)(intptr_t)arg);
	return 0;
}

static int
waited_for(void *arg)
{
	struct co_scope s;
	int i;

	(void)arg;
	for (i = 0; i < 5; i++) {
		co_scope(s) {
			co_spawn(send_soon, (void *)(intptr_t)SIGTERM);
			if (i % 2)
				test_result(co_wait_signal(SIGTERM), 0);
			else
				test_result(co_select(co_on_signal(SIGINT),
				    co_on_signal(SIGTERM)), 1);
			co_timeout(CO_MS(1))
				test_result(co_wait_signal(SIGTERM), -ETIMEDOUT);
		}
	}
	return 0;
}

TEST(signals_wake_one_who_waits_and_are_remembered_once)
{
	FOR_WORKERS(w) {
		test_result(test_run(w, signals, NULL), 0);
		test_result(test_run(w, waited_for, NULL), 0);
	}
	test_result(co_wait_signal(SIGTERM), -EINVAL);
}

static int
make_a_case_and_send(void *arg)
{
	struct co_case cases[] = { co_on_signal(SIGUSR2), co_on_signal(1000),
	    co_on_timeout(CO_SEC(5)) };

	(void)arg;
	kill(getpid(), SIGUSR2);
	test_result(co_select_v(cases, 3), -EINVAL);
	cases[1] = cases[2];
	test_result(co_select_v(cases, 2), 0);
	return 0;
}

TEST(a_signal_is_caught_from_where_its_case_is_made)
{
	FOR_WORKERS(w)
		test_result(test_run(w, make_a_case_and_send, NULL), 0);
	test_result(co_select(co_on_signal(SIGUSR2), co_otherwise), -EINVAL);
}

static uint32_t raised;		/* [atomic] on a worker that weft made */

/* Keeps its worker busy until one of them is on such a worker. */
static int
raise_elsewhere(void *arg)
{
	int64_t until = test_now() + CO_SEC(5);

	(void)arg;
	while (!__atomic_load_n(&raised, __ATOMIC_SEQ_CST) &&
	    test_now() < until) {
		if (syscall(SYS_gettid) != getpid() &&
		    !__atomic_exchange_n(&raised, 1, __ATOMIC_SEQ_CST))
			raise(SIGUSR1);
	}
	return 0;
}

static int
raise_on_a_worker(void *arg)
{
	struct co_scope s;
	int i;

	(void)arg;
	__atomic_store_n(&raised, 0, __ATOMIC_SEQ_CST);
	test_result(co_select(co_on_signal(SIGUSR1), co_otherwise), 1);
	co_scope(s)
		for (i = 0; i < 16; i++)
			co_spawn(raise_elsewhere, NULL);
	ck_assert_uint_eq(__atomic_load_n(&raised, __ATOMIC_SEQ_CST), 1);
	test_result(co_select(co_on_signal(SIGUSR1),
	    co_on_timeout(CO_SEC(5))), 0);
	return 0;
}

static int
raise_usr2(void *arg)
{
	(void)arg;
	return raise(SIGUSR2);
}

static int
no_job(void *arg)
{
	(void)arg;
	return 0;
}

/* The second job is on the thread of the first. */
static int
raise_in_a_job(void *arg)
{
	(void)arg;
	test_result(co_blocking(no_job, NULL), 0);
	test_result(co_select(co_on_signal(SIGUSR2), co_otherwise), 1);
	test_result(co_blocking(raise_usr2, NULL), 0);
	test_result(co_select(co_on_signal(SIGUSR2),
	    co_on_timeout(CO_SEC(5))), 0);
	return 0;
}

TEST(a_signal_that_is_raised_on_any_thread_of_the_runtime_is_caught)
{
	test_result(test_run(2, raise_on_a_worker, NULL), 0);
	test_result(test_run(8, raise_on_a_worker, NULL), 0);
	FOR_WORKERS(w)
		test_result(test_run(w, raise_in_a_job, NULL), 0);
}

static int
raise_what_is_blocked(void *arg)
{
	(void)arg;
	test_result(co_select(co_on_signal(SIGUSR1), co_otherwise), 1);
	kill(getpid(), SIGUSR1);
	test_result(co_select(co_on_signal(SIGUSR1),
	    co_on_timeout(CO_SEC(5))), 0);
	return 0;
}

TEST(a_signal_that_the_caller_of_co_run_has_blocked_is_caught_until_its_end)
{
	sigset_t set, before, after;
	int i;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	ck_assert_int_eq(sigprocmask(SIG_BLOCK, &set, NULL), 0);
	sigprocmask(SIG_BLOCK, NULL, &before);
	FOR_WORKERS(w) {
		test_result(test_run(w, raise_what_is_blocked, NULL), 0);
		test_result(test_run(w, raise_in_a_job, NULL), 0);
		sigprocmask(SIG_BLOCK, NULL, &after);
		for (i = 1; i < 65; i++)
			ck_assert_int_eq(sigismember(&after, i),
			    sigismember(&before, i));
	}
}

static int
use_signal(void *arg)
{
	(void)arg;
	return co_select(co_on_signal(SIGUSR2), co_otherwise);
}

static void
not_called(int signo)
{
	(void)signo;
}

static int
take_over(void *arg)
{
	(void)arg;
	co_timeout(CO_MS(1))
		test_result(co_wait_signal(SIGUSR2), -ETIMEDOUT);
	ck_assert(signal(SIGUSR2, not_called) != SIG_ERR);
	return 0;
}

TEST(a_handler_that_the_program_has_put_in_since_stays)
{
	test_result(test_run(1, take_over, NULL), 0);
	ck_assert(signal(SIGUSR2, SIG_DFL) == not_called);
}

TEST(the_runtime_gives_signals_back)
{
	struct sigaction before, during;

	ck_assert_int_eq(sigaction(SIGUSR2, NULL, &before), 0);
	test_result(test_run(2, use_signal, NULL), 1);
	ck_assert_int_eq(sigaction(SIGUSR2, NULL, &during), 0);
	ck_assert(before.sa_handler == during.sa_handler);
}

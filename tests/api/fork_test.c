/* SPDX-License-Identifier: MIT */
/*
 * fork_test.c - a process that uses weft forks, without exec.  The child is
 * promised little: co_run refuses, exit and exec work.  What it calls besides
 * is a plain thread's; it must end soon, and do the parent no harm.
 */
#include "harness.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <weft.h>

/* What the threads that are not in the child had in hand looks like leaks. */
static int in_child;
int __lsan_is_turned_off(void);

int
__lsan_is_turned_off(void)
{
	return in_child;
}

/* --- it exits ------------------------------------------------------------- */

static int
seven(void *arg)
{
	(void)arg;
	return 7;
}

/* The child of a busy runtime exits as any process does: its exit handlers and
   destructors find no threads to wait for. */
static int
fork_main(void *arg)
{
	chan(int) ch = chan_new(int, 1);
	int status = 0, v = 0;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		in_child = 1;
		exit(7);
	}
	test_result(co_waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 7);
	test_result(chan_send(ch, 3), 0);
	test_result(co_sleep(CO_MS(1)), 0);
	test_result(chan_recv(ch, &v), 0);
	chan_unref(ch);
	return *(int *)arg + v;
}

static int
fork_child(void *arg)
{
	int status, four = 4;
	pid_t pid;

	if (test_run(*(int *)arg, fork_main, &four) != 7)
		return 1;
	pid = fork();
	if (pid == 0)
		_exit(co_run(NULL, seven, NULL) == -ECHILD ? 0 : 2);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
		return 3;
	return test_run(*(int *)arg, seven, NULL) == 7 ? 0 : 4;
}

TEST(a_forked_child_is_refused_and_its_parent_goes_on)
{
	FOR_WORKERS(w)
		ck_assert_int_eq(test_child(fork_child, &w).code, 0);
}

/* --- it calls weft -------------------------------------------------------- */

static struct {
	chan(int) ch;
	struct co_mutex m;
	struct co_sem sem;
	int fd[2];		/* somebody waits on the first */
	int got;		/* [atomic] what came of that */
	bool over;		/* [atomic] */
} of;

static int
nothing(void *arg)
{
	(void)arg;
	return 0;
}

static int
call_run(void)
{
	return co_run(NULL, nothing, NULL);
}

static int
call_spawn(void)
{
	return co_spawn(nothing, NULL);
}

static int
call_fork(void)
{
	struct co_task t;

	return co_fork(&t, nothing, NULL);
}

static int
call_wait_signal(void)
{
	return co_wait_signal(SIGUSR1);
}

static int
call_inside(void)
{
	return co_inside();
}

static int
call_channel(void)
{
	int v = 0, code = chan_try_recv(of.ch, &v);

	if (code || v != 5)
		return -EPROTO;
	return chan_send(of.ch, 6);
}

static int
call_mutex(void)
{
	int code = co_mutex_lock(&of.m);

	return code ? code : co_mutex_unlock(&of.m);
}

static int
call_sem(void)
{
	int code = 1;

	co_timeout(CO_MS(5))
		code = co_sem_wait(&of.sem);
	return code;
}

static int
call_sleep(void)
{
	return co_sleep(CO_MS(1));
}

static int
call_cancelled(void)
{
	struct co_scope s;
	int code = 1;

	co_scope(s) {
		co_cancel(&s);
		code = co_sleep(CO_FOREVER);
	}
	return code;
}

static int
call_select(void)
{
	int v;

	return co_select(co_on_recv(of.ch, &v), co_on_timeout(CO_SEC(9)));
}

static int
call_read(void)
{
	int code = 1;
	char c;

	co_timeout(CO_MS(5))
		code = (int)co_read(of.fd[0], &c, 1);
	return code;
}

static int
call_close(void)
{
	return co_close(of.fd[0]);
}

static const struct {
	const char *name;
	int (*call)(void);
	int want;
} calls[] = {
	{ "run", call_run, -ECHILD },
	{ "spawn", call_spawn, -EINVAL },
	{ "fork", call_fork, -EINVAL },
	{ "wait_signal", call_wait_signal, -EINVAL },
	{ "inside", call_inside, 0 },
	{ "a channel", call_channel, 0 },
	{ "a mutex", call_mutex, 0 },
	{ "a semaphore", call_sem, -ETIMEDOUT },
	{ "sleep", call_sleep, 0 },
	{ "a scope", call_cancelled, -ECANCELED },
	{ "select", call_select, 0 },
	{ "read", call_read, -ETIMEDOUT },
	{ "close", call_close, 0 },
};
enum { CALLS = sizeof calls / sizeof calls[0] };

static int
reads_one(void *arg)
{
	char c;

	(void)arg;
	test_result(co_read(of.fd[0], &c, 1), 1);
	__atomic_store_n(&of.got, c, __ATOMIC_SEQ_CST);
	return 0;
}

static int
is_busy(void *arg)
{
	(void)arg;
	while (!__atomic_load_n(&of.over, __ATOMIC_RELAXED))
		co_yield();
	return 0;
}

/* In the child: all in turn, each soon.  0, or which of them was wrong. */
static int
call_all(void)
{
	int i, code;

	for (i = 0; i < CALLS; i++) {
		alarm((unsigned)(10 * test_slow()));
		code = calls[i].call();
		if (code != calls[i].want) {
			fprintf(stderr, "%s gives %d\n", calls[i].name, code);
			return 1 + i;
		}
	}
	return 0;
}

/* The reader has its byte, whatever the child did with the descriptor. */
static int
children_call(void *arg)
{
	struct co_scope s;
	int status = 0;
	pid_t pid;

	of.got = 0;
	of.over = false;
	co_scope(s) {
		test_result(co_spawn(reads_one, NULL), 0);
		test_result(co_sleep(CO_MS(2)), 0);
		if (arg)
			test_result(co_spawn(is_busy, NULL), 0);
		fflush(NULL);
		pid = fork();
		ck_assert_int_ge(pid, 0);
		if (pid == 0) {
			in_child = 1;
			_exit(call_all());
		}
		test_result(co_waitpid(pid, &status, 0), pid);
		ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0,
		    "the child ended with %#x", status);
		ck_assert_int_eq(__atomic_load_n(&of.got, __ATOMIC_SEQ_CST), 0);
		test_result(co_write(of.fd[1], "z", 1), 1);
		while (__atomic_load_n(&of.got, __ATOMIC_SEQ_CST) != 'z')
			test_result(co_sleep(CO_US(100)), 0);
		__atomic_store_n(&of.over, true, __ATOMIC_RELAXED);
	}
	return s.status;
}

TEST(the_child_of_a_runtime_is_a_plain_thread_and_its_parent_goes_on)
{
	of.ch = chan_new(int, 1);
	of.m = (struct co_mutex)CO_MUTEX_INIT;
	of.sem = (struct co_sem)CO_SEM_INIT(0);
	test_result(chan_send(of.ch, 5), 0);
	test_pair(of.fd);
	FOR_WORKERS(w) {
		test_result(test_run(w, children_call, NULL), 0);
		test_result(test_run(w, children_call, "busy"), 0);
	}
	test_close_pair(of.fd);
	chan_unref(of.ch);
}

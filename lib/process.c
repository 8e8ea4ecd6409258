/* SPDX-License-Identifier: MIT */
/*
 * process.c - starting processes and waiting for them.
 *
 * Layer 7.  Built on io.
 *
 * A process is waited for by a descriptor (pidfd_open(2), Linux 5.3), as a
 * socket is.  Where there is none, for sets of processes (pid <= 0), and for
 * processes that stop or go on, is asked again and again, at growing distances.
 *
 * A child begins with the signal mask and dispositions that a program expects:
 * nothing blocked, SIGPIPE as it is by default.  It is started by posix_spawn,
 * which copies no memory; the pipes' ends are close-on-exec but for its own.
 */
#include "park.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <weft/io.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open	434
#endif

/* --- waiting -------------------------------------------------------------- */

/* 0: it has not changed its state. */
static int
try_wait(pid_t pid, int *status, int options)
{
	pid_t got;

	do
		got = waitpid(pid, status, options | WNOHANG);
	while (got < 0 && errno == EINTR);
	return got < 0 ? -errno : (int)got;
}

static int
ask_again(pid_t pid, int *status, int options)
{
	co_time pause = CO_MS(1);
	int n, code;

	while ((n = try_wait(pid, status, options)) == 0) {
		code = co_sleep(pause);
		if (code < 0)
			return code;
		pause = pause < CO_MS(50) ? 2 * pause : CO_MS(50);
	}
	return n;
}

/* One that is traced is told of to its tracer first, with its pidfd readable
   already. */
static int
wait_by_fd(int pidfd, pid_t pid, int *status, int options)
{
	int code = co_wait_fd(pidfd, CO_READ);

	return code < 0 ? code : ask_again(pid, status, options);
}

EXPORT int
co_waitpid(pid_t pid, int *status, int options)
{
	struct task *t;
	int n, pidfd;

	if (options & WNOHANG)
		return try_wait(pid, status, options);
	n = wait_enter(&t);
	if (n)
		return n;
	n = try_wait(pid, status, options);
	if (n != 0)
		return n;
	pidfd = pid <= 0 || options & (WUNTRACED | WCONTINUED) ? -1 :
	    (int)syscall(SYS_pidfd_open, pid, 0);	/* close-on-exec */
	if (pidfd < 0)
		return ask_again(pid, status, options);
	n = wait_by_fd(pidfd, pid, status, options);
	co_close(pidfd);
	return n;
}

/* --- starting ------------------------------------------------------------- */

struct spawn {
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	int ours[3], theirs[3];		/* ends of pipes; -1: none */
};

/* Should we have no 0, 1 or 2, a pipe may get that number, and the child would
   lose it when another one is put there. */
static int
out_of_the_way(int fd)
{
	int other, code;

	if (fd > 2)
		return fd;
	other = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	code = other < 0 ? -errno : other;
	close(fd);
	return code;
}

static int
make_pipe(struct spawn *s, int which)
{
	int end[2], code;

	if (pipe2(end, O_CLOEXEC) < 0)
		return -errno;
	end[0] = out_of_the_way(end[0]);
	end[1] = out_of_the_way(end[1]);
	s->ours[which] = end[which == 0];
	s->theirs[which] = end[which != 0];
	code = end[0] < end[1] ? end[0] : end[1];
	return code < 0 ? code : 0;
}

static int
make_pipes(struct spawn *s, const struct co_process_options *o)
{
	const bool wanted[3] = { o->pipe_in, o->pipe_out,
	    o->pipe_err && !o->err_to_out };
	int i, code = 0;

	for (i = 0; i < 3 && code == 0; i++)
		if (wanted[i])
			code = make_pipe(s, i);
	return code;
}

static int
set_files(struct spawn *s, const struct co_process_options *o)
{
	int i, code = 0;

	for (i = 0; i < 3 && code == 0; i++)
		if (s->theirs[i] >= 0)
			code = -posix_spawn_file_actions_adddup2(&s->files,
			    s->theirs[i], i);
	if (code == 0 && o->err_to_out)
		code = -posix_spawn_file_actions_adddup2(&s->files, 1, 2);
	if (code == 0 && o->directory)
		code = -posix_spawn_file_actions_addchdir_np(&s->files,
		    o->directory);
	return code;
}

static int
set_signals(struct spawn *s)
{
	sigset_t set;
	int code;

	sigemptyset(&set);
	code = -posix_spawnattr_setsigmask(&s->attr, &set);
	if (code == 0) {
		sigaddset(&set, SIGPIPE);
		code = -posix_spawnattr_setsigdefault(&s->attr, &set);
	}
	return code < 0 ? code : -posix_spawnattr_setflags(&s->attr,
	    POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

static void
close_all(const int fd[3])
{
	int i;

	for (i = 0; i < 3; i++)
		if (fd[i] >= 0)
			close(fd[i]);
}

static int
start(struct spawn *s, pid_t *ret, char *const *argv,
    const struct co_process_options *o)
{
	int code = make_pipes(s, o);

	if (code == 0)
		code = set_files(s, o);
	if (code == 0)
		code = set_signals(s);
	if (code == 0)
		code = -posix_spawnp(ret, argv[0], &s->files, &s->attr, argv,
		    o->env ? o->env : environ);
	return code;
}

EXPORT int
co_spawn_process(struct co_process *ret, char *const *argv,
    const struct co_process_options *options)
{
	static const struct co_process_options none;
	struct spawn s = { .ours = { -1, -1, -1 }, .theirs = { -1, -1, -1 } };
	pid_t pid = 0;
	int code;

	if (!ret || !argv || !argv[0])
		return -EINVAL;
	code = -posix_spawn_file_actions_init(&s.files);
	if (code < 0)
		return code;
	code = -posix_spawnattr_init(&s.attr);
	if (code < 0) {
		posix_spawn_file_actions_destroy(&s.files);
		return code;
	}
	code = start(&s, &pid, argv, options ? options : &none);
	posix_spawnattr_destroy(&s.attr);
	posix_spawn_file_actions_destroy(&s.files);
	close_all(s.theirs);
	if (code < 0) {
		close_all(s.ours);
		return code;
	}
	ret->pid = pid;
	ret->in = s.ours[0];
	ret->out = s.ours[1];
	ret->err = s.ours[2];
	return 0;
}

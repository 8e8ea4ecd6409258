/* SPDX-License-Identifier: MIT */
/*
 * os_look.c - looking, on Linux.
 *
 * Layer 1.
 */
#include "os_look.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

/* The one that is ignored where nobody asks for it, and that few ask for. */
enum { SHOW_SIGNAL = SIGURG };

static struct os_mutex mutex;
static int shows;		/* [mutex] */
static struct sigaction before;	/* [mutex] */
static void (*show_fn)(uintptr_t pc, uintptr_t fp);	/* [atomic] */

/* --- memory --------------------------------------------------------------- */

/* Where a sandbox or an emulator refuses process_vm_readv: write(2) says EFAULT
   as well, and a pipe takes PIPE_BUF bytes without waiting. */
static cold bool
peek_by_pipe(char *ret, const char *from, size_t n)
{
	enum { PART = 4096 };
	size_t part;
	int fds[2];
	bool good = true;

	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return false;
	for (; n > 0 && good; n -= part, ret += part, from += part) {
		part = n < PART ? n : PART;
		good = write(fds[1], from, part) == (ssize_t)part &&
		    read(fds[0], ret, part) == (ssize_t)part;
	}
	close(fds[0]);
	close(fds[1]);
	return good;
}

/* The call itself, not the C library's: sanitizers watch that one. */
bool
os_peek(void *ret, const void *from, size_t n)
{
	struct iovec to = { ret, n }, at = { (void *)(uintptr_t)from, n };
	long got;

	if (!from)
		return false;
	got = syscall(SYS_process_vm_readv, (long)getpid(), &to, 1L, &at, 1L,
	    0L);
	if (got == (long)n)
		return true;
	if (got >= 0 || errno == EFAULT)
		return false;
	return peek_by_pipe(ret, from, n);
}

/* --- threads -------------------------------------------------------------- */

int
os_thread_id(void)
{
	return (int)syscall(SYS_gettid);
}

/* A file of /proc that is a line: its bytes, or 0. */
static size_t
read_line(int tid, const char *name, char *ret, size_t size)
{
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof path, "/proc/self/task/%d/%s", tid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, ret, size - 1);
	close(fd);
	if (n <= 0)
		return 0;
	ret[n] = '\0';
	return (size_t)n;
}

/* "tid (name) S ...": a name may hold anything, so the last bracket counts. */
static char
thread_state(int tid)
{
	char line[256], *at;

	if (read_line(tid, "stat", line, sizeof line) == 0)
		return 0;
	at = strrchr(line, ')');
	return at && at[1] == ' ' ? at[2] : 0;
}

/* "number args sp pc" of a thread that is in a system call. */
static uintptr_t
thread_pc(int tid)
{
	char line[256], *at;

	if (read_line(tid, "syscall", line, sizeof line) == 0)
		return 0;
	at = strrchr(line, ' ');
	return at ? (uintptr_t)strtoull(at, NULL, 16) : 0;
}

/* The clock of a thread's processor time has this number: see
   pthread_getcpuclockid, which wants a handle. */
static co_time
thread_used(int tid)
{
	struct timespec ts;
	clockid_t clock = (clockid_t)(~(unsigned)tid << 3 | 6);

	if (clock_gettime(clock, &ts) < 0)
		return -1;
	return (co_time)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

void
os_thread_look(int tid, struct os_thread_look *ret)
{
	ret->state = thread_state(tid);
	ret->used = thread_used(tid);
	ret->pc = ret->state == 'S' || ret->state == 'D' ? thread_pc(tid) : 0;
}

/* --- showing -------------------------------------------------------------- */

#if defined __x86_64__
enum { CAN_SHOW = 1 };
#define PC_OF(u)	((uintptr_t)(u)->uc_mcontext.gregs[REG_RIP])
#define FP_OF(u)	((uintptr_t)(u)->uc_mcontext.gregs[REG_RBP])
#elif defined __aarch64__
enum { CAN_SHOW = 1 };
#define PC_OF(u)	((uintptr_t)(u)->uc_mcontext.pc)
#define FP_OF(u)	((uintptr_t)(u)->uc_mcontext.regs[29])
#elif defined __riscv && __riscv_xlen == 64
enum { CAN_SHOW = 1 };
#define PC_OF(u)	((uintptr_t)(u)->uc_mcontext.__gregs[REG_PC])
#define FP_OF(u)	((uintptr_t)(u)->uc_mcontext.__gregs[REG_S0])
#else
enum { CAN_SHOW = 0 };
#define PC_OF(u)	((void)(u), (uintptr_t)0)
#define FP_OF(u)	((void)(u), (uintptr_t)0)
#endif

static void
handler(int signo, siginfo_t *info, void *context)
{
	void (*show)(uintptr_t, uintptr_t) = a_load_acquire(&show_fn);
	const ucontext_t *u = context;
	int saved = errno;

	(void)signo;
	(void)info;
	if (show)
		show(PC_OF(u), FP_OF(u));
	errno = saved;
}

static bool
is_ours(void)
{
	struct sigaction now;

	return sigaction(SHOW_SIGNAL, NULL, &now) == 0 &&
	    now.sa_flags & SA_SIGINFO && now.sa_sigaction == handler;
}

static int
take_signal(void)
{
	struct sigaction action = { .sa_sigaction = handler,
	    .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK };

	/* Who took the signal from us may have put us back when we had gone. */
	if (is_ours())
		return 0;
	if (sigaction(SHOW_SIGNAL, NULL, &before) < 0)
		return -errno;
	if (before.sa_flags & SA_SIGINFO ||
	    (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN))
		return -EBUSY;
	sigfillset(&action.sa_mask);
	return sigaction(SHOW_SIGNAL, &action, NULL) < 0 ? -errno : 0;
}

int
os_show_begin(void (*show)(uintptr_t pc, uintptr_t fp))
{
	int code = 0;

	if (!CAN_SHOW)
		return -ENOSYS;
	os_mutex_lock(&mutex);
	if (shows == 0)
		code = take_signal();
	if (code == 0) {
		shows++;
		a_store_release(&show_fn, show);	/* with handler */
	}
	os_mutex_unlock(&mutex);
	return code;
}

void
os_show_end(void)
{
	os_mutex_lock(&mutex);
	if (--shows == 0 && is_ours())
		sigaction(SHOW_SIGNAL, &before, NULL);
	os_mutex_unlock(&mutex);
}

static bool
mask(int how)
{
	sigset_t set, old;

	sigemptyset(&set);
	sigemptyset(&old);
	sigaddset(&set, SHOW_SIGNAL);
	pthread_sigmask(how, &set, &old);
	return sigismember(&old, SHOW_SIGNAL) == 1;
}

bool
os_show_accept(void)
{
	return mask(SIG_UNBLOCK);
}

void
os_show_refuse(void)
{
	mask(SIG_BLOCK);
}

int
os_show_ask(int tid)
{
	if (!is_ours())
		return -EBUSY;
	if (thread_state(tid) != 'R')
		return -EAGAIN;
	return syscall(SYS_tgkill, getpid(), tid, SHOW_SIGNAL) < 0 ?
	    -errno : 0;
}

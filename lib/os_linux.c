/* SPDX-License-Identifier: MIT */
/*
 * os_linux.c - Linux, by system calls and pthreads.
 *
 * Layer 1.
 */
#include "os.h"

#include <dirent.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "lock.h"

bool co__have_membarrier;
#ifdef WEFT_TSAN
uint32_t co__tsan_fence;
#endif

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct os_mutex end_key_mutex;
static pthread_key_t end_key;	/* [const once have_end_key] */
static bool have_end_key;	/* [atomic; written under end_key_mutex] */
static void (*end_fn)(void *);	/* [atomic] the stand-ins', always */
static bool forked;		/* [a child's only thread] */

co_time
os_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (co_time)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* --- threads -------------------------------------------------------------- */

/* Whoever waits for what ran there would wait for ever. */
static void
thread_was_ended(void *arg)
{
	(void)arg;
	bug("a coroutine or a job ended its thread, by pthread_exit, or"
	    " pthread_cancel did");
}

/* glibc unwinds the stack that the thread is on, a coroutine's too, and calls
   what was pushed last with the stack that it was pushed on. */
void
os_to_the_end(void (*fn)(void *), void *arg)
{
	pthread_cleanup_push(thread_was_ended, NULL);
	fn(arg);
	pthread_cleanup_pop(0);
}

struct start {
	void (*fn)(void *);
	void *arg;
};

void
os_signals_block(sigset_t *ret_old)
{
	sigset_t all;

	sigfillset(&all);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGILL);
	sigdelset(&all, SIGTRAP);
	sigdelset(&all, SIGABRT);
	sigdelset(&all, SIGSYS);
	pthread_sigmask(SIG_SETMASK, &all, ret_old);
}

static void *
thread_main(void *arg)
{
	struct start s = *(struct start *)arg;
	sigset_t old;

	free(arg);
	os_to_the_end(s.fn, s.arg);
	/* From here on TSan would keep one for a thread that is no more. */
	os_signals_block(&old);
	return NULL;
}

int
os_thread_start(struct os_thread *t, void (*fn)(void *), void *arg)
{
	struct start *s = malloc(sizeof *s);
	sigset_t old;
	pthread_t handle;
	int error;

	if (!s)
		return -ENOMEM;
	s->fn = fn;
	s->arg = arg;
	os_signals_block(&old);
	error = pthread_create(&handle, NULL, thread_main, s);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (error) {
		free(s);
		return -error;
	}
	t->handle = (unsigned long)handle;
	return 0;
}

void
os_thread_join(struct os_thread *t)
{
	pthread_join((pthread_t)t->handle, NULL);
}

static void
thread_ends(void *value)
{
	a_load_relaxed(&end_fn)(value);
}

/* Keys may be used up now and there again later. */
static int
make_end_key(void)
{
	int error = 0;

	if (likely(a_load_acquire(&have_end_key)))
		return 0;
	os_mutex_lock(&end_key_mutex);
	if (!have_end_key) {
		error = pthread_key_create(&end_key, thread_ends);
		if (!error)
			a_store_release(&have_end_key, true);
	}
	os_mutex_unlock(&end_key_mutex);
	return -error;
}

int
os_at_thread_end(void (*fn)(void *), void *value)
{
	int code = make_end_key();

	if (code < 0)
		return code;
	a_store_relaxed(&end_fn, fn);
	return -pthread_setspecific(end_key, value);
}

int
os_threads(void)
{
	struct stat st;

	/* A directory of processes has a link for each, and two of its own. */
	if (stat("/proc/self/task", &st) < 0)
		return -errno;
	return (int)st.st_nlink - 2;
}

/* --- futex ---------------------------------------------------------------- */

static int
futex_wait(uint32_t *word, uint32_t value, co_time until)
{
	struct timespec ts, *at = NULL;

	if (until != CO_FOREVER) {
		if (until < 0)
			until = 0;
		ts.tv_sec = until / 1000000000;
		ts.tv_nsec = until % 1000000000;
		at = &ts;
	}
	if (syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, value, at, NULL,
	    FUTEX_BITSET_MATCH_ANY) < 0 && errno == ETIMEDOUT)
		return -ETIMEDOUT;
	return 0;
}

#ifdef WEFT_TSAN
/*
 * TSan keeps a signal back until the thread next calls what TSan intercepts, as
 * clock_gettime is.  syscall() is not, so that a sleep in it would keep the
 * signal for as long as it lasts.
 */
int
os_futex_wait(uint32_t *word, uint32_t value, co_time until)
{
	co_time look = os_now() + CO_MS(100);

	if (until <= look)
		return futex_wait(word, value, until);
	(void)futex_wait(word, value, look);
	return 0;
}
#else
int
os_futex_wait(uint32_t *word, uint32_t value, co_time until)
{
	return futex_wait(word, value, until);
}
#endif

void
os_futex_wake(uint32_t *word, int n)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

/* 0 free, 1 held, 2 held and somebody sleeps. */
void
os_mutex_lock(struct os_mutex *m)
{
	if (a_cas_acquire(&m->word, 0u, 1u))
		return;
	while (a_xchg_acquire(&m->word, 2) != 0)
		os_futex_wait(&m->word, 2, CO_FOREVER);
}

void
os_mutex_unlock(struct os_mutex *m)
{
	if (a_xchg_acqrel(&m->word, 0) == 2)
		os_futex_wake(&m->word, 1);
}

/* --- processor and memory ------------------------------------------------- */

void
os_give_way(void)
{
	sched_yield();
}

void
os_nap(co_time duration)
{
	struct timespec ts = { duration / 1000000000, duration % 1000000000 };

	nanosleep(&ts, NULL);
}

int
os_cpus(void)
{
	cpu_set_t set;
	int n;

	if (sched_getaffinity(0, sizeof set, &set) == 0)
		n = CPU_COUNT(&set);
	else
		n = (int)sysconf(_SC_NPROCESSORS_ONLN);
	return n > 0 ? n : 1;
}

size_t
os_page(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

uint64_t
os_faults(void)
{
	struct rusage u;

	return getrusage(RUSAGE_SELF, &u) < 0 ? 0 : (uint64_t)u.ru_minflt;
}

void *
os_map(size_t size)
{
	void *at;

	if (chaos_fail())
		return NULL;
	at = mmap(NULL, size, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return at == MAP_FAILED ? NULL : at;
}

void *
os_map_coloured(size_t size, unsigned colour)
{
	size_t page = os_page(), more = (COLOURS - 1) * page, head;
	char *at = NULL;

	if (size <= PTRDIFF_MAX - more)
		at = os_map(size + more);
	if (!at)
		return os_map(size);	/* room comes before colour */
	head = (colour - (uintptr_t)at / page) % COLOURS * page;
	/* At the limit of maps it may be refused: then addresses are lost. */
	if (head > 0)
		(void)munmap(at, head);
	if (head < more)
		(void)munmap(at + head + round_up(size, page), more - head);
	return at + head;
}

void
os_unmap(void *at, size_t size)
{
	if (at)
		munmap(at, size);
}

/* --- once ----------------------------------------------------------------- */

/* Where the kernel has no memory for a set of processors it has done nothing,
   and says so. */
void
a_heavy_barrier(void)
{
	chaos_point();
	if (likely(co__have_membarrier)) {
		while (unlikely(syscall(SYS_membarrier,
		    MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) < 0)) {
			bug_if(errno != ENOMEM);
			sched_yield();
		}
	} else {
		a_fence_seqcst();
	}
}

static void
in_child(void)
{
	forked = true;
	co__self = &co__nobody;
	a_store_relaxed(&co__solo, NULL);
}

static void
init(void)
{
	const char *off = getenv("WEFT_NO_MEMBARRIER");

	if (!(off && *off) && syscall(SYS_membarrier,
	    MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0)
		co__have_membarrier = true;
	pthread_atfork(NULL, NULL, in_child);
}

void
os_init(void)
{
	pthread_once(&once, init);
}

bool
os_forked(void)
{
	return forked;
}

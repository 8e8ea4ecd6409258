/* SPDX-License-Identifier: MIT */
/*
 * starve_test.c - no memory, no threads, no descriptors: an error where it can
 * be reported, nothing left behind, and all works again afterwards.
 *
 * The allocators of libc are replaced: while `armed`, one of the calls that
 * come from this program, which holds the static library, fails.  Each test
 * goes over all calls, the first, the second, ... until none has failed.
 */
#include "harness.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <weft/chan.h>
#include <weft/io.h>
#include <weft/scope.h>
#include <weft/sync.h>

enum kind { MEMORY, MAPS, THREADS, STACKS, KINDS };

static int armed[KINDS];	/* [atomic] calls until one fails; 0: none */
static int injected;		/* [atomic] */
static int64_t held;		/* [atomic] blocks that the library has */
static int64_t mapped;		/* [atomic] bytes */

#if !TEST_SANITIZED

extern char __executable_start, etext;

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t align, size_t n);
void __libc_free(void *p);

static bool
ours(void *from)
{
	return (char *)from >= &__executable_start && (char *)from < &etext;
}

static bool
fails(enum kind k)
{
	if (__atomic_load_n(&armed[k], __ATOMIC_RELAXED) <= 0 ||
	    __atomic_sub_fetch(&armed[k], 1, __ATOMIC_RELAXED) != 0)
		return false;
	__atomic_add_fetch(&injected, 1, __ATOMIC_RELAXED);
	errno = ENOMEM;
	return true;
}

static void *
count(void *p, void *from)
{
	if (p && ours(from))
		__atomic_add_fetch(&held, 1, __ATOMIC_RELAXED);
	return p;
}

void *
malloc(size_t n)
{
	void *from = __builtin_return_address(0);

	return ours(from) && fails(MEMORY) ? NULL :
	    count(__libc_malloc(n), from);
}

void *
calloc(size_t n, size_t size)
{
	void *from = __builtin_return_address(0);

	return ours(from) && fails(MEMORY) ? NULL :
	    count(__libc_calloc(n, size), from);
}

void *
realloc(void *p, size_t n)
{
	void *from = __builtin_return_address(0);

	if (ours(from) && fails(MEMORY))
		return NULL;
	if (p)
		return __libc_realloc(p, n);
	return count(__libc_realloc(p, n), from);
}

void *
aligned_alloc(size_t align, size_t n)
{
	void *from = __builtin_return_address(0);

	return ours(from) && fails(MEMORY) ? NULL :
	    count(__libc_memalign(align, n), from);
}

void
free(void *p)
{
	if (p && ours(__builtin_return_address(0)))
		__atomic_sub_fetch(&held, 1, __ATOMIC_RELAXED);
	__libc_free(p);
}

void *
mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset)
{
	void *p;

	if (ours(__builtin_return_address(0)) && fails(MAPS))
		return MAP_FAILED;
	p = (void *)syscall(SYS_mmap, at, n, prot, flags, fd, offset);
	if (p != MAP_FAILED && ours(__builtin_return_address(0)) &&
	    !(flags & MAP_FIXED))
		__atomic_add_fetch(&mapped, (int64_t)n, __ATOMIC_RELAXED);
	return p;
}

int
munmap(void *at, size_t n)
{
	if (ours(__builtin_return_address(0)))
		__atomic_sub_fetch(&mapped, (int64_t)n, __ATOMIC_RELAXED);
	return (int)syscall(SYS_munmap, at, n);
}

int
sigaltstack(const stack_t *set, stack_t *old)
{
	if (set && !(set->ss_flags & SS_DISABLE) &&
	    ours(__builtin_return_address(0)) && fails(STACKS))
		return -1;
	return (int)syscall(SYS_sigaltstack, set, old);
}

int
pthread_create(pthread_t *t, const pthread_attr_t *attr,
    void *(*fn)(void *), void *arg)
{
	static int (*real)(pthread_t *, const pthread_attr_t *,
	    void *(*)(void *), void *);

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
	if (ours(__builtin_return_address(0)) && fails(THREADS))
		return EAGAIN;
	return real(t, attr, fn, arg);
}

#endif

static bool
may_fail_so(int code)
{
	return code == -ENOMEM || code == -EAGAIN || code == -EMFILE;
}

/* --- a little of everything, each part of which may fail ----------------------- */

static int ran, spawned;	/* [atomic] */
static int first_error;		/* [atomic] */

/* True: it went well. */
static bool
went_well(int code)
{
	int zero = 0;

	if (code >= 0)
		return true;
	ck_assert_msg(may_fail_so(code), "failed with %d", code);
	__atomic_compare_exchange_n(&first_error, &zero, code, false,
	    __ATOMIC_RELAXED, __ATOMIC_RELAXED);
	return false;
}

static int
child(void *arg)
{
	(void)arg;
	__atomic_add_fetch(&ran, 1, __ATOMIC_RELAXED);
	went_well(co_sleep(CO_US(20)));
	return 3;
}

static int
child_of_value(int *v)
{
	ck_assert_int_eq(*v, 77);
	return child(NULL);
}

static void
started(int code)
{
	if (went_well(code))
		__atomic_add_fetch(&spawned, 1, __ATOMIC_RELAXED);
}

CO_LOCAL(int, local);

static void
use_channel(void)
{
	chan(int) ch = chan_new(int, 4);
	int v = 0;

	if (!went_well(ch ? 0 : -ENOMEM))
		return;
	if (went_well(chan_send(ch, 5)) && went_well(chan_recv(ch, &v)))
		ck_assert_int_eq(v, 5);
	co_timeout(CO_US(50)) {
		int code = chan_recv(ch, &v);

		ck_assert(code == -ETIMEDOUT || !went_well(code));
	}
	went_well(co_select(co_on_recv(ch, &v), co_on_timeout(CO_US(30))));
	chan_unref(ch);
}

static int
job(void *arg)
{
	(void)arg;
	return 9;
}

static void
use_pipe(void)
{
	int fds[2], code;
	char c;

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	co_timeout(CO_US(50)) {
		code = (int)co_read(fds[0], &c, 1);
		ck_assert(code == -ETIMEDOUT || !went_well(code));
	}
	if (went_well((int)co_write(fds[1], "x", 1)))
		went_well((int)co_read(fds[0], &c, 1));
	co_close(fds[0]);
	co_close(fds[1]);
}

static int
everything(void *arg)
{
	struct co_spawn_options o = { .name = "big", .stack_size = 1 << 20 };
	struct co_scope s;
	struct co_task t;
	int i, code;

	(void)arg;
	co_scope(s) {
		for (i = 0; i < 5; i++)
			started(co_spawn(child, NULL));
		started(co_spawn_with(&o, child, NULL));
		went_well(co_local_set(local, 4));
		started(co_spawn(child, NULL));
		started(co_go(child_of_value, 77));
		code = co_fork(&t, child, NULL);
		started(code);
		if (code == 0)
			test_result(co_join(&t), 3);
		use_channel();
		use_pipe();
		code = co_blocking(job, NULL);
		if (went_well(code))
			ck_assert_int_eq(code, 9);
	}
	test_result(s.status, 0);
	ck_assert_int_eq(ran, spawned);
	return first_error;
}

/* Arms the n-th call of the kind and runs everything: did it fail? */
static bool
run_starved(enum kind k, int n, int workers)
{
	int fds = test_fds(), threads = test_threads(), code, i;
	int64_t blocks, bytes;

	ran = spawned = first_error = injected = 0;
	blocks = __atomic_load_n(&held, __ATOMIC_RELAXED);
	bytes = __atomic_load_n(&mapped, __ATOMIC_RELAXED);
	__atomic_store_n(&armed[k], n, __ATOMIC_RELAXED);
	code = test_run(workers, everything, NULL);
	__atomic_store_n(&armed[k], 0, __ATOMIC_RELAXED);
	ck_assert_msg(code == 0 || may_fail_so(code),
	    "call %d of kind %d: co_run gives %d", n, (int)k, code);
	ck_assert_msg(test_fds() == fds, "call %d of kind %d leaks a"
	    " descriptor", n, (int)k);
	for (i = 0; i < 1000 && test_threads() > threads; i++)
		usleep(1000);
	ck_assert_msg(test_threads() <= threads, "call %d of kind %d leaves"
	    " a thread", n, (int)k);
	ck_assert_msg(__atomic_load_n(&held, __ATOMIC_RELAXED) == blocks,
	    "call %d of kind %d leaks %lld blocks", n, (int)k,
	    (long long)(held - blocks));
	ck_assert_msg(__atomic_load_n(&mapped, __ATOMIC_RELAXED) == bytes,
	    "call %d of kind %d leaks %lld mapped bytes", n, (int)k,
	    (long long)(mapped - bytes));
	return injected != 0;
}

static void
sweep(enum kind k)
{
	static const int workers[] = { 1, 2, 4 };
	size_t w;
	int n;

	if (TEST_SANITIZED)
		test_skip("the sanitizer has allocators of its own");
	for (w = 0; w < sizeof workers / sizeof *workers; w++) {
		/* What a process makes once, and keeps. */
		ran = spawned = first_error = 0;
		test_result(test_run(workers[w], everything, NULL), 0);
		for (n = 1; run_starved(k, n, workers[w]); n++)
			ck_assert_int_lt(n, 10000);
		ck_assert_int_gt(n, workers[w] == 1 && k == STACKS ? 0 : 1);
		ck_assert_int_eq(first_error, 0);
	}
}

TEST(every_allocation_may_fail)
{
	sweep(MEMORY);
}

TEST(every_mapping_may_fail)
{
	sweep(MAPS);
}

TEST(every_thread_may_be_refused)
{
	sweep(THREADS);
}

TEST(every_signal_stack_may_be_refused)
{
	sweep(STACKS);
}

/* In a fresh process nothing has been made yet. */
static int
first_call(void *arg)
{
	int n = (int)(intptr_t)arg, code;

	armed[n & 1 ? MEMORY : MAPS] = n / 2 + 1;
	code = test_run(2, everything, NULL);
	armed[MEMORY] = armed[MAPS] = 0;
	if (code != 0 && !may_fail_so(code))
		return 1;
	ran = spawned = first_error = 0;
	return test_run(2, everything, NULL) == 0 ? 0 : 2;
}

TEST(the_first_use_of_all_may_fail_and_be_tried_again)
{
	intptr_t n;

	if (TEST_SANITIZED)
		test_skip("the sanitizer has allocators of its own");
	for (n = 0; n < 40; n++) {
		struct test_child c = test_child(first_call, (void *)n);

		ck_assert_msg(c.code == 0, "call %d: exit %d, signal %d, %s",
		    (int)n, c.code, c.signal, c.err);
	}
}

/* --- descriptors, processes ------------------------------------------------------ */

static int
nothing(void *arg)
{
	(void)arg;
	return 4;
}

TEST(without_descriptors_it_does_not_begin)
{
	struct rlimit before, few;
	int fds = test_fds(), workers, extra, code, refused, lowest = dup(0);

	close(lowest);
	if (TEST_SANITIZED)
		test_skip("the sanitizer's own questions need descriptors");
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	for (workers = 1; workers <= 3; workers++) {
		refused = 0;
		for (extra = 0; extra < 12; extra++) {
			few = before;
			few.rlim_cur = (rlim_t)(lowest + extra);
			setrlimit(RLIMIT_NOFILE, &few);
			code = test_run(workers, nothing, NULL);
			setrlimit(RLIMIT_NOFILE, &before);
			ck_assert_msg(code == 4 || code == -EMFILE,
			    "%d descriptors: %d", extra, code);
			refused += code == -EMFILE;
			ck_assert_int_eq(test_fds(), fds);
		}
		ck_assert_int_gt(refused, 0);
		test_result(test_run(workers, nothing, NULL), 4);
	}
}

static int
as_a_poor_user(void *arg)
{
	struct rlimit none = { 0, 0 };
	int before = test_threads(), i;

	(void)arg;
	if (getuid() == 0 && setuid(65534) < 0)
		return 9;
	if (setrlimit(RLIMIT_NPROC, &none) < 0)
		return 8;
	for (i = 0; i < 10; i++) {
		if (test_run(2, nothing, NULL) != -EAGAIN)
			return 1;
		if (test_run(16, nothing, NULL) != -EAGAIN)
			return 2;
		if (test_run(1, nothing, NULL) != 4)
			return 3;
	}
	return test_threads() == before ? 0 : 4;
}

TEST(without_threads_there_is_still_one_worker)
{
	struct test_child c = test_child(as_a_poor_user, NULL);

	if (c.code == 9 || c.code == 8)
		test_skip("the user cannot be changed here");
	ck_assert_msg(c.code == 0, "exit %d, signal %d, %s", c.code, c.signal,
	    c.err);
}

static int
in_little_memory(void *arg)
{
	struct rlimit room = { (rlim_t)(uintptr_t)arg << 20,
	    (rlim_t)(uintptr_t)arg << 20 };
	int code, i;

	if (setrlimit(RLIMIT_AS, &room) < 0)
		return 9;
	for (i = 0; i < 3; i++) {
		ran = spawned = first_error = 0;
		code = test_run(2, everything, NULL);
		if (code != 0 && !may_fail_so(code))
			return 1;
	}
	return 0;
}

TEST(little_address_space_is_reported)
{
	intptr_t mb;

	if (TEST_SANITIZED)
		test_skip("sanitizers need the address space");
	for (mb = 8; mb <= 4096; mb = mb * 3 / 2) {
		struct test_child c = test_child(in_little_memory,
		    (void *)mb);

		ck_assert_msg(c.code == 0, "%d MB: exit %d, signal %d, %s",
		    (int)mb, c.code, c.signal, c.err);
	}
}

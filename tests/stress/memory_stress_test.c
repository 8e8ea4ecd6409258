/* SPDX-License-Identifier: MIT */
/*
 * memory_stress_test.c - memory that runs out at every place, one after the
 * other, and memory that is used for long.
 *
 * malloc and its kin, mmap and madvise are replaced in this program: from the
 * n-th call on, or only then, they fail.  A scenario is repeated with n = 1, 2,
 * 3 ... until it runs through: it may give the documented errors only, and the
 * same scenario must work right after it.
 */
#include "harness.h"

#include <dlfcn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <weft/chan.h>
#include <weft/inspect.h>
#include <weft/scope.h>
#include <weft/sync.h>

#define load(p)		__atomic_load_n((p), __ATOMIC_SEQ_CST)
#define add(p, n)	__atomic_add_fetch((p), (n), __ATOMIC_SEQ_CST)

/* --- allocation that fails -------------------------------------------------- */

static int64_t countdown;	/* [atomic] calls until it fails; 0: never */
static bool for_good;		/* it goes on failing */
static int failures;		/* [atomic] */

static __attribute__((unused)) bool
fails(void)
{
	int64_t n;

	if (load(&countdown) <= 0)
		return false;
	n = add(&countdown, -1);
	if (n > 0)
		return false;
	if (for_good)
		__atomic_store_n(&countdown, 1, __ATOMIC_SEQ_CST);
	add(&failures, 1);
	errno = ENOMEM;
	return true;
}

#if !TEST_SANITIZED && defined __GLIBC__

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);

void *
malloc(size_t n)
{
	return fails() ? NULL : __libc_malloc(n);
}

void *
calloc(size_t n, size_t size)
{
	return fails() ? NULL : __libc_calloc(n, size);
}

/* libev ends the process when it gets no memory, and cannot be told not to. */
static bool
is_libev(void *caller)
{
	Dl_info in;

	return load(&countdown) > 0 && dladdr(caller, &in) && in.dli_fname &&
	    strstr(in.dli_fname, "libev");
}

void *
realloc(void *p, size_t n)
{
	if (!is_libev(__builtin_return_address(0)) && fails())
		return NULL;
	return __libc_realloc(p, n);
}

void *
aligned_alloc(size_t align, size_t n)
{
	return fails() ? NULL : __libc_memalign(align, n);
}

void *
mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset)
{
	if (fails())
		return MAP_FAILED;
	return (void *)syscall(SYS_mmap, at, n, prot, flags, fd, offset);
}

/* Only that which may fail: an advice to give memory back does not. */
int
madvise(void *at, size_t n, int advice)
{
	if (advice > 100 && fails())
		return -1;
	return (int)syscall(SYS_madvise, at, n, advice);
}

int
mprotect(void *at, size_t n, int prot)
{
	if (prot == PROT_NONE && fails())
		return -1;
	return (int)syscall(SYS_mprotect, at, n, prot);
}

enum { CAN_FAIL = 1 };
#else
enum { CAN_FAIL = 0 };
#endif

/* --- scenarios -------------------------------------------------------------- */

static bool
no_memory(int code)
{
	return code == -ENOMEM || code == -EAGAIN || code == -EMFILE;
}

static int
give(void *arg)
{
	return (int)(intptr_t)arg;
}

static int
sleep_a_little(void *arg)
{
	return co_sleep(CO_US((intptr_t)arg));
}

static int
deep(void *arg)
{
	volatile char frame[60 * 1024];

	frame[0] = frame[sizeof frame - 1] = 1;
	co_yield();
	return arg ? frame[0] - 1 : 0;
}

CO_LOCAL(long, local);

/* What a code may be, where memory may be short. */
#define MAY(expr) do { \
	int may__code = (expr); \
	if (may__code != 0) { \
		if (!no_memory(may__code)) \
			return may__code < 0 ? may__code : -EPROTO; \
		short_of = true; \
	} \
} while (0)

static int
spawns(bool *ret_short)
{
	struct co_spawn_options o = { .name = "a", .stack_size = 80000 };
	bool short_of = false;
	struct co_scope s;
	struct co_task t;
	int i;

	co_scope(s) {
		for (i = 0; i < 200; i++) {
			MAY(co_spawn(give, (void *)1));
			MAY(co_spawn_with(&o, deep, NULL));
			MAY(co_spawn(deep, NULL));
		}
		i = co_fork(&t, give, (void *)5);
		if (i == 0 && co_join(&t) != 5)
			return -EPROTO;
		MAY(i);
		MAY(co_local_set(local, 5));
		MAY(co_spawn(give, NULL));
	}
	*ret_short |= short_of;
	return s.status;
}

static int
timers(bool *ret_short)
{
	bool short_of = false;
	struct co_scope s;
	int i, code = 0;

	co_scope(s, .policy = CO_SUPERVISE) {
		for (i = 0; i < 100; i++)
			MAY(co_spawn(sleep_a_little, (void *)(intptr_t)i));
		co_timeout(CO_US(20))
			code = co_sleep(CO_FOREVER);
		if (code != -ETIMEDOUT)
			MAY(code);
	}
	*ret_short |= short_of || s.failures;
	return s.status;
}

static int
sum_up(void *arg)
{
	chan(int) ch = arg;
	int sum = 0;

	chan_each(int, v, ch)
		sum += v;
	return sum;
}

static int
channels(bool *ret_short)
{
	chan(int) ch = chan_new(int, CHAN_UNBOUNDED);
	bool short_of = ch == NULL;
	struct co_scope s;
	struct co_task t;
	int i, sum = 0, code;

	co_scope(s) {
		for (i = 1; ch && i < 5000; i++) {
			code = i % 3 ? chan_send(ch, i) :
			    co_select(co_on_send(ch, i));
			if (code == 0)
				sum += i;
			MAY(code);
		}
		if (ch && co_fork(&t, sum_up, ch) == 0) {
			chan_close(ch);
			if (co_join(&t) != sum)
				return -EPROTO;
		}
	}
	chan_unref(ch);
	*ret_short |= short_of;
	return s.status;
}

static int
all(void *arg)
{
	bool *short_of = arg;
	int code;

	code = spawns(short_of);
	if (code == 0)
		code = timers(short_of);
	if (code == 0)
		code = channels(short_of);
	return code;
}

/* --- the sweep -------------------------------------------------------------- */

struct sweep {
	int workers, at;
	bool for_good;
};

/* In a process of its own: a failure may be anything.  Exit codes: 0, the
   failure was survived; 1, there was none; above, trouble. */
static int
fail_one(void *arg)
{
	struct sweep *w = arg;
	bool short_of = false;
	int code;

	alarm((unsigned)(20 * test_slow()));
	failures = 0;
	for_good = w->for_good;
	__atomic_store_n(&countdown, w->at, __ATOMIC_SEQ_CST);
	code = test_run(w->workers, all, &short_of);
	__atomic_store_n(&countdown, 0, __ATOMIC_SEQ_CST);
	if (code != 0 && !no_memory(code)) {
		fprintf(stderr, "code %d\n", code);
		return 2;
	}
	short_of = false;
	code = test_run(w->workers, all, &short_of);
	if (code != 0 || short_of) {
		fprintf(stderr, "afterwards %d, %d\n", code, short_of);
		return 3;
	}
	return load(&failures) ? 0 : 1;
}

static void
sweep(int workers, bool good)
{
	struct sweep w = { workers, 1, good };
	int step = test_long() ? 1 : test_slow() > 1 ? 12 : 3, n = 0;
	struct test_child c;

	for (;; w.at += w.at < 40 ? 1 : step) {
		c = test_child(fail_one, &w);
		if (c.code == 1)
			break;
		ck_assert_msg(c.code == 0, "%d workers, call %d%s: code %d, "
		    "signal %d: %s", workers, w.at, good ? " and all after" :
		    "", c.code, c.signal, c.err);
		n++;
	}
	ck_assert_int_gt(n, 5);
}

TEST(any_one_allocation_may_fail, .seconds = 300)
{
	if (!CAN_FAIL)
		test_skip("the sanitizer has an allocator of its own");
	sweep(1, false);
	sweep(2, false);
}

TEST(memory_may_run_out_at_any_moment, .seconds = 300)
{
	if (!CAN_FAIL)
		test_skip("the sanitizer has an allocator of its own");
	sweep(1, true);
	sweep(2, true);
}

/* --- long runs -------------------------------------------------------------- */

static int64_t
resident(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	long pages = 0;

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fscanf(f, "%*d %ld", &pages), 1);
	fclose(f);
	return pages * sysconf(_SC_PAGESIZE);
}

static int
churn_once(void *arg)
{
	bool short_of = false;

	(void)arg;
	return all(&short_of);
}

static int
churn(void *arg)
{
	int n = (int)test_count(120, 20000), i, code;
	int64_t warm = 0, now;
	struct co_scope s;

	for (i = 0; i < n; i++) {
		co_scope(s) {
			code = co_spawn(churn_once, NULL);
			if (code == 0)
				code = churn_once(NULL);
		}
		if (code != 0 || s.status != 0)
			return 1;
		now = resident();
		if (i == n * 2 / 3)
			warm = now;
		/* What each worker keeps at hand comes and goes: 64
		   stacks of some 20 KiB. */
		if (i > n * 2 / 3 && now > warm + (4 << 20) +
		    ((int64_t)(intptr_t)arg << 21) && !TEST_SANITIZED)
			return 2;
	}
	return 0;
}

TEST(memory_stays_what_it_was_however_long_it_runs)
{
	FOR_WORKERS(w)
		test_result(test_run(w, churn, (void *)(intptr_t)w), 0);
}

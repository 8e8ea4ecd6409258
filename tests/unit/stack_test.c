/* SPDX-License-Identifier: MIT */
/*
 * stack_test.c - stacks: promises, guards, memory given back, and refusals.
 *
 * The linker puts the four __wrap_ functions in the place of libc's, so that
 * they can be made to fail: -Wl,--wrap=mmap,--wrap=munmap,--wrap=madvise and
 * --wrap=mprotect.  Linked without these the tests that need them are skipped.
 */
#include "harness.h"

#include "os.h"
#include "stack.h"
#include "stack_arena.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { DEFAULT = 256 * 1024, MADV_GUARD = 102 };

/* Up to there gcc leaves a frame without a probe; what lies further apart takes
   more page tables: 610 bytes in place of 512. */
#if defined __aarch64__
enum { GUARD_LEAST = 64 * 1024, TABLES_MOST = 700 };
#else
enum { GUARD_LEAST = 4096, TABLES_MOST = 600 };
#endif

/* Fails the calls that `fail` selects, from the fail_at-th on, fail_times. */
enum { FAIL_MMAP = 1, FAIL_MADVISE = 2, FAIL_MPROTECT = 4, FAIL_MUNMAP = 8,
	FAIL_GUARD = 16 };
static int fail, fail_errno, fail_at, fail_times, calls;

static bool
fails(int which)
{
	if (!(fail & which) || calls++ < fail_at || fail_times == 0)
		return false;
	fail_times--;
	errno = fail_errno;
	return true;
}

static void
fail_from(int which, int error, int at, int times)
{
	fail = which;
	fail_errno = error;
	fail_at = at;
	fail_times = times;
	calls = 0;
}

void *__real_mmap(void *at, size_t size, int prot, int flags, int fd,
    off_t off);
int __real_munmap(void *at, size_t size);
int __real_madvise(void *at, size_t size, int advice);
int __real_mprotect(void *at, size_t size, int prot);
#pragma weak __real_mmap
#pragma weak __real_munmap
#pragma weak __real_madvise
#pragma weak __real_mprotect
void *__wrap_mmap(void *at, size_t size, int prot, int flags, int fd,
    off_t off);
int __wrap_munmap(void *at, size_t size);
int __wrap_madvise(void *at, size_t size, int advice);
int __wrap_mprotect(void *at, size_t size, int prot);

void *
__wrap_mmap(void *at, size_t size, int prot, int flags, int fd, off_t off)
{
	if (fails(FAIL_MMAP))
		return MAP_FAILED;
	return __real_mmap(at, size, prot, flags, fd, off);
}

int
__wrap_munmap(void *at, size_t size)
{
	return fails(FAIL_MUNMAP) ? -1 : __real_munmap(at, size);
}

int
__wrap_madvise(void *at, size_t size, int advice)
{
	if (fails(FAIL_MADVISE) || (advice == MADV_GUARD && fails(FAIL_GUARD)))
		return -1;
	return __real_madvise(at, size, advice);
}

int
__wrap_mprotect(void *at, size_t size, int prot)
{
	return fails(FAIL_MPROTECT) ? -1 : __real_mprotect(at, size, prot);
}

static void
need_wrap(void)
{
	if (!__real_mmap)
		test_skip("linked without -Wl,--wrap=mmap and its kin");
}

static struct stack_pool *pool;
static struct stack_cache cache;

static void
setup(size_t size, bool allow_unguarded)
{
	pool = stack_pool_new(size, allow_unguarded);
	ck_assert_ptr_nonnull(pool);
	stack_cache_init(&cache, pool);
}

static void
teardown(void)
{
	struct stack_stats st;

	stack_cache_flush(&cache);
	stack_stats_get(pool, &st);
	ck_assert_uint_eq(st.reserved, 0);
	ck_assert_uint_eq(st.in_use, 0);
	stack_pool_free(pool);
}

static struct stack_stats
stats(void)
{
	struct stack_stats st;

	stack_stats_get(pool, &st);
	return st;
}

static struct stack *
get(size_t size)
{
	struct stack *s;

	test_result(stack_reserve_cached(&cache, size), 0);
	s = stack_get(&cache, size);
	s->owner = s;
	return s;
}

/* Can a system call read there? */
static bool
readable(const void *at)
{
	int fds[2];
	bool yes;

	ck_assert_int_eq(pipe(fds), 0);
	yes = write(fds[1], at, 1) == 1;
	close(fds[0]);
	close(fds[1]);
	return yes;
}

static long
status_kb(const char *field)
{
	char line[256];
	long kb = 0;
	FILE *f = fopen("/proc/self/status", "r");

	while (fgets(line, sizeof line, f))
		if (strncmp(line, field, strlen(field)) == 0)
			kb = atol(line + strlen(field));
	fclose(f);
	return kb;
}

/* Emulators and old kernels have no MADV_GUARD. */
static bool
guards_are_cheap(void)
{
	bool cheap;

	setup(DEFAULT, false);
	stack_put(&cache, get(0));
	cheap = stats().maps == 1;
	teardown();
	return cheap;
}

/* --- what a stack is ----------------------------------------------------- */

static void
check_stack(const struct stack *s, size_t size)
{
	const struct stack_shape *h = &s->arena->shape;
	char *bottom = s->lo - (s->guarded ? h->guard : h->beyond);

	ck_assert_uint_eq(s->size, size);
	ck_assert_uint_eq((uintptr_t)s->hi % 64, 0);
	ck_assert_ptr_eq(s->hi, (const char *)s);
	ck_assert_uint_eq((uintptr_t)s->lo % os_page(), 0);
	ck_assert((size_t)(s->hi - s->lo) >= size - size / 16 - 4096 - 2048);
	ck_assert((const char *)(s + 1) <= bottom + h->size);
	ck_assert_uint_ge(h->guard, GUARD_LEAST);
	ck_assert_uint_eq(h->size, size + h->beyond);
	memset(s->hi - 64, 1, 64);
	s->lo[0] = 2;
	ck_assert_uint_eq(shape_index(h, (uintptr_t)s->lo), s->index);
	ck_assert_uint_eq(shape_index(h, (uintptr_t)s->hi), s->index);
	if (s->guarded) {
		ck_assert(!readable(s->lo - 1));
		ck_assert(!readable(bottom));
		ck_assert_uint_eq(shape_index(h, (uintptr_t)bottom), s->index);
	}
}

TEST(every_size_has_its_guard_and_its_room)
{
	static const size_t sizes[] = { 0, 16384, 20480, 65536, 69632, 262144,
		1048576, 8 << 20, 64 << 20, 1 << 30 };
	struct stack *s[2 * ARRAY_LEN(sizes)];
	size_t i;

	setup(DEFAULT, false);
	for (i = 0; i < ARRAY_LEN(s); i++) {
		s[i] = get(sizes[i / 2]);
		ck_assert(s[i]->guarded);
		check_stack(s[i], sizes[i / 2] ? sizes[i / 2] : DEFAULT);
	}
	ck_assert_uint_eq(stats().in_use, ARRAY_LEN(s));
	ck_assert_uint_eq(stats().reserved, ARRAY_LEN(s));
	for (i = 0; i < ARRAY_LEN(s); i++)
		stack_put(&cache, s[i]);
	teardown();
}

TEST(sizes_out_of_bounds_are_refused_and_odd_ones_rounded)
{
	struct stack *s;

	setup(DEFAULT, false);
	test_result(stack_reserve(pool, STACK_MIN - 1), -EINVAL);
	test_result(stack_reserve(pool, 1), -EINVAL);
	test_result(stack_reserve(pool, STACK_MAX + 1), -EINVAL);
	test_result(stack_reserve(pool, SIZE_MAX), -EINVAL);
	test_result(stack_reserve_cached(&cache, 4096), -EINVAL);
	s = get(30000);
	ck_assert_uint_eq(s->size, round_up(30000, os_page()));
	stack_put(&cache, s);
	s = get(DEFAULT - 1);		/* is the default, rounded */
	ck_assert_uint_eq(s->size, DEFAULT);
	stack_put(&cache, s);
	test_result(stack_reserve(pool, 100000), 0);
	stack_unreserve(pool, 100000);
	test_result(stack_reserve(pool, 0), 0);
	stack_unreserve(pool, 0);
	test_result(stack_reserve_cached(&cache, 0), 0);
	stack_unreserve_cached(&cache, 0);
	teardown();
}

TEST(the_stack_put_last_is_got_first)
{
	struct stack *a, *b;

	setup(DEFAULT, false);
	a = get(0);
	b = get(0);
	ck_assert_ptr_ne(a, b);
	stack_put(&cache, a);
	stack_put(&cache, b);
	ck_assert_ptr_eq(get(0), b);
	ck_assert_ptr_eq(get(0), a);
	stack_put(&cache, b);
	stack_put(&cache, a);
	teardown();
}

TEST(neighbours_have_different_colours)
{
	struct stack *s[64];
	int seen[64] = { 0 }, i, colour;

	setup(DEFAULT, false);
	for (i = 0; i < 64; i++) {
		s[i] = get(0);
		colour = (int)((uintptr_t)s[i] % 4096 / 64);
		ck_assert_int_ge(colour, 32);
		seen[colour]++;
	}
	for (i = 32; i < 64; i++)
		ck_assert_int_ge(seen[i], 1);
	for (i = 0; i < 64; i++)
		stack_put(&cache, s[i]);
	teardown();
}

/* --- promises ------------------------------------------------------------ */

/*
 * Several caches in one thread: stacks are put where they were not got, and
 * reserved elsewhere again.  Getting one never fails, and none is got twice.
 */
TEST(promises_hold_whoever_reserves_gets_and_puts)
{
	enum { CACHES = 5, STACKS = 3000 };
	static struct stack *held[STACKS];
	struct stack_cache caches[CACHES], *c;
	uint64_t seed = test_seed(), n = test_count(400000, 10000000), i;
	uint32_t owed = 0, have = 0, at, target = 0;

	setup(32768, false);
	for (i = 0; i < CACHES; i++)
		stack_cache_init(&caches[i], pool);
	for (i = 0; i < n; i++) {
		if (i % 10000 == 0)
			target = (uint32_t)test_below(&seed, STACKS);
		c = &caches[test_below(&seed, CACHES)];
		if (owed + have < target) {
			test_result(stack_reserve_cached(c, 0), 0);
			owed++;
		} else if (have && test_below(&seed, 2)) {
			at = (uint32_t)test_below(&seed, have);
			ck_assert(held[at]->owner == &held[at]);
			stack_put(c, held[at]);
			held[at] = held[--have];
			if (at < have)
				held[at]->owner = &held[at];
		} else if (owed && test_below(&seed, 20) == 0) {
			stack_unreserve_cached(c, 0);
			owed--;
		}
		if (owed && test_below(&seed, 2)) {
			held[have] = stack_get(c, 0);
			ck_assert_ptr_null(held[have]->owner);
			held[have]->owner = &held[have];
			have++;
			owed--;
		}
		ck_assert(i % 1000 || (stats().in_use == have &&
		    stats().reserved == have + owed));
	}
	while (have)
		stack_put(&caches[0], held[--have]);
	while (owed--)
		stack_unreserve_cached(&caches[1], 0);
	for (i = 0; i < CACHES; i++)
		stack_cache_flush(&caches[i]);
	teardown();
}

static void *
churn(void *arg)
{
	struct stack_cache c;
	struct stack *held[100];
	uint64_t seed = *(uint64_t *)arg, i, n = test_count(200000, 5000000);
	int have = 0;

	stack_cache_init(&c, pool);
	for (i = 0; i < n; i++) {
		if (have < 100 && (have == 0 || test_below(&seed, 2))) {
			if (stack_reserve_cached(&c, 0) != 0)
				abort();
			held[have] = stack_get(&c, 0);
			if (held[have]->owner)
				abort();
			held[have]->owner = held;
			have++;
		} else {
			if (held[--have]->owner != held)
				abort();
			stack_put(&c, held[have]);
		}
	}
	while (have)
		stack_put(&c, held[--have]);
	stack_cache_flush(&c);
	return NULL;
}

TEST(threads_share_a_pool)
{
	pthread_t t[4];
	uint64_t seeds[4], seed = test_seed();
	int i;

	setup(65536, false);
	for (i = 0; i < 4; i++) {
		seeds[i] = test_random(&seed);
		pthread_create(&t[i], NULL, churn, &seeds[i]);
	}
	for (i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	teardown();
}

/* --- memory -------------------------------------------------------------- */

static struct stack *crowd[100000];

static void
crowd_get(int n)
{
	int i;

	for (i = 0; i < n; i++)
		test_result(stack_reserve_cached(&cache, 0), 0);
	for (i = 0; i < n; i++) {
		crowd[i] = stack_get(&cache, 0);
		ck_assert(crowd[i]->guarded);
	}
}

static void
crowd_put(int n)
{
	int i;

	for (i = 0; i < n; i++)
		stack_put(&cache, crowd[i]);
}

TEST(a_crowd_costs_little_and_its_memory_comes_back)
{
	int n = (int)test_count(20000, 100000);
	bool cheap = guards_are_cheap();
	long rss, tables;

	setup(DEFAULT, false);
	rss = status_kb("VmRSS:");
	tables = status_kb("VmPTE:");
	crowd_get(n);
	rss = status_kb("VmRSS:") - rss;
	tables = status_kb("VmPTE:") - tables;
	if (test_slow() == 1) {
		ck_assert_int_le(rss * 1024 / n, 4250);
		ck_assert_int_le(tables * 1024 / n, TABLES_MOST);
	}
	if (cheap)
		ck_assert_uint_lt(stats().maps, n / 20);
	crowd_put(n);
	if (test_slow() == 1)
		ck_assert_int_lt(status_kb("VmRSS:") + status_kb("VmPTE:"),
		    20000 + (rss + tables) / 10);
	ck_assert_uint_lt(stats().mapped, n / 2 + 1000);
	teardown();
}

TEST(rounds_of_crowds_do_not_grow)
{
	int n = (int)test_count(5000, 20000), i;
	long first = 0, last = 0;

	setup(DEFAULT, false);
	for (i = 0; i < 10; i++) {
		crowd_get(n);
		last = status_kb("VmRSS:") + status_kb("VmPTE:");
		if (i == 1)
			first = last;
		crowd_put(n);
	}
	if (test_slow() == 1)
		ck_assert_int_le(last, first + 1000);
	teardown();
}

TEST(memory_comes_back_in_any_order)
{
	int n = (int)test_count(10000, 50000), i, j;
	uint64_t seed = test_seed();
	struct stack *s;

	setup(DEFAULT, false);
	crowd_get(n);
	for (i = n - 1; i > 0; i--) {
		j = (int)test_below(&seed, (uint64_t)i + 1);
		s = crowd[i];
		crowd[i] = crowd[j];
		crowd[j] = s;
	}
	crowd_put(n);
	if (test_slow() == 1)
		ck_assert_int_lt(status_kb("VmRSS:"), 20000 + n / 2);
	crowd_get(n);
	crowd_put(n);
	teardown();
}

TEST(a_parked_deep_stack_is_trimmed)
{
	struct stack *s;
	size_t back;
	char *sp;

	setup(DEFAULT, false);
	s = get(0);
	ck_assert_uint_le(stack_touched(s), os_page());
	sp = s->hi - 2000;
	memset(s->hi - 100000, 7, 100000);
	test_between(stack_touched(s), 100000, 100000 + os_page());
	back = stack_trim(s, sp);
	test_between(back, 90000, 100000);
	ck_assert_uint_le(stack_touched(s), 2 * os_page());
	ck_assert_int_eq(sp[0], 7);
	ck_assert_int_eq(sp[-128], 7);
	ck_assert_uint_eq(stack_trim(s, sp), 0);
	ck_assert_int_eq(s->hi[-100000], 0);
	ck_assert_uint_eq(stack_trim(s, s->lo), 0);
	ck_assert_uint_eq(stack_trim(s, s->hi + 1), 0);
	ck_assert_uint_eq(stack_trim(s, &s), 0);
	if (s->guarded)
		ck_assert(!readable(s->lo - 1));
	stack_put(&cache, s);
	teardown();
}

TEST(a_cache_can_be_told_to_let_go_of_deep_pages)
{
	struct stack *s;

	setup(DEFAULT, false);
	s = get(0);
	memset(s->lo, 7, (size_t)(s->hi - s->lo));
	stack_put(&cache, s);
	ck_assert_uint_gt(stack_touched(s), 200000);
	stack_cache_trim(&cache);
	ck_assert_uint_le(stack_touched(s), 40000);
	teardown();
}

/* --- refusals ------------------------------------------------------------ */

TEST(a_small_address_space_is_used_up_and_found_again)
{
	struct rlimit lim;
	int i, n, round;

	if (test_slow() > 1)
		test_skip("sanitizers and valgrind need address space");
	setup(DEFAULT, false);
	getrlimit(RLIMIT_AS, &lim);
	lim.rlim_cur = (rlim_t)status_kb("VmSize:") * 1024 + (200 << 20);
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &lim), 0);
	for (round = 0; round < 3; round++) {
		for (n = 0; stack_reserve_cached(&cache, 0) == 0; n++)
			crowd[n] = stack_get(&cache, 0);
		test_between(n, 400, 800);
		test_result(stack_reserve_cached(&cache, 0), -ENOMEM);
		test_result(stack_reserve(pool, 1 << 20), -ENOMEM);
		/* What one lets go another can have. */
		stack_put(&cache, crowd[--n]);
		test_result(stack_reserve(pool, 0), 0);
		test_result(stack_reserve(pool, 0), -ENOMEM);
		stack_unreserve(pool, 0);
		for (i = 0; i < n; i++)
			stack_put(&cache, crowd[i]);
	}
	lim.rlim_cur = lim.rlim_max;
	setrlimit(RLIMIT_AS, &lim);
	teardown();
}

/* As of a coroutine that was spawned on one worker and ended on another, which
   has never asked for a stack itself. */
TEST(what_one_cache_got_and_another_was_given_is_idle)
{
	struct stack_cache other;
	struct stack *s;

	setup(DEFAULT, false);
	stack_cache_init(&other, pool);
	s = get(0);
	stack_cache_flush(&cache);
	ck_assert_uint_eq(stats().in_use, 1);
	stack_put(&other, s);
	ck_assert_uint_eq(stats().in_use, 0);
	ck_assert_uint_eq(stats().reserved, 0);
	stack_cache_flush(&other);
	teardown();
}

TEST(who_has_never_asked_for_a_stack_shares_those_he_was_given)
{
	struct stack_cache other;
	struct rlimit lim;
	int i, n;

	if (test_slow() > 1)
		test_skip("sanitizers and valgrind need address space");
	setup(DEFAULT, false);
	stack_cache_init(&other, pool);
	getrlimit(RLIMIT_AS, &lim);
	lim.rlim_cur = (rlim_t)status_kb("VmSize:") * 1024 + (64 << 20);
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &lim), 0);
	for (n = 0; stack_reserve_cached(&cache, 0) == 0; n++)
		crowd[n] = stack_get(&cache, 0);
	ck_assert_int_gt(n, 0);
	stack_put(&other, crowd[--n]);
	stack_cache_share(&other);
	test_result(stack_reserve_cached(&cache, 0), 0);
	stack_unreserve_cached(&cache, 0);
	for (i = 0; i < n; i++)
		stack_put(&cache, crowd[i]);
	lim.rlim_cur = lim.rlim_max;
	setrlimit(RLIMIT_AS, &lim);
	stack_cache_flush(&other);
	teardown();
}

/* While as many are in use as before, and the system is not asked again. */
TEST(a_refusal_is_forgotten_after_a_while)
{
	struct rlimit lim;
	int i, n;

	if (test_slow() > 1)
		test_skip("sanitizers and valgrind need address space");
	setup(DEFAULT, false);
	for (n = 0; n < 12; n++)
		crowd[n] = get(0);
	getrlimit(RLIMIT_AS, &lim);
	lim.rlim_cur = (rlim_t)status_kb("VmSize:") * 1024;
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &lim), 0);
	while (stack_reserve_cached(&cache, 0) == 0)
		crowd[n++] = stack_get(&cache, 0);
	ck_assert(!stack_has_room(&cache));
	lim.rlim_cur = lim.rlim_max;
	setrlimit(RLIMIT_AS, &lim);
	while (n > 12)
		stack_put(&cache, crowd[--n]);
	for (i = 0; i < 10000 && !stack_has_room(&cache); i++)
		stack_put(&cache, get(0));
	ck_assert(stack_has_room(&cache));
	while (n > 0)
		stack_put(&cache, crowd[--n]);
	teardown();
}

/* Stacks of one size until there are no more; then all are put. */
static int
use_up(size_t size)
{
	int n, i;

	for (n = 0; stack_reserve_cached(&cache, size) == 0; n++) {
		ck_assert_int_lt(n, (int)ARRAY_LEN(crowd));
		crowd[n] = stack_get(&cache, size);
	}
	for (i = 0; i < n; i++)
		stack_put(&cache, crowd[i]);
	return n;
}

TEST(idle_stacks_of_one_size_make_room_for_another)
{
	enum { LARGE = 64 << 20, ROOM = 1 << 30 };
	struct rlimit lim;
	int round;

	if (test_slow() > 1)
		test_skip("sanitizers and valgrind need address space");
	setup(DEFAULT, false);
	getrlimit(RLIMIT_AS, &lim);
	lim.rlim_cur = (rlim_t)status_kb("VmSize:") * 1024 + ROOM;
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &lim), 0);
	for (round = 0; round < 3; round++) {
		test_between(use_up(LARGE), ROOM / LARGE * 3 / 4, ROOM / LARGE);
		test_between(use_up(0), ROOM / DEFAULT * 3 / 4, ROOM / DEFAULT);
		test_between(use_up(65536), ROOM / 65536 * 3 / 4, ROOM / 65536);
	}
	lim.rlim_cur = lim.rlim_max;
	setrlimit(RLIMIT_AS, &lim);
	teardown();
}

TEST(large_stacks_are_not_kept_by_the_hundred)
{
	struct stack *s[40];
	int i, round;

	setup(DEFAULT, false);
	for (round = 0; round < 3; round++) {
		for (i = 0; i < 40; i++)
			s[i] = get(64 << 20);
		for (i = 0; i < 40; i++)
			stack_put(&cache, s[i]);
		/* The one that is warm may be in the largest arena. */
		ck_assert_uint_le(stats().mapped, 16);
	}
	teardown();
}

/*
 * Each call fails once, at every index, with what it may fail with: a promise
 * is refused or kept, and later all goes well.
 */
static void
sweep(int which, int error, bool allow)
{
	struct stack *s[40];
	int at, n, i;

	for (at = 0; at < 60; at++) {
		setup(DEFAULT, allow);
		fail_from(which, error, at, 1);
		for (n = 0; n < 40; n++) {
			i = stack_reserve_cached(&cache, n % 4 ? 0 : 65536);
			if (i != 0) {
				test_result(i, -ENOMEM);
				test_result(stack_reserve_cached(&cache,
				    n % 4 ? 0 : 65536), 0);
			}
			s[n] = stack_get(&cache, n % 4 ? 0 : 65536);
			s[n]->owner = s;
			s[n]->hi[-1] = 1;
			s[n]->lo[0] = 1;
			ck_assert(!s[n]->guarded || !readable(s[n]->lo - 1));
		}
		for (i = 0; i < n; i++)
			stack_put(&cache, s[i]);
		fail = 0;
		teardown();
	}
}

TEST(a_call_that_fails_once_is_survived)
{
	need_wrap();
	sweep(FAIL_MMAP, ENOMEM, false);
	sweep(FAIL_MADVISE, ENOMEM, false);
	sweep(FAIL_MADVISE, EINVAL, false);
	sweep(FAIL_MUNMAP, ENOMEM, false);
	setenv("WEFT_STACK_GUARD", "mprotect", 1);
	sweep(FAIL_MPROTECT, ENOMEM, false);
	sweep(FAIL_MPROTECT, ENOMEM, true);
	unsetenv("WEFT_STACK_GUARD");
}

TEST(no_memory_at_all_is_an_error_and_not_a_crash)
{
	need_wrap();
	setup(DEFAULT, false);
	fail_from(FAIL_MMAP, ENOMEM, 0, INT_MAX);
	test_result(stack_reserve_cached(&cache, 0), -ENOMEM);
	test_result(stack_reserve(pool, 65536), -ENOMEM);
	ck_assert_uint_eq(stats().mapped, 0);
	fail = 0;
	stack_put(&cache, get(0));
	stack_put(&cache, get(65536));
	teardown();
}

TEST(an_old_kernel_gets_guards_from_mprotect)
{
	struct stack *s;
	uint64_t maps;

	need_wrap();
	fail_from(FAIL_GUARD, EINVAL, 0, INT_MAX);
	setup(DEFAULT, false);
	s = get(0);
	check_stack(s, DEFAULT);
	ck_assert(s->guarded);
	maps = stats().maps;
	ck_assert_uint_ge(maps, 3);
	ck_assert_uint_eq(stats().unguarded, 0);
	stack_put(&cache, s);
	teardown();
}

/* mlockall() after the pool has begun: MADV_GUARD says EINVAL from then on. */
TEST(a_guard_that_is_refused_late_comes_from_mprotect)
{
	struct stack *a, *b;

	need_wrap();
	if (!guards_are_cheap())
		test_skip("here none is installed late");
	setup(DEFAULT, false);
	a = get(0);
	fail_from(FAIL_GUARD, EINVAL, 0, INT_MAX);
	b = get(0);
	ck_assert(a->guarded && b->guarded);
	check_stack(b, DEFAULT);
	fail_from(FAIL_GUARD | FAIL_MPROTECT, ENOMEM, 0, INT_MAX);
	stack_put(&cache, b);
	stack_put(&cache, a);
	fail = 0;
	teardown();
}

TEST(a_stack_promised_is_got_even_if_no_guard_can_be_had)
{
	struct stack *s;

	need_wrap();
	if (!guards_are_cheap())
		test_skip("here a stack without a guard is never promised");
	setup(DEFAULT, false);
	test_result(stack_reserve_cached(&cache, 0), 0);
	s = stack_get(&cache, 0);	/* had its guard as the first one */
	fail_from(FAIL_GUARD | FAIL_MPROTECT, ENOMEM, 0, INT_MAX);
	stack_put(&cache, s);
	s = get(0);
	crowd[0] = get(0);
	ck_assert(s->guarded != crowd[0]->guarded);
	ck_assert_uint_eq(stats().unguarded, 1);
	fail = 0;
	stack_put(&cache, s);
	stack_put(&cache, crowd[0]);
	teardown();
}

static int
map_limit(void)
{
	int n = 65530;
	FILE *f = fopen("/proc/sys/vm/max_map_count", "r");

	if (f && fscanf(f, "%d", &n) != 1)
		n = 65530;
	if (f)
		fclose(f);
	return n;
}

TEST(guards_by_mprotect_end_at_the_limit_of_maps, .seconds = 120)
{
	int i, n, limit = map_limit(), room;

	if (test_slow() > 1 || limit > 200000)
		test_skip("too many maps to use up");
	setenv("WEFT_STACK_GUARD", "mprotect", 1);
	setup(DEFAULT, false);
	for (n = 0; stack_reserve_cached(&cache, 0) == 0; n++)
		ck_assert_int_lt(n, 100000);
	test_between(n, limit / 2 - 200, limit / 2);
	/* Others still find some. */
	for (room = 0; room < 8; room++)
		ck_assert_ptr_ne(mmap(NULL, 4096, room & 1 ? PROT_READ :
		    PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), MAP_FAILED);
	for (i = 0; i < n; i++) {
		crowd[i] = stack_get(&cache, 0);
		ck_assert(crowd[i]->guarded);
	}
	ck_assert_uint_eq(stats().unguarded, 0);
	crowd_put(n);
	test_result(stack_reserve_cached(&cache, 0), 0);
	stack_put(&cache, stack_get(&cache, 0));
	teardown();
}

TEST(idle_guards_of_one_size_make_room_for_another, .seconds = 120)
{
	int i, limit = map_limit();

	if (test_slow() > 1 || limit > 100000)
		test_skip("too many maps to use up");
	setenv("WEFT_STACK_GUARD", "mprotect", 1);
	setup(DEFAULT, false);
	for (i = 0; i < 3; i++)
		test_between(use_up(i % 2 ? 0 : 20480), limit / 2 - 1000,
		    limit / 2);
	teardown();
}

TEST(beyond_the_limit_of_maps_stacks_go_unguarded_if_allowed, .seconds = 120)
{
	int i, n = map_limit() / 2 + 5000;

	if (test_slow() > 1 || n > 100000)
		test_skip("too many maps to use up");
	setenv("WEFT_STACK_GUARD", "mprotect", 1);
	setup(DEFAULT, true);
	for (i = 0; i < n; i++)
		crowd[i] = get(0);
	test_between(stats().unguarded, 4800, 5400);
	ck_assert(crowd[0]->guarded && !crowd[n - 1]->guarded);
	check_stack(crowd[n - 1], DEFAULT);
	crowd_put(n);
	teardown();
}

/* --- coloured maps ----------------------------------------------------------- */

static void
map_of(size_t size, unsigned colour)
{
	char *at = os_map_coloured(size, colour);
	size_t i;

	ck_assert_ptr_nonnull(at);
	ck_assert_uint_eq((uintptr_t)at % os_page(), 0);
	ck_assert_uint_eq((uintptr_t)at / os_page() % COLOURS, colour);
	for (i = 0; i < size; i += os_page())
		ck_assert_int_eq(at[i], 0);
	memset(at, 1, size);
	os_unmap(at, size);
}

TEST(a_coloured_map_begins_at_a_page_of_its_colour)
{
	unsigned colour, i;

	for (i = 0; i < 3; i++)
		for (colour = 0; colour < COLOURS; colour++) {
			map_of(1, colour);
			map_of(os_page(), colour);
			map_of(16 * os_page() + 1, colour);
		}
	ck_assert_ptr_null(os_map_coloured(PTRDIFF_MAX - 1, 0));
}

TEST(where_there_is_no_room_for_a_colour_there_is_a_map)
{
	char *at;

	need_wrap();
	fail_from(FAIL_MMAP, ENOMEM, 0, 1);
	at = os_map_coloured(3 * os_page(), 2);
	ck_assert_ptr_nonnull(at);
	memset(at, 1, 3 * os_page());
	os_unmap(at, 3 * os_page());
	fail_from(FAIL_MMAP, ENOMEM, 0, 2);
	ck_assert_ptr_null(os_map_coloured(3 * os_page(), 2));
	fail_from(FAIL_MUNMAP, ENOMEM, 0, 2);
	map_of(3 * os_page(), 2);	/* its neighbours stay */
	fail_from(0, 0, 0, 0);
}

/* SPDX-License-Identifier: MIT */
/*
 * memory_test.c - what coroutines cost in memory, what happens when there is
 * none, and that all of it comes back.  Allocations that fail one by one:
 * tests/stress/memory_stress_test.c.
 */
#include "harness.h"

#include <execinfo.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <weft/chan.h>
#include <weft/inspect.h>
#include <weft/scope.h>
#include <weft/sync.h>

#define load(p)		__atomic_load_n((p), __ATOMIC_SEQ_CST)
#define add(p, n)	__atomic_add_fetch((p), (n), __ATOMIC_SEQ_CST)

/* Bytes from /proc/self/status. */
static int64_t
status_of(const char *field)
{
	FILE *f = fopen("/proc/self/status", "re");
	long long kb = -1;
	char line[200];

	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof line, f))
		if (strncmp(line, field, strlen(field)) == 0)
			sscanf(line + strlen(field), ": %lld", &kb);
	fclose(f);
	return kb * 1024;
}

static int
maps(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	int c, n = 0;

	ck_assert_ptr_nonnull(f);
	while ((c = getc(f)) != EOF)
		n += c == '\n';
	fclose(f);
	return n;
}

/* --- very many -------------------------------------------------------------- */

struct many {
	int n;
	int there, ended;	/* [atomic] */
	struct co_event all, go;
	int64_t rss_before, rss_parked, tables;
	int maps;
	struct co_stats stats;
};

static int
park_one(void *arg)
{
	struct many *m = arg;
	int code;

	if (add(&m->there, 1) == m->n)
		co_event_set(&m->all);
	code = co_event_wait(&m->go);
	add(&m->ended, 1);
	return code;
}

static int
park_many(void *arg)
{
	struct many *m = arg;
	struct co_scope s;
	int i;

	m->rss_before = status_of("VmRSS");
	co_scope(s) {
		for (i = 0; i < m->n; i++)
			test_result(co_spawn(park_one, m), 0);
		test_result(co_event_wait(&m->all), 0);
		m->rss_parked = status_of("VmRSS") - m->rss_before;
		m->tables = status_of("VmPTE");
		m->maps = maps();
		test_result(co_stats_get(&m->stats), 0);
		co_event_set(&m->go);
	}
	test_result(s.status, 0);
	ck_assert_int_eq(m->ended, m->n);
	return 0;
}

/* Guards of 64 KiB leave fewer stacks to a page table: 610 bytes each. */
#if defined __aarch64__
enum { TABLES_MOST = 700 };
#else
enum { TABLES_MOST = 600 };
#endif

/* goals: 4,250 bytes each and 520 of page tables. */
TEST(each_of_very_many_costs_a_page_and_little_more, .seconds = 120)
{
	struct many m = { .n = (int)test_count(50000, 1000000) };
	int64_t before, after;

	if (test_emulated())
		test_skip("memory is the emulator's too");
	if (TEST_SANITIZED)
		test_skip("a sanitizer's shadow counts too");
	test_result(test_run(2, park_many, &(struct many){ .n = 100 }), 0);
	before = status_of("VmRSS");
	test_result(test_run(2, park_many, &m), 0);
	after = status_of("VmRSS");
	fprintf(stderr, "%d parked: %.0f + %.0f bytes each, %d maps\n", m.n,
	    (double)m.rss_parked / m.n, (double)m.tables / m.n, m.maps);
	ck_assert_int_lt(m.rss_parked / m.n, 4400);
	ck_assert_int_lt(m.tables / m.n, TABLES_MOST);
	ck_assert_int_lt(m.maps, 1000);
	ck_assert_uint_eq(m.stats.stacks_unguarded, 0);
	ck_assert_int_lt(after - before, m.rss_parked / 10);
}

static int
rounds_of_many(void *arg)
{
	struct many m;
	int64_t first = 0, now = 0, more;
	int i;

	for (i = 0; i < 6; i++) {
		m = (struct many){ .n = 5000 };
		test_result(park_many(&m), 0);
		now = status_of("VmRSS");
		if (i == 1)
			first = now;
	}
	/* The same memory again, but for what each worker keeps at hand. */
	more = (int64_t)(1 + (intptr_t)arg) << 20;
	return TEST_SANITIZED || now - first < first / 10 + more ? 0 : 1;
}

TEST(memory_is_used_again)
{
	if (test_emulated())
		test_skip("memory is the emulator's too");
	FOR_WORKERS(w)
		test_result(test_run(w, rounds_of_many,
		    (void *)(intptr_t)w), 0);
}

TEST(runtimes_leave_nothing_behind)
{
	int64_t rss = 0, size = 0;
	int i, n = (int)test_count(60, 1000), map = 0;

	if (test_emulated())
		test_skip("memory is the emulator's too");
	for (i = 0; i < n; i++) {
		struct many m = { .n = 500 };

		if (i == 10) {
			rss = status_of("VmRSS");
			size = status_of("VmSize");
			map = maps();
		}
		test_result(test_run(i % 4 + 1, park_many, &m), 0);
	}
	if (TEST_SANITIZED)
		return;
	ck_assert_int_le(maps(), map + 4);
	ck_assert_int_le(status_of("VmRSS"), rss + (4 << 20));
	ck_assert_int_le(status_of("VmSize"), size + (64 << 20));
}

/* --- deep stacks that wait long --------------------------------------------- */

enum { DEEP = 64 * 1024, EACH = 8 * 1024 };

/* Touches so much of its stack, with a pattern that must stay or be gone. */
static void __attribute__((noinline))
dive(int n)
{
	volatile char frame[DEEP];
	size_t i;

	for (i = 0; i < sizeof frame; i += 512)
		frame[i] = (char)n;
	for (i = 0; i < sizeof frame; i += 512)
		ck_assert_int_eq(frame[i], (char)n);
}

/* What its frames hold while it waits must be there afterwards. */
static int
dive_and_park(void *arg)
{
	struct many *m = arg;
	int me, i, local[64], code;

	dive(1);
	me = add(&m->there, 1);
	for (i = 0; i < 64; i++)
		local[i] = me + i;
	if (me == m->n)
		co_event_set(&m->all);
	code = co_event_wait(&m->go);
	for (i = 0; i < 64; i++)
		ck_assert_int_eq(local[i], me + i);
	dive(me);
	add(&m->ended, 1);
	return code;
}

static int
long_waits(void *arg)
{
	/* Under an emulator, too, whose own memory grows by some megabytes. */
	struct many m = { .n = test_emulated() ? 2000 :
		(int)test_count(500, test_slow() > 1 ? 500 : 5000),
		.all = CO_EVENT_INIT, .go = CO_EVENT_INIT };
	co_time until = co_now() + CO_SEC(10);
	int64_t before = status_of("VmRSS"), each = 0;
	struct co_scope s;
	int i;

	(void)arg;
	co_scope(s) {
		for (i = 0; i < m.n; i++)
			test_result(co_spawn(dive_and_park, &m), 0);
		test_result(co_event_wait(&m.all), 0);
		do {
			test_result(co_sleep(CO_MS(100)), 0);
			each = (status_of("VmRSS") - before) / m.n;
		} while (each > EACH && co_now() < until);
		co_event_set(&m.go);
	}
	test_result(s.status, 0);
	ck_assert_int_eq(m.ended, m.n);
	return TEST_SANITIZED || each <= EACH ? 0 : 1;
}

/* goals: after an excursion of 64 KiB at most 8 KiB within seconds. */
TEST(deep_stacks_that_wait_long_give_their_memory_back)
{
	test_result(test_run(1, long_waits, NULL), 0);
	test_result(test_run(2, long_waits, NULL), 0);
}

/* --- where there is none ---------------------------------------------------- */

struct limited {
	int spawned, refused, later;
	int code;
	int there, ended;	/* [atomic] */
	struct co_event go;
};

static int
wait_go(void *arg)
{
	struct limited *l = arg;
	int code;

	add(&l->there, 1);
	code = co_event_wait(&l->go);
	add(&l->ended, 1);
	return code;
}

static int
spawn_till_refused(void *arg)
{
	struct limited *l = arg;
	struct co_scope s;
	int i, code = 0;

	co_scope(s) {
		for (i = 0; i < 300000 && code == 0; i++) {
			code = co_spawn(wait_go, l);
			l->spawned += code == 0;
			if (i % 128 == 0)
				co_yield();
		}
		l->code = code;
		while (load(&l->there) < l->spawned)
			co_yield();
		l->spawned += co_spawn(wait_go, l) == 0;	/* or not */
		co_event_set(&l->go);
	}
	if (s.status != 0 || load(&l->ended) != l->spawned)
		return 90;
	co_scope(s)
		for (i = 0; i < 100; i++)
			l->later += co_spawn(wait_go, l) == 0;
	return l->later == 100 ? 0 : 91;
}

/* For a child: its status. */
static int
run_within(rlim_t bytes, int workers, co_fn *fn, void *arg)
{
	struct rlimit limit = { bytes, bytes };
	int code;

	if (setrlimit(RLIMIT_AS, &limit) < 0)
		return 80;
	code = test_run(workers, fn, arg);
	return code < 0 ? 81 : code;
}

static int
limited_child(void *arg)
{
	size_t bytes = *(size_t *)arg;
	struct limited l = { .go = CO_EVENT_INIT };
	int code = run_within(bytes, 2, spawn_till_refused, &l);

	if (code != 0)
		return code;
	return l.code == -ENOMEM || l.code == -EAGAIN ? 0 : 82;
}

/* Threads' stacks and libc's arenas take their part of it. */
TEST(without_address_space_spawn_says_so_and_the_runtime_goes_on)
{
	static size_t sizes[] = { (size_t)512 << 20, (size_t)1 << 30 };
	struct test_child c;
	size_t i;

	if (TEST_SANITIZED)
		test_skip("a sanitizer needs terabytes");
	for (i = 0; i < 2; i++) {
		c = test_child(limited_child, &sizes[i]);
		ck_assert_msg(c.code == 0, "%zu: code %d, signal %d: %s",
		    sizes[i], c.code, c.signal, c.err);
	}
}

static int
sleep_long(void *arg)
{
	(void)arg;
	return co_sleep(CO_FOREVER);
}

static int
do_nothing(void *arg)
{
	(void)arg;
	return 0;
}

/* What workers that sleep keep of the little that there is comes back, also to
   one that does not stop asking. */
static int
spawn_singly_after_many(void *arg)
{
	co_time end;
	int i = 0, code = 0;
	struct co_scope s;

	(void)arg;
	co_scope(s, .policy = CO_SUPERVISE) {
		while (co_spawn(sleep_long, NULL) == 0) {
			if (++i % 8 == 0) {
				co_yield();
				co_sleep(CO_US(100));
			}
		}
		co_cancel(&s);
	}
	for (i = 0; i < 200 && code == 0; i++) {
		end = co_now() + CO_SEC(5) * test_slow();
		do {
			co_scope(s)
				code = co_spawn(do_nothing, NULL);
		} while (code == -ENOMEM && co_now() < end);
	}
	return code == 0 ? 0 : 92;
}

static int
shared_child(void *arg)
{
	return run_within(*(rlim_t *)arg, 8, spawn_singly_after_many, NULL);
}

/* As little as eight workers can begin with: a few stacks. */
TEST(all_workers_share_what_address_space_there_is)
{
	struct test_child c;
	rlim_t bytes = 64 << 20;
	int i;

	if (TEST_SANITIZED)
		test_skip("a sanitizer needs terabytes");
	do {
		bytes += 2 << 20;
		c = test_child(shared_child, &bytes);
	} while (c.code == 81);
	for (i = 0; i < 20; i++) {
		ck_assert_msg(c.code == 0 || c.code == 81,
		    "%zu: code %d, signal %d: %s", (size_t)bytes, c.code,
		    c.signal, c.err);
		c = test_child(shared_child, &bytes);
	}
}

static int
spawn_sized(size_t size, int most)
{
	struct co_spawn_options o = { .stack_size = size };
	struct limited l = { .go = CO_EVENT_INIT };
	struct co_scope s;
	int code = 0, again = 0;

	co_scope(s) {
		/* What a worker that sleeps keeps comes a moment later. */
		while (l.spawned < most && again < 20) {
			code = co_spawn_with(&o, wait_go, &l);
			l.spawned += code == 0;
			again = code == 0 ? 0 : again + 1;
			if (code != 0)
				co_sleep(CO_MS(2));
		}
		while (load(&l.there) < l.spawned)
			co_yield();
		co_event_set(&l.go);
	}
	return l.spawned;
}

static int
one_size_after_another(void *arg)
{
	int n;

	(void)arg;
	n = spawn_sized(64 << 20, 100);
	fprintf(stderr, "%d of 64 MiB\n", n);
	if (n < 10 || n == 100)
		return 84;
	n = spawn_sized(0, 3000);
	fprintf(stderr, "then %d of the default size\n", n);
	if (n < 3000)
		return 85;
	n = spawn_sized(64 << 20, 100);
	fprintf(stderr, "then %d of 64 MiB\n", n);
	return n < 8 ? 86 : 0;
}

static int
sizes_child(void *arg)
{
	return run_within((rlim_t)1 << 30, (int)(intptr_t)arg,
	    one_size_after_another, NULL);
}

TEST(stacks_that_have_ended_leave_their_room_to_those_of_another_size)
{
	struct test_child c;
	int w;

	if (TEST_SANITIZED)
		test_skip("a sanitizer needs terabytes");
	if (test_emulated())
		test_skip("memory is the emulator's too");
	for (w = 1; w <= 2; w++) {
		c = test_child(sizes_child, (void *)(intptr_t)w);
		ck_assert_msg(c.code == 0, "code %d, signal %d: %s", c.code,
		    c.signal, c.err);
	}
}

static int
mprotect_child(void *arg)
{
	struct co_options o = { .workers = 2, .flags = *(unsigned *)arg };
	struct limited l = { .go = CO_EVENT_INIT };
	int code;

	setenv("WEFT_STACK_GUARD", "mprotect", 1);
	code = co_run(&o, spawn_till_refused, &l);
	fprintf(stderr, "%d spawned, then %d\n", l.spawned, l.code);
	if (code != 0)
		return code < 0 ? 81 : code;
	if (o.flags & CO_STACK_UNGUARDED)
		return l.spawned > 40000 ? 0 : 83;
	return l.code == -ENOMEM && l.spawned > 10000 ? 0 : 82;
}

/* vm.max_map_count is reached at some 32,000 stacks with mprotect's guards. */
TEST(out_of_memory_maps_spawn_says_so_or_goes_on_unguarded)
{
	unsigned flags[] = { 0, CO_STACK_UNGUARDED };
	struct test_child c;
	int i;

	if (TEST_SANITIZED)
		test_skip("a sanitizer has maps of its own");
	for (i = 0; i < (test_long() ? 2 : 1); i++) {
		c = test_child(mprotect_child, &flags[i]);
		ck_assert_msg(c.code == 0, "code %d, signal %d: %s", c.code,
		    c.signal, c.err);
	}
}

static int
odd_sizes(void *arg)
{
	static const size_t bad[] = { 1, 4096, 16383, SIZE_MAX, SIZE_MAX / 2 };
	static const size_t good[] = { 16384, 16385, 40000, 65536, 100001,
		1 << 20, 16 << 20 };
	struct co_spawn_options o = { 0 };
	struct limited l = { .go = CO_EVENT_INIT };
	struct co_scope s;
	size_t i, n = 0;

	(void)arg;
	co_event_set(&l.go);
	co_scope(s) {
		for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
			o.stack_size = bad[i];
			test_result(co_spawn_with(&o, wait_go, &l), -EINVAL);
		}
		for (i = 0; i < 200; i++, n++) {
			o.stack_size = good[i % 7];
			test_result(co_spawn_with(&o, wait_go, &l), 0);
			if (i % 20 == 0)
				co_yield();
		}
	}
	ck_assert_int_eq(l.ended, (int)n);
	return 0;
}

TEST(stacks_of_many_sizes_and_none_that_is_absurd)
{
	FOR_WORKERS(w)
		test_result(test_run(w, odd_sizes, NULL), 0);
}

/* --- the order of ends ------------------------------------------------------ */

static chan(int) kept;

static int
recv_forever(void *arg)
{
	int v, code = chan_recv(kept, &v);

	add((int *)arg, 1);
	return code == -ECANCELED || code == -EPIPE ? 0 : -EPROTO;
}

static int
leave_waiters(void *arg)
{
	int i;

	for (i = 0; i < 100; i++)
		test_result(co_spawn(recv_forever, arg), 0);
	for (i = 0; i < 10; i++)
		co_yield();
	return 5;		/* they still wait: cancelled, waited for */
}

TEST(a_channel_outlives_the_runtime_and_its_waiters)
{
	int ended, v;

	FOR_WORKERS(w) {
		ended = 0;
		kept = chan_new(int, 1);
		test_result(test_run(w, leave_waiters, &ended), 5);
		ck_assert_int_eq(ended, 100);
		test_result(chan_send(kept, 7), 0);	/* by this thread */
		test_result(chan_recv(kept, &v), 0);
		ck_assert_int_eq(v, 7);
		test_result(test_run(w, leave_waiters, &ended), 5);
		test_result(chan_close(kept), 0);
		chan_unref(kept);
	}
}

/* --- backtraces ------------------------------------------------------------- */

enum { FRAMES = 200 };

static int __attribute__((noinline))
count_frames(void *arg)
{
	void *at[FRAMES];
	int n = backtrace(at, FRAMES), i;

	(void)arg;
	for (i = 0; i < n; i++)
		ck_assert_ptr_nonnull(at[i]);
	co_yield();
	ck_assert_int_eq(backtrace(at, FRAMES), n);
	return n;
}

static int __attribute__((noinline))
count_deeper(void *arg)
{
	int n = (int)(intptr_t)arg;
	volatile int more;

	if (n == 0)
		return count_frames(NULL);
	more = count_deeper((void *)(intptr_t)(n - 1));
	return more;
}

static int
backtraces(void *arg)
{
	struct co_task t;
	int n, m;

	(void)arg;
	test_result(co_fork(&t, count_frames, NULL), 0);
	n = co_join(&t);
	test_between(n, 1, 15);		/* it ends at the entry */
	test_result(co_fork(&t, count_deeper, (void *)20), 0);
	m = co_join(&t);
	test_between(m, n + 10, n + 25);
	return 0;
}

TEST(a_backtrace_ends_where_the_coroutine_began)
{
	if (TEST_SANITIZED)
		test_skip("its interceptor unwinds in its own way");
	backtrace((void *[2]){ NULL }, 1);	/* loads libgcc */
	FOR_WORKERS(w)
		test_result(test_run(w, backtraces, NULL), 0);
}

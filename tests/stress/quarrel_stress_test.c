/* SPDX-License-Identifier: MIT */
/*
 * quarrel_stress_test.c - workers that wait for each other's locks all the
 * time: one takes what the other has (search_gather).
 */
#include "harness.h"

#include <pthread.h>

#include <weft/inspect.h>

#include "lock.h"
#include "os.h"
#include "worker.h"

enum { PAIRS = 4, TURN = 32 };

static struct lock shared;
static uint64_t under_lock;	/* [shared] */
static uint64_t rounds[2 * PAIRS];	/* [each its own] */
static int stop;		/* [atomic] */
static int started;		/* [atomic] */

static bool
stopped(void)
{
	return __atomic_load_n(&stop, __ATOMIC_RELAXED);
}

static void
need_processors(void)
{
	if (os_cpus() < 2)
		test_skip("on one processor nobody waits for a lock");
	if (test_slow() > 1 && !TEST_SANITIZED)
		test_skip("valgrind runs one thread at a time, qemu is slow");
}

static void
pauses(int n)
{
	while (n-- > 0)
		a_pause();
}

/* TURN times the lock; between two, the other has the time to take it. */
static void
quarrel(void)
{
	int i;

	for (i = 0; i < TURN; i++) {
		lock_take(&shared, LOCK_CHAN);
		under_lock++;
		pauses(2);
		lock_drop(&shared, LOCK_CHAN);
		pauses(6);
	}
}

static int
quarreller(void *arg)
{
	uint64_t *count = arg;

	while (!stopped()) {
		quarrel();
		*count += TURN;
		co_yield();
	}
	return 0;
}

static uint64_t
gathers(void)
{
	struct co_stats s;

	ck_assert_int_eq(co_stats_get(&s), 0);
	return s.all.gathers;
}

/* --- they are brought together, again and again ------------------------------ */

static int
gathered(void *wanted)
{
	struct co_task t[2 * PAIRS];
	uint64_t sum = 0;
	int i;

	for (i = 0; i < 2 * PAIRS; i++)
		test_result(co_fork(&t[i], quarreller, &rounds[i]), 0);
	while (gathers() < *(uint64_t *)wanted)
		test_result(co_sleep(CO_MS(1)), 0);
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (i = 0; i < 2 * PAIRS; i++) {
		test_result(co_join(&t[i]), 0);
		ck_assert_uint_gt(rounds[i], 0);
		sum += rounds[i];
	}
	ck_assert_uint_eq(under_lock, sum);
	return 0;
}

TEST(workers_that_wait_for_each_other_gather, .seconds = 300)
{
	uint64_t wanted = test_count(3, 300);

	need_processors();
	test_result(test_run(2, gathered, &wanted), 0);
	test_soak("quarrels", wanted);
}

/* --- a thread of the program's own is nobody to gather from ------------------ */

static void *
thread_quarrels(void *arg)
{
	(void)arg;
	__atomic_store_n(&started, 1, __ATOMIC_RELEASE);
	while (!stopped())
		quarrel();
	return NULL;
}

/* Until it has met held locks in quarrelling numbers, some times over. */
static int
against_thread(void *arg)
{
	int64_t last = worker_self()->self.contended_at, now;
	int seen = 0;

	(void)arg;
	while (seen < 20) {
		quarrel();
		now = worker_self()->self.contended_at;
		seen += now != last;
		last = now;
		if (seen % 4 == 3)
			co_yield();
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	return 0;
}

static int
innocent(void *arg)
{
	(void)arg;
	while (!stopped())
		co_yield();
	return 0;
}

static int
with_thread(void *arg)
{
	int i;

	(void)arg;
	for (i = 0; i < PAIRS; i++)
		test_result(co_spawn(innocent, NULL), 0);
	test_result(co_spawn(against_thread, NULL), 0);
	while (!stopped())
		test_result(co_sleep(CO_MS(1)), 0);
	ck_assert_uint_eq(gathers(), 0);
	return 0;
}

TEST(who_waits_for_a_thread_gathers_nobody, .seconds = 300)
{
	pthread_t thread;

	need_processors();
	ck_assert_int_eq(pthread_create(&thread, NULL, thread_quarrels, NULL),
	    0);
	while (!__atomic_load_n(&started, __ATOMIC_ACQUIRE))
		os_give_way();
	test_result(test_run(2, with_thread, NULL), 0);
	pthread_join(thread, NULL);
}

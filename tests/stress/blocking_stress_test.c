/* SPDX-License-Identifier: MIT */
/*
 * blocking_stress_test.c - threads of the blocking pool that come and go while
 * jobs do, and threads that cannot be made.
 */
#include "harness.h"

#include <pthread.h>

#include <weft/io.h>
#include <weft/scope.h>

#include "blocking.h"
#include "worker.h"

/* Where pthread_create is wrapped, clang's TSan has a second thread of its own
   in the background. */
#ifdef WEFT_TSAN
enum { OTHERS_THREAD = 1 };
#else
enum { OTHERS_THREAD = 0 };
#endif

static uint32_t may_start;	/* [atomic] threads that can still be made */

int __real_pthread_create(pthread_t *t, const pthread_attr_t *attr,
    void *(*fn)(void *), void *arg);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *attr,
    void *(*fn)(void *), void *arg);

int
__wrap_pthread_create(pthread_t *t, const pthread_attr_t *attr,
    void *(*fn)(void *), void *arg)
{
	uint32_t left = __atomic_load_n(&may_start, __ATOMIC_RELAXED);

	while (left > 0) {
		if (__atomic_compare_exchange_n(&may_start, &left, left - 1,
		    false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
			return __real_pthread_create(t, attr, fn, arg);
	}
	return EAGAIN;
}

static void
burn_for(int64_t ns)
{
	int64_t until = co_now() + ns;

	while (co_now() < until)
		continue;
}

static int
give(void *arg)
{
	return (int)(intptr_t)arg;
}

/* --- threads that leave --------------------------------------------------- */

enum { CLIENTS = 3 };

/* What was the frame of a job is now this: nobody may use it any more. */
static noinline void
smear(void)
{
	volatile unsigned char all[2048];
	size_t i;

	for (i = 0; i < sizeof all; i++)
		all[i] = 0xa5;
}

/* Sleeps for about as long as a thread stays idle. */
static int
client(void *arg)
{
	uint64_t seed = *(uint64_t *)arg, i, n = test_count(2000, 200000);

	for (i = 0; i < n; i++) {
		test_result(co_blocking(give, (void *)(intptr_t)i), i);
		smear();
		test_result(co_sleep(CO_US(test_below(&seed, 120))), 0);
	}
	return 0;
}

static int
clients(void *arg)
{
	uint64_t seed[CLIENTS];
	struct co_scope s;
	int i;

	co_scope(s) {
		for (i = 0; i < CLIENTS; i++) {
			seed[i] = test_random(arg);
			test_result(co_spawn(client, &seed[i]), 0);
		}
	}
	return s.status;
}

TEST(a_thread_that_leaves_takes_no_job_with_it, .seconds = 120,
    .leaves_threads = OTHERS_THREAD)
{
	uint64_t seed = test_seed();

	may_start = UINT32_MAX;
	co__blocking_keep = CO_US(50);
	FOR_WORKERS(w) {
		if (w > 4)
			break;
		test_result(test_run(w, clients, &seed), 0);
		ck_assert_int_eq(co__blocking_threads(), 0);
	}
}

/* Nobody comes after it whose job would rescue this one's. */
static int
lone_client(void *arg)
{
	uint64_t seed = *(uint64_t *)arg, i, n = test_count(10000, 1000000);
	struct co_scope s;

	for (i = 0; i < n; i++) {
		co_scope(s, .timeout = CO_SEC(20))
			test_result(co_blocking(give, (void *)(intptr_t)i), i);
		test_result(s.status, 0);
		/* The kernel is some 50 us late. */
		burn_for(co__blocking_keep + (int64_t)test_below(&seed, 90000));
	}
	return 0;
}

TEST(the_only_thread_leaves_and_takes_no_job_with_it, .seconds = 120,
    .leaves_threads = OTHERS_THREAD)
{
	const struct co_options o = { .workers = 1, .blocking_threads = 1 };
	uint64_t seed = test_seed();

	may_start = UINT32_MAX;
	co__blocking_keep = CO_US(50);
	test_result(co_run(&o, lone_client, &seed), 0);
	ck_assert_int_eq(co__blocking_threads(), 0);
}

/* --- a job that is done --------------------------------------------------- */

static const struct co_spawn_options pinned = { .pinned = true };
static uint32_t over;		/* [atomic] */

static struct worker *held;	/* [const while `over` is 0] */

/* Serves the loop of the worker that is held, as a watch does. */
static int
serves(void *arg)
{
	struct worker *w;

	(void)arg;
	while (!__atomic_load_n(&over, __ATOMIC_ACQUIRE)) {
		w = worker_self();
		if (w != held)
			w->rt->reactor->poll(held->reactor, 0);
		co_yield();
	}
	return 0;
}

/*
 * Keeps its worker until another one has served this one's loop and sent the
 * waiter here: then it runs at once, while the other is still busy with its
 * job.
 */
static int
holds_worker(void *arg)
{
	const struct worker *w = worker_self();
	int64_t until;

	(void)arg;
	while (!__atomic_load_n(&over, __ATOMIC_ACQUIRE)) {
		until = test_now() + CO_MS(50);
		while (!__atomic_load_n(&w->inbox_count, __ATOMIC_ACQUIRE) &&
		    test_now() < until)
			continue;
		co_yield();
	}
	return 0;
}

static int
waits_pinned(void *arg)
{
	uint64_t i, n = test_count(400, 100000);
	int64_t until;

	(void)arg;
	held = worker_self();
	test_result(co_spawn(serves, NULL), 0);
	test_result(co_spawn_with(&pinned, holds_worker, NULL), 0);
	for (i = 0; i < n; i++) {
		test_result(co_blocking(give, (void *)(intptr_t)i), i);
		smear();
		/* The next job would lie in the same place. */
		for (until = test_now() + CO_US(100); test_now() < until; )
			continue;
	}
	__atomic_store_n(&over, 1, __ATOMIC_RELEASE);
	return 0;
}

static int
two_that_are_pinned(void *arg)
{
	struct co_scope s;

	(void)arg;
	co_scope(s)
		test_result(co_spawn_with(&pinned, waits_pinned, NULL), 0);
	return s.status;
}

TEST(a_job_is_not_touched_when_its_waiter_runs, .seconds = 120,
    .leaves_threads = OTHERS_THREAD)
{
	may_start = UINT32_MAX;
	over = 0;
	test_result(test_run(2, two_that_are_pinned, NULL), 0);
}

/* --- threads that cannot be made ------------------------------------------ */

static int
one_job(void *arg)
{
	test_result(co_blocking(give, arg), (intptr_t)arg);
	return 0;
}

/* The first makes the threads that there can be; the others are queued. */
static int
few_threads(void *arg)
{
	intptr_t i, n = 200;
	struct co_scope s;

	(void)arg;
	test_result(co_blocking(give, NULL), 0);
	co_scope(s) {
		for (i = 0; i < n; i++)
			test_result(co_spawn(one_job, (void *)i), 0);
	}
	return s.status;
}

TEST(a_job_for_which_no_thread_can_be_made_runs_on_another,
    .leaves_threads = OTHERS_THREAD)
{
	uint32_t k;

	FOR_WORKERS(w) {
		for (k = 1; k <= 3; k++) {
			may_start = (uint32_t)w - 1 + k;
			test_result(test_run(w, few_threads, NULL), 0);
			ck_assert_int_eq(co__blocking_threads(), 0);
		}
	}
}

static int
no_threads(void *arg)
{
	uint32_t *left = arg;

	__atomic_store_n(&may_start, 0, __ATOMIC_RELAXED);
	test_result(co_blocking(give, (void *)5), -EAGAIN);
	__atomic_store_n(&may_start, *left, __ATOMIC_RELAXED);
	test_result(co_blocking(give, (void *)5), 5);
	return 0;
}

TEST(where_no_thread_can_be_made_at_all_it_says_so_and_may_be_asked_again,
    .leaves_threads = OTHERS_THREAD)
{
	uint32_t one = 1;

	FOR_WORKERS(w) {
		may_start = (uint32_t)w - 1;
		test_result(test_run(w, no_threads, &one), 0);
	}
}

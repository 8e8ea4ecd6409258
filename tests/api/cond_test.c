/* SPDX-License-Identifier: MIT */
/*
 * cond_test.c - co_cond.  Cancellation in general: sync_test.c.
 */
#include "harness.h"

#include <pthread.h>
#include <signal.h>

#include <weft/chan.h>
#include <weft/scope.h>
#include <weft/sync.h>

static struct co_mutex m;
static struct co_cond c;
static int order[1000], n_order;	/* under m */
static int arrived;			/* atomic: locked m, to wait */

static void
settle(void)
{
	int i;

	for (i = 0; i < 4; i++)
		co_yield();
}

static void
fresh(void)
{
	m = (struct co_mutex)CO_MUTEX_INIT;
	c = (struct co_cond)CO_COND_INIT;
	n_order = 0;
	arrived = 0;
}

/* Until n have come to wait: they unlock m only when they are queued. */
static void
until_waiting(int n)
{
	while (__atomic_load_n(&arrived, __ATOMIC_ACQUIRE) < n)
		co_yield();
	test_result(co_mutex_lock(&m), 0);
	test_result(co_mutex_unlock(&m), 0);
}

static int
arrive_and_wait(void)
{
	__atomic_add_fetch(&arrived, 1, __ATOMIC_ACQ_REL);
	return co_cond_wait(&c, &m);
}

/* --- order ---------------------------------------------------------------- */

static int
wait_in_order(void *arg)
{
	int code = 0;

	co_locked(&m) {
		code = arrive_and_wait();
		order[n_order++] = (int)(intptr_t)arg;
	}
	return code;
}

static void
spawn_waiters(intptr_t n)
{
	intptr_t i;

	for (i = 0; i < n; i++) {
		test_result(co_spawn(wait_in_order, (void *)i), 0);
		until_waiting((int)i + 1);
	}
}

static void
check_order(int n)
{
	int i;

	ck_assert_int_eq(n_order, n);
	for (i = 0; i < n; i++)
		ck_assert_int_eq(order[i], i);
}

static int
signal_in_order(void *arg)
{
	struct co_scope s;
	int i;

	fresh();
	co_scope(s) {
		spawn_waiters(50);
		if (arg)
			test_result(co_mutex_lock(&m), 0);
		for (i = 0; i < 50; i++)
			test_result(co_cond_signal(&c), 0);
		if (arg)
			test_result(co_mutex_unlock(&m), 0);
	}
	check_order(50);
	return 0;
}

TEST(signals_wake_in_the_order_of_waiting)
{
	FOR_WORKERS(w) {
		test_result(test_run(w, signal_in_order, NULL), 0);
		test_result(test_run(w, signal_in_order, &m), 0);
	}
}

static int
one_each(void *arg)
{
	struct co_scope s;
	int i;

	(void)arg;
	fresh();
	co_scope(s) {
		spawn_waiters(10);
		for (i = 0; i < 10; i++) {
			test_result(co_cond_signal(&c), 0);
			settle();
			ck_assert_int_eq(n_order, i + 1);
		}
		test_result(co_cond_signal(&c), 0);	/* nobody: forgotten */
		test_result(co_spawn(wait_in_order, NULL), 0);
		settle();
		ck_assert_int_eq(n_order, 10);
		test_result(co_cond_signal(&c), 0);
	}
	ck_assert_int_eq(n_order, 11);
	return 0;
}

TEST(a_signal_wakes_one_and_is_not_kept)
{
	test_result(test_run(1, one_each, NULL), 0);
}

static int
broadcast(void *arg)
{
	struct co_scope s;

	(void)arg;
	fresh();
	co_scope(s) {
		spawn_waiters(200);
		test_result(co_cond_broadcast(&c), 0);
	}
	check_order(200);
	return 0;
}

TEST(a_broadcast_wakes_all_in_order)
{
	FOR_WORKERS(w)
		test_result(test_run(w, broadcast, NULL), 0);
}

/* --- a bounded buffer ----------------------------------------------------- */

enum { ROOM = 3, MAKERS = 4, TAKERS = 4 };

static struct {
	struct co_mutex m;
	struct co_cond not_full, not_empty;
	long items[ROOM];
	int n;
	long each, made, taken, sum;
} b;

static int
maker(void *arg)
{
	long i;

	(void)arg;
	for (i = 0; i < b.each; i++) {
		test_result(co_mutex_lock(&b.m), 0);
		while (b.n == ROOM)
			test_result(co_cond_wait(&b.not_full, &b.m), 0);
		b.items[b.n++] = ++b.made;
		test_result(co_cond_signal(&b.not_empty), 0);
		test_result(co_mutex_unlock(&b.m), 0);
	}
	return 0;
}

static int
taker(void *arg)
{
	long all = MAKERS * b.each;

	(void)arg;
	test_result(co_mutex_lock(&b.m), 0);
	while (b.taken < all) {
		if (b.n == 0) {
			test_result(co_cond_wait(&b.not_empty, &b.m), 0);
			continue;
		}
		b.sum += b.items[--b.n];
		b.taken++;
		test_result(co_cond_signal(&b.not_full), 0);
		if (b.taken == all)
			test_result(co_cond_broadcast(&b.not_empty), 0);
	}
	test_result(co_mutex_unlock(&b.m), 0);
	return 0;
}

static void *
maker_thread(void *arg)
{
	maker(arg);
	return NULL;
}

static void *
taker_thread(void *arg)
{
	taker(arg);
	return NULL;
}

static int
buffer_run(void *arg)
{
	struct co_scope s;
	int i;

	co_scope(s) {
		for (i = arg ? 2 : 0; i < MAKERS; i++)
			test_result(co_spawn(maker, NULL), 0);
		for (i = arg ? 2 : 0; i < TAKERS; i++)
			test_result(co_spawn(taker, NULL), 0);
	}
	return s.status;
}

static void
buffer_fresh(void)
{
	memset(&b, 0, sizeof b);
	b.m = (struct co_mutex)CO_MUTEX_INIT;
	b.not_full = b.not_empty = (struct co_cond)CO_COND_INIT;
	b.each = (long)test_count(500, 20000);
}

static void
buffer_check(void)
{
	long all = MAKERS * b.each;

	ck_assert_int_eq(b.taken, all);
	ck_assert_int_eq(b.sum, all * (all + 1) / 2);
}

TEST(a_bounded_buffer_loses_nothing)
{
	FOR_WORKERS(w) {
		buffer_fresh();
		test_result(test_run(w, buffer_run, NULL), 0);
		buffer_check();
	}
}

TEST(a_bounded_buffer_between_threads_and_coroutines_loses_nothing)
{
	pthread_t t[4];
	int i;

	FOR_WORKERS(w) {
		buffer_fresh();
		for (i = 0; i < 4; i++)
			ck_assert(!pthread_create(&t[i], NULL, i % 2 ?
			    maker_thread : taker_thread, NULL));
		test_result(test_run(w, buffer_run, &b), 0);
		for (i = 0; i < 4; i++)
			ck_assert(!pthread_join(t[i], NULL));
		buffer_check();
	}
}

/* --- a wait between two attempts at another ------------------------------- */

enum { PUSHED = 12 };

/* boost.fiber#268: a push that fails, a wait for a condition, a push again.
   The last one never woke. */
static struct pushing {
	chan(int) ch;
	int taken;	/* under m */
} push;

static int
attempt(int v)
{
	int code = 1;

	switch (v % 3) {
	case 0:
		return chan_try_send(push.ch, v);
	case 1:
		co_timeout(CO_US(30))
			code = chan_send(push.ch, v);
		return code;
	default:
		code = co_select(co_on_send(push.ch, v),
		    co_on_timeout(CO_US(30)));
		return code == 1 ? -ETIMEDOUT : code;
	}
}

static int
pusher(void *arg)
{
	int v, code, seen = 0;

	(void)arg;
	for (v = 1; v <= PUSHED; v++) {
		while ((code = attempt(v)) != 0) {
			test_result(code, v % 3 ? -ETIMEDOUT : -EAGAIN);
			test_result(co_mutex_lock(&m), 0);
			while (push.taken == seen)
				test_result(co_cond_wait(&c, &m), 0);
			seen = push.taken;
			test_result(co_mutex_unlock(&m), 0);
			if (v % 2 == 0) {	/* now it waits in earnest */
				test_result(chan_send(push.ch, v), 0);
				break;
			}
		}
	}
	return 0;
}

static int
push_round(void *arg)
{
	uint64_t *random = arg, i;
	struct co_task t;
	int v, want;

	fresh();
	push.taken = 0;
	push.ch = chan_new(int, 1 + test_below(random, 2));
	test_result(co_fork(&t, pusher, NULL), 0);
	for (want = 1; want <= PUSHED; want++) {
		for (i = test_below(random, 6); i > 0; i--)
			co_yield();
		if (test_below(random, 8) == 0)
			test_result(co_sleep(CO_US(100)), 0);
		test_result(chan_recv(push.ch, &v), 0);
		ck_assert_int_eq(v, want);
		test_result(co_mutex_lock(&m), 0);
		push.taken++;
		test_result(co_cond_signal(&c), 0);
		test_result(co_mutex_unlock(&m), 0);
	}
	test_result(co_join(&t), 0);
	ck_assert_uint_eq(chan_len(push.ch), 0);
	chan_unref(push.ch);
	return 0;
}

static int
push_often(void *arg)
{
	uint64_t random = test_seed(), n = test_count(100, 10000);

	while (n--)
		push_round(&random);
	return arg ? -EINVAL : 0;
}

TEST(a_send_that_failed_and_a_wait_do_not_spoil_the_next_send)
{
	FOR_WORKERS(w)
		test_result(test_run(w, push_often, NULL), 0);
}

/* --- cancelled ------------------------------------------------------------ */

static int
wait_and_tell(void *arg)
{
	int *ret = arg, code;

	test_result(co_mutex_lock(&m), 0);
	code = arrive_and_wait();
	test_result(co_mutex_try_lock(&m), -EAGAIN);	/* held: by us */
	test_result(co_mutex_unlock(&m), 0);
	__atomic_store_n(ret, code, __ATOMIC_RELEASE);
	return 0;
}

/*
 * Two wait; one is cancelled while one signal is given.  Either it was
 * signalled and returns 0, and the other waits on; or the other was.
 */
static void
signal_or_cancel(uint64_t *random)
{
	int first = 1, second = 1;
	struct co_task a, b2;

	fresh();
	test_result(co_fork(&a, wait_and_tell, &first), 0);
	until_waiting(1);
	test_result(co_fork(&b2, wait_and_tell, &second), 0);
	until_waiting(2);
	if (test_below(random, 2)) {
		co_task_cancel(&a);
		test_result(co_cond_signal(&c), 0);
	} else {
		test_result(co_cond_signal(&c), 0);
		co_task_cancel(&a);
	}
	(void)co_join(&a);
	ck_assert(first == 0 || first == -ECANCELED);
	if (first == 0)
		test_result(co_cond_signal(&c), 0);
	(void)co_join(&b2);
	test_result(second, 0);
}

static int
signal_or_cancel_often(void *arg)
{
	uint64_t random = test_seed(), n = test_count(500, 50000);

	(void)arg;
	while (n--)
		signal_or_cancel(&random);
	return 0;
}

TEST(a_signal_is_not_lost_with_a_cancelled_waiter)
{
	FOR_WORKERS(w)
		test_result(test_run(w, signal_or_cancel_often, NULL), 0);
}

static int
cancelled_while_locked(void *arg)
{
	int code = 1;
	struct co_task t;

	(void)arg;
	fresh();
	test_result(co_fork(&t, wait_and_tell, &code), 0);
	until_waiting(1);
	test_result(co_mutex_lock(&m), 0);
	co_task_cancel(&t);
	settle();
	ck_assert_int_eq(__atomic_load_n(&code, __ATOMIC_ACQUIRE), 1);
	test_result(co_mutex_unlock(&m), 0);
	test_result(co_join(&t), 0);
	test_result(code, -ECANCELED);
	return 0;
}

TEST(a_cancelled_wait_returns_only_with_the_mutex)
{
	FOR_WORKERS(w)
		test_result(test_run(w, cancelled_while_locked, NULL), 0);
}

/* Every waiter times out a little after the other, while signals arrive. */
static int
impatient(void *arg)
{
	uint64_t n = test_count(100, 5000), random = test_seed() + 1, i;
	int code = 1, *served = arg;

	for (i = 0; i < n; i++) {
		test_result(co_mutex_lock(&m), 0);
		co_timeout((co_time)test_below(&random, CO_US(50)))
			code = co_cond_wait(&c, &m);
		ck_assert(code == 0 || code == -ETIMEDOUT);
		if (code == 0)
			++*served;
		test_result(co_mutex_unlock(&m), 0);
	}
	return 0;
}

static int
impatient_crowd(void *arg)
{
	struct co_task t[8];
	int served = 0, i, round;

	(void)arg;
	fresh();
	for (i = 0; i < 8; i++)
		test_result(co_fork(&t[i], impatient, &served), 0);
	for (round = 0; round < 1000; round++) {
		if (round % 10)
			test_result(co_cond_signal(&c), 0);
		else
			test_result(co_cond_broadcast(&c), 0);
		co_yield();
	}
	for (i = 0; i < 8; i++)
		test_result(co_join(&t[i]), 0);
	test_result(co_mutex_try_lock(&m), 0);
	test_result(co_mutex_unlock(&m), 0);
	return 0;
}

TEST(timeouts_and_signals_race_without_harm)
{
	FOR_WORKERS(w)
		test_result(test_run(w, impatient_crowd, NULL), 0);
}

/* --- misuse --------------------------------------------------------------- */

static int
wait_without(void *arg)
{
	(void)arg;
	fresh();
	return -co_cond_wait(&c, &m);
}

TEST(waiting_without_the_mutex_is_refused)
{
	struct test_child r = test_child(wait_without, NULL);

	if (r.signal == SIGABRT)
		test_has(r.err, "co_cond_wait: nobody holds it");
	else
		ck_assert_int_eq(r.code, EPERM);
}

/* SPDX-License-Identifier: MIT */
/*
 * sched_stress_test.c - wakes against parks, cancels, joins, sleeps and ends,
 * from workers and from plain threads: each is seen once and none is lost.
 */
#include "harness.h"

#include <pthread.h>
#include <unistd.h>

#include <weft/chan.h>
#include <weft/inspect.h>
#include <weft/scope.h>
#include <weft/sync.h>

static void
spin(uint64_t n)
{
	volatile uint64_t i;

	for (i = 0; i < n; i++)
		continue;
}

/* --- a thread wakes workers that have just gone to sleep --------------------- */

static chan(int64_t) sent;
static int late_wakes;		/* [atomic] */
static int received;		/* [atomic] */

static int
receive(void *arg)
{
	int64_t when;

	(void)arg;
	while (chan_recv(sent, &when) == 0) {
		if (test_now() - when > CO_MS(100))
			__atomic_add_fetch(&late_wakes, 1, __ATOMIC_RELAXED);
		__atomic_add_fetch(&received, 1, __ATOMIC_RELAXED);
	}
	return 0;
}

static int
receive_with_all(void *arg)
{
	struct co_scope s;
	int i;

	(void)arg;
	co_scope(s)
		for (i = 0; i < 8; i++)
			test_result(co_spawn(receive, NULL), 0);
	return 0;
}

static void *
send_with_gaps(void *arg)
{
	uint64_t random = test_seed(), gap;
	int i, n = *(int *)arg;

	for (i = 0; i < n; i++) {
		gap = test_below(&random, 50);
		if (gap > 40)
			usleep((unsigned)gap);
		else
			spin(gap * 300);
		test_result(chan_send(sent, test_now()), 0);
	}
	chan_close(sent);
	return NULL;
}

TEST(no_wake_of_a_thread_is_lost)
{
	int n = (int)test_count(8000, 10000000);
	pthread_t t;

	FOR_WORKERS(w) {
		sent = chan_new(int64_t, 0);
		late_wakes = received = 0;
		ck_assert_int_eq(pthread_create(&t, NULL, send_with_gaps, &n),
		    0);
		test_result(test_run(w, receive_with_all, NULL), 0);
		pthread_join(t, NULL);
		chan_unref(sent);
		ck_assert_int_eq(received, n);
		test_soak("handoffs", (uint64_t)n);
		/* One that is lost hangs when there is one worker; else the
		   watch finds it late.  A loaded machine is late, too. */
		test_between(late_wakes, 0, 3 + n / 2000);
	}
}

/* --- everybody parks, anybody wakes ------------------------------------------ */

enum { SLEEPERS = 500 };

struct sleeper {
	struct co_sem sem;
	uint64_t woken;
	uint64_t guard;		/* must not change */
};

static struct sleeper sleepers[SLEEPERS];
static uint64_t storm_rounds;

/* Each waits for its own permit, then gives one to somebody at random: as many
   permits as there were stay in circulation. */
static int
storm(void *arg)
{
	struct sleeper *me = arg;
	uint64_t random = test_seed() + (uint64_t)(me - sleepers), canary;
	uint64_t i, a = random, b = ~a, c = a * 3, d = a ^ 0x5555;

	canary = random;
	for (i = 0; i < storm_rounds; i++) {
		test_result(co_sem_wait(&me->sem), 0);
		me->woken++;
		/* What was in registers and on the stack is as it was. */
		ck_assert_uint_eq(b, ~a);
		ck_assert_uint_eq(c, a * 3);
		ck_assert_uint_eq(d, a ^ 0x5555);
		ck_assert_uint_eq(canary, a);
		if (test_below(&random, 8) == 0)
			co_yield();
		/* My own next round, or a neighbour's. */
		co_sem_post(&sleepers[(me - sleepers + 1) % SLEEPERS].sem);
	}
	return 0;
}

static int
storm_all(void *arg)
{
	struct co_scope s;
	int i;

	(void)arg;
	for (i = 0; i < SLEEPERS; i++)
		sleepers[i] = (struct sleeper){ CO_SEM_INIT(i % 3 == 0), 0, 7 };
	co_scope(s)
		for (i = 0; i < SLEEPERS; i++)
			test_result(co_spawn(storm, &sleepers[i]), 0);
	for (i = 0; i < SLEEPERS; i++) {
		ck_assert_uint_eq(sleepers[i].woken, storm_rounds);
		ck_assert_uint_eq(sleepers[i].guard, 7);
	}
	return s.status;
}

TEST(permits_that_go_round_wake_everybody_exactly_as_often)
{
	storm_rounds = test_count(200, 200000);
	test_seed();		/* made by one */
	FOR_WORKERS(w)
		test_result(test_run(w, storm_all, NULL), 0);
	test_soak("permits", storm_rounds * SLEEPERS);
}

/* --- a wake, a deadline and a cancellation at the same moment ------------------ */

static struct co_sem contested;

struct contest {
	uint64_t got, late, cancelled;
	uint64_t rounds;
	uint64_t seed;
};

static int
contend(void *arg)
{
	struct contest *c = arg;
	struct co_scope s;
	uint64_t random = c->seed, i;
	int code;

	for (i = 0; i < c->rounds; i++) {
		code = 1;
		co_scope(s, .timeout = CO_NS(1 + test_below(&random, 30000)))
			code = co_sem_wait(&contested);
		if (code == 0) {
			c->got++;
			test_result(s.status, 0);
		} else if (code == -ETIMEDOUT) {
			c->late++;
			test_result(s.status, -ETIMEDOUT);
		} else {
			test_result(code, -ECANCELED);
			c->cancelled++;
			break;
		}
	}
	return 0;
}

static int
post_often(void *arg)
{
	struct contest *c = arg;
	uint64_t random = c->seed, i;

	for (i = 0; i < c->rounds; i++) {
		co_sem_post(&contested);
		c->got++;
		if (test_below(&random, 3) == 0)
			co_yield();
		else if (test_below(&random, 3) == 0)
			co_sleep(CO_NS(test_below(&random, 20000)));
	}
	return 0;
}

static int
contest(void *arg)
{
	struct contest waiters[12], posters[4];
	struct co_task t[12];
	struct co_scope s;
	uint64_t rounds = *(uint64_t *)arg, seed = test_seed(), got = 0,
	    posted = 0;
	int i;

	contested = (struct co_sem)CO_SEM_INIT(0);
	co_scope(s) {
		for (i = 0; i < 12; i++) {
			waiters[i] = (struct contest){ .rounds = rounds,
			    .seed = seed + (uint64_t)i };
			test_result(co_fork(&t[i], contend, &waiters[i]), 0);
		}
		for (i = 0; i < 4; i++) {
			posters[i] = (struct contest){ .rounds = rounds,
			    .seed = seed + 100 + (uint64_t)i };
			test_result(co_spawn(post_often, &posters[i]), 0);
		}
		for (i = 0; i < 6; i++) {
			co_sleep(CO_MS(1));
			co_task_cancel(&t[2 * i]);
		}
	}
	for (i = 0; i < 12; i++)
		got += waiters[i].got;
	for (i = 0; i < 4; i++)
		posted += posters[i].got;
	/* No permit came twice, none got lost. */
	while (co_sem_try_wait(&contested) == 0)
		got++;
	ck_assert_uint_eq(got, posted);
	return 0;
}

TEST(a_wake_a_deadline_and_a_cancellation_have_one_winner)
{
	uint64_t rounds = test_count(1000, 300000);

	FOR_WORKERS(w)
		test_result(test_run(w, contest, &rounds), 0);
	test_soak("timer races", rounds);
}

/* --- ends ------------------------------------------------------------------- */

static int
end_after(void *arg)
{
	int n = (int)(intptr_t)arg, i;

	for (i = 0; i < n % 4; i++)
		co_yield();
	if (n % 5 == 0)
		spin((uint64_t)n % 1000);
	return n;
}

static void
race_join(struct co_task *t, uint64_t *random)
{
	int v = (int)test_below(random, 1 << 20), code = 1;

	test_result(co_fork(t, end_after, (void *)(intptr_t)v), 0);
	switch (test_below(random, 5)) {
	case 0:
		co_task_cancel(t);
		break;
	case 1:
		co_yield();
		co_task_cancel(t);
		break;
	case 2:
		co_timeout(CO_NS(test_below(random, 3000)))
			code = co_join(t);
		if (code == v)
			return;
		test_result(code, -ETIMEDOUT);
		break;
	case 3:
		spin(test_below(random, 500));
		break;
	default:
		break;
	}
	if (test_below(random, 4) != 0)
		test_result(co_join(t), v);
	/* Else its scope waits for it. */
}

/* A handle that was not joined is used again only when its scope is over. */
static int
race_in_scopes(void *arg)
{
	uint64_t random = test_seed() + (uint64_t)(uintptr_t)&arg, i,
	    n = *(uint64_t *)arg;
	struct co_scope s;
	struct co_task t;

	for (i = 0; i < n; i++) {
		co_scope(s)
			race_join(&t, &random);
		test_result(s.status, 0);
	}
	return 0;
}

static int
race_many(void *arg)
{
	struct co_scope s;
	int i;

	co_scope(s)
		for (i = 0; i < 8; i++)
			test_result(co_spawn(race_in_scopes, arg), 0);
	return s.status;
}

TEST(joins_race_with_ends_and_cancellations)
{
	uint64_t n = test_count(2000, 1000000);

	test_seed();		/* made by one */
	FOR_WORKERS(w)
		test_result(test_run(w, race_many, &n), 0);
}

/* Threads join while the tasks end. */
static struct co_task lent[64];
static int lent_at;	/* [atomic] how many are there to be joined */

static void *
join_lent(void *arg)
{
	int i, at = (int)(intptr_t)arg;

	for (i = at; i < 64; i += 4) {
		while (__atomic_load_n(&lent_at, __ATOMIC_ACQUIRE) <= i)
			usleep(1);
		test_result(co_join(&lent[i]), i);
	}
	return NULL;
}

static int
lend(void *arg)
{
	struct co_scope s;
	int i;

	(void)arg;
	co_scope(s)
		for (i = 0; i < 64; i++) {
			test_result(co_fork(&lent[i], end_after,
			    (void *)(intptr_t)i), 0);
			__atomic_store_n(&lent_at, i + 1, __ATOMIC_RELEASE);
			if (i % 3 == 0)
				co_sleep(CO_US(20));
		}
	return 0;
}

TEST(threads_join_while_tasks_end)
{
	uint64_t k, n = test_count(20, 5000);
	pthread_t t[4];
	intptr_t i;

	FOR_WORKERS(w)
		for (k = 0; k < n; k++) {
			lent_at = 0;
			for (i = 0; i < 4; i++)
				ck_assert_int_eq(pthread_create(&t[i], NULL,
				    join_lent, (void *)i), 0);
			test_result(test_run(w, lend, NULL), 0);
			for (i = 0; i < 4; i++)
				pthread_join(t[i], NULL);
		}
}

/* --- children spawn into the scope of an owner who moves --------------------- */

static uint64_t grandchildren;	/* [atomic] */

static int
count_one(void *arg)
{
	(void)arg;
	__atomic_add_fetch(&grandchildren, 1, __ATOMIC_RELAXED);
	return 0;
}

static int
spawn_beside(void *arg)
{
	struct co_spawn_options o = { .scope = arg };
	int i;

	for (i = 0; i < 64; i++) {
		test_result(co_spawn_with(&o, count_one, NULL), 0);
		if (i % 4 == 0)
			co_yield();
	}
	return 0;
}

static int
move_about(void *arg)
{
	struct co_scope s;
	int i;

	(void)arg;
	co_scope(s) {
		for (i = 0; i < 4; i++)
			test_result(co_spawn(spawn_beside, &s), 0);
		for (i = 0; i < 64; i++)
			co_yield();
	}
	return s.status;
}

TEST(children_spawn_into_the_scope_of_an_owner_who_moves)
{
	uint64_t k, rounds = test_count(50, 10000);

	FOR_WORKERS(w) {
		grandchildren = 0;
		for (k = 0; k < rounds; k++)
			test_result(test_run(w, move_about, NULL), 0);
		ck_assert_uint_eq(grandchildren, rounds * 4 * 64);
	}
}

/* --- runtimes come and go in many threads ------------------------------------- */

static int
leave_some(void *arg)
{
	uint64_t random = (uint64_t)(uintptr_t)arg;
	chan(int) ch = chan_new(int, 2);
	int i, n = (int)test_below(&random, 20), v;

	for (i = 0; i < n; i++)
		test_result(co_spawn(end_after, (void *)(intptr_t)i), 0);
	test_result(chan_send(ch, n), 0);
	if (n % 3 == 0)
		test_result(co_sleep(CO_US(test_below(&random, 100))), 0);
	test_result(chan_recv(ch, &v), 0);
	chan_unref(ch);
	return v == n ? 0 : -1;
}

static void *
come_and_go(void *arg)
{
	uint64_t random = *(uint64_t *)arg, i, n = test_count(150, 20000);

	for (i = 0; i < n; i++)
		test_result(test_run(1 + (int)test_below(&random, 3),
		    leave_some, (void *)(uintptr_t)test_random(&random)), 0);
	return NULL;
}

TEST(runtimes_come_and_go_in_several_threads)
{
	uint64_t seeds[6], random = test_seed();
	pthread_t t[6];
	int i;

	for (i = 0; i < 6; i++) {
		seeds[i] = test_random(&random);
		ck_assert_int_eq(pthread_create(&t[i], NULL, come_and_go,
		    &seeds[i]), 0);
	}
	for (i = 0; i < 6; i++)
		pthread_join(t[i], NULL);
}

/*
 * A lone worker goes without locks until another thread comes by: threads and
 * other runtimes come in the middle of its work.
 */
static struct co_mutex counted_lock;
static uint64_t counted;
static chan(int) counted_chan;

static int
count_alone(void *arg)
{
	uint64_t i, n = *(uint64_t *)arg;
	int v;

	for (i = 0; i < n; i++) {
		test_result(co_mutex_lock(&counted_lock), 0);
		counted++;
		co_mutex_unlock(&counted_lock);
		if (chan_try_send(counted_chan, 1) < 0)
			(void)!chan_try_recv(counted_chan, &v);
		if (i % 64 == 0)
			co_yield();
	}
	return 0;
}

static int
count_in_many(void *arg)
{
	struct co_scope s;
	int i;

	co_scope(s)
		for (i = 0; i < 4; i++)
			test_result(co_spawn(count_alone, arg), 0);
	return s.status;
}

static void *
count_too(void *arg)
{
	uint64_t n = *(uint64_t *)arg / 10;

	usleep(300);
	if (pthread_self() % 3 == 0)
		test_result(test_run(1, count_in_many, &n), 0);
	else
		test_result(count_alone(&(uint64_t){ 4 * n }), 0);
	return NULL;
}

TEST(a_lone_workers_locks_hold_when_others_come)
{
	uint64_t k, rounds = test_count(30, 5000), n = 5000 /
	    (unsigned)test_slow();
	pthread_t t[3];
	int i;

	for (k = 0; k < rounds; k++) {
		counted = 0;
		counted_lock = (struct co_mutex)CO_MUTEX_INIT;
		counted_chan = chan_new(int, 3);
		for (i = 0; i < 3; i++)
			ck_assert_int_eq(pthread_create(&t[i], NULL, count_too,
			    &n), 0);
		test_result(test_run(1, count_in_many, &n), 0);
		for (i = 0; i < 3; i++)
			pthread_join(t[i], NULL);
		chan_unref(counted_chan);
		ck_assert_uint_eq(counted, 4 * n + 3 * 4 * (n / 10));
	}
}

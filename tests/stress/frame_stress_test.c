/* SPDX-License-Identifier: MIT */
/*
 * frame_stress_test.c - a waiter lies in its caller's frame.  Who gives up a
 * wait leaves the frame at once, and writes over it, while another is about
 * to wake him: nobody may touch it any more.
 *
 * Each way to wait is tried with times around the moment at which it ends.  A
 * plain thread wakes, so that it runs at the same time; it and the waiter begin
 * each round together.
 */
#include "harness.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <weft/chan.h>
#include <weft/io.h>
#include <weft/scope.h>
#include <weft/sync.h>
#include <weft/values.h>

struct game {
	uint64_t seed;
	uint64_t rounds;
	const struct way *way;
	uint64_t begun, done;	/* [atomic] rounds, by the two sides */
	struct co_mutex mutex;
	struct co_cond cond;
	struct co_sem sem;
	struct co_event event;
	struct co_rwlock rwlock;
	chan(int) ch;
	chan(int) back;
	struct co_task child;
	co_future(int) future;
	co_watch(int) watch;
	co_bcast(int) bcast;
	co_sub(int) sub;
	int fds[2];
};

struct way {
	const char *name;	/* for a debugger */
	int (*wait)(struct game *g);
	int (*wake)(struct game *g);
};

/* What was a frame is now this. */
__attribute__((noinline)) static void
smear(void)
{
	volatile unsigned char all[2048];
	size_t i;

	for (i = 0; i < sizeof all; i++)
		all[i] = 0xa5;
}

static void
spin(uint64_t n)
{
	while (n-- > 0)
		__asm__ volatile("");
}

/* --- the ways ------------------------------------------------------------- */

static int
wait_recv(struct game *g)
{
	int v;

	return chan_recv(g->ch, &v);
}

static int
wake_recv(struct game *g)
{
	return chan_try_send(g->ch, 1);
}

static int
wait_send(struct game *g)
{
	return chan_send(g->ch, 1);
}

static int
wake_send(struct game *g)
{
	int v;

	return chan_try_recv(g->ch, &v);
}

static int
wait_select(struct game *g)
{
	int v;

	return co_select(co_on_recv(g->ch, &v), co_on_recv(g->back, &v),
	    co_on_event(&g->event));
}

static int
wake_select(struct game *g)
{
	(void)chan_try_send(g->back, 1);
	return chan_try_send(g->ch, 1);
}

static int
wait_event(struct game *g)
{
	return co_event_wait(&g->event);
}

static int
wake_event(struct game *g)
{
	co_event_set(&g->event);
	return co_event_reset(&g->event);
}

static int
wait_sem(struct game *g)
{
	return co_sem_wait(&g->sem);
}

static int
wake_sem(struct game *g)
{
	int code = co_sem_post(&g->sem);

	return code < 0 ? code : co_sem_try_wait(&g->sem);
}

static int
wait_cond(struct game *g)
{
	int code = co_mutex_lock(&g->mutex);

	if (code == 0) {
		code = co_cond_wait(&g->cond, &g->mutex);
		co_mutex_unlock(&g->mutex);
	}
	return code;
}

static int
wake_cond(struct game *g)
{
	return co_cond_signal(&g->cond);
}

static int
wait_mutex(struct game *g)
{
	int code = co_mutex_lock(&g->mutex);

	if (code == 0)
		co_mutex_unlock(&g->mutex);
	return code;
}

static int
wake_mutex(struct game *g)
{
	int code = co_mutex_lock(&g->mutex);

	spin(100);
	return code == 0 ? co_mutex_unlock(&g->mutex) : code;
}

static int
wait_rwlock(struct game *g)
{
	int code = co_rwlock_rdlock(&g->rwlock);

	if (code == 0)
		co_rwlock_unlock(&g->rwlock);
	return code;
}

static int
wake_rwlock(struct game *g)
{
	int code = co_rwlock_wrlock(&g->rwlock);

	spin(100);
	return code == 0 ? co_rwlock_unlock(&g->rwlock) : code;
}

static int
wait_future(struct game *g)
{
	int v;

	return co_future_get(g->future, &v);
}

static int
wake_future(struct game *g)
{
	return co_future_set(g->future, 1);
}

static int
wait_watch(struct game *g)
{
	uint64_t version;
	int v, code;

	(void)co_watch_get(g->watch, &v, &version);
	code = co_watch_next(g->watch, &v, &version);
	return code;
}

static int
wake_watch(struct game *g)
{
	return co_watch_set(g->watch, 1);
}

static int
wait_sub(struct game *g)
{
	int v;

	return co_sub_recv(g->sub, &v);
}

static int
wake_sub(struct game *g)
{
	return co_bcast_send(g->bcast, 1);
}

static int
wait_read(struct game *g)
{
	char c;

	return (int)co_read(g->fds[0], &c, 1);
}

static int
wake_read(struct game *g)
{
	return (int)co_write(g->fds[1], "x", 1);
}

/* --- the rounds ----------------------------------------------------------- */

static void *
waker(void *arg)
{
	struct game *g = arg;
	uint64_t seed = g->seed, i;

	for (i = 1; i <= g->rounds; i++) {
		while (__atomic_load_n(&g->begun, __ATOMIC_ACQUIRE) < i)
			sched_yield();
		spin(test_below(&seed, 6000));
		(void)g->way->wake(g);
		__atomic_store_n(&g->done, i, __ATOMIC_RELEASE);
	}
	return NULL;
}

__attribute__((noinline)) static void
one_wait(struct game *g, co_time limit)
{
	co_timeout(limit)
		(void)g->way->wait(g);
}

static int
play(void *arg)
{
	struct game *g = arg;
	uint64_t seed = ~g->seed, i;	/* the waker has its own */
	pthread_t t;

	ck_assert_int_eq(pthread_create(&t, NULL, waker, g), 0);
	for (i = 1; i <= g->rounds; i++) {
		g->future = co_future_new(int);
		__atomic_store_n(&g->begun, i, __ATOMIC_RELEASE);
		one_wait(g, (co_time)test_below(&seed, 12000));
		smear();
		while (__atomic_load_n(&g->done, __ATOMIC_ACQUIRE) < i)
			co_yield();
		co_future_unref(g->future);
	}
	pthread_join(t, NULL);
	return 0;
}

static int
child(void *arg)
{
	spin(*(uint64_t *)arg);
	return 7;
}

__attribute__((noinline)) static int
one_join(struct co_task *t, co_time limit)
{
	int code = 0;

	co_timeout(limit)
		code = co_join(t);
	return code;
}

/* A thread joins: it waits while the child runs. */
static void *
joiner(void *arg)
{
	struct game *g = arg;
	uint64_t seed = ~g->seed, i;
	int code;

	for (i = 1; i <= g->rounds; i++) {
		while (__atomic_load_n(&g->begun, __ATOMIC_ACQUIRE) < i)
			sched_yield();
		code = one_join(&g->child, (co_time)test_below(&seed, 90000));
		smear();
		if (code == -ETIMEDOUT)
			code = co_join(&g->child);
		test_result(code, 7);
		__atomic_store_n(&g->done, i, __ATOMIC_RELEASE);
	}
	return NULL;
}

static int
joins(void *arg)
{
	struct game *g = arg;
	uint64_t seed = g->seed, i, n;	/* the joiner has its own */
	pthread_t t;

	ck_assert_int_eq(pthread_create(&t, NULL, joiner, g), 0);
	for (i = 1; i <= g->rounds; i++) {
		n = test_below(&seed, 60000);
		test_result(co_fork(&g->child, child, &n), 0);
		__atomic_store_n(&g->begun, i, __ATOMIC_RELEASE);
		while (__atomic_load_n(&g->done, __ATOMIC_ACQUIRE) < i)
			co_yield();
	}
	pthread_join(t, NULL);
	return 0;
}

/* --- all ------------------------------------------------------------------ */

static const struct way ways[] = {
	{ "recv", wait_recv, wake_recv },
	{ "send", wait_send, wake_send },
	{ "select", wait_select, wake_select },
	{ "event", wait_event, wake_event },
	{ "sem", wait_sem, wake_sem },
	{ "cond", wait_cond, wake_cond },
	{ "mutex", wait_mutex, wake_mutex },
	{ "rwlock", wait_rwlock, wake_rwlock },
	{ "future", wait_future, wake_future },
	{ "watch", wait_watch, wake_watch },
	{ "sub", wait_sub, wake_sub },
	{ "read", wait_read, wake_read },
};

static void
one_game(int workers, const struct way *way, co_fn *fn, uint64_t rounds)
{
	struct game g = { .seed = test_seed(), .way = way, .rounds = rounds,
		.mutex = CO_MUTEX_INIT,
		.cond = CO_COND_INIT, .sem = CO_SEM_INIT(0),
		.event = CO_EVENT_INIT, .rwlock = CO_RWLOCK_INIT };

	g.ch = chan_new(int, 0);
	g.back = chan_new(int, 0);
	g.watch = co_watch_new(int, 0);
	g.bcast = co_bcast_new(int, 1, CO_BCAST_DROP);
	g.sub = co_bcast_subscribe(g.bcast);
	ck_assert_int_eq(pipe(g.fds), 0);
	test_result(test_run(workers, fn, &g), 0);
	co_sub_unref(g.sub);
	co_bcast_unref(g.bcast);
	co_watch_unref(g.watch);
	chan_unref(g.back);
	chan_unref(g.ch);
	co_close(g.fds[0]);
	co_close(g.fds[1]);
}

TEST(a_wait_that_is_given_up_leaves_nothing_behind, .seconds = 120)
{
	size_t i;

	FOR_WORKERS(w) {
		if (w > 4)
			break;
		for (i = 0; i < sizeof ways / sizeof ways[0]; i++)
			one_game(w, &ways[i], play,
			    test_count(100, 100000));
	}
}

TEST(a_join_that_is_given_up_leaves_nothing_behind, .seconds = 120)
{
	FOR_WORKERS(w) {
		if (w > 4)
			break;
		one_game(w, NULL, joins, test_count(1000, 100000));
	}
}

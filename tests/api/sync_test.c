/* SPDX-License-Identifier: MIT */
/*
 * sync_test.c - what holds for each way to wait on a synchronisation object:
 * cancellation, deadlines, threads.  What one of them does by itself is tested
 * in mutex_test.c, rwlock_test.c and so on.
 */
#include "sync_ways.h"

#include <weft/scope.h>

/* A wait under way, in a coroutine or a thread. */
struct wait {
	const struct way *way;
	struct objects *o;
	struct co_scope scope;
	struct co_event inside;
	int code;
};

/* Waits in its own frame, and spoils that frame as soon as it has returned. */
static __attribute__((noinline)) int
wait_and_spoil(struct wait *w)
{
	volatile char frame[1024];
	int code = w->way->wait(w->o);
	size_t i;

	for (i = 0; i < sizeof frame; i++)
		frame[i] = (char)0xa5;
	return code;
}

/* Where the waiter's frame was there is now this. */
static __attribute__((noinline)) void
spoil(void)
{
	volatile char deep[2048];
	size_t i;

	for (i = 0; i < sizeof deep; i++)
		deep[i] = (char)0xa5;
}

static int
waiter(void *arg)
{
	struct wait *w = arg;

	w->code = wait_and_spoil(w);
	spoil();
	if (w->code == 0)
		w->way->undo(w->o);
	return 0;
}

static void *
waiter_thread(void *arg)
{
	struct wait *w = arg;

	co_scope(w->scope) {
		test_result(co_event_set(&w->inside), 0);
		waiter(w);
	}
	return NULL;
}

/* All that is runnable has had a turn. */
static void
settle(void)
{
	int i;

	for (i = 0; i < 8; i++)
		co_yield();
}

static void *
cancel_scope(void *scope)
{
	co_cancel(scope);
	return NULL;
}

/* --- cancelled while it waits --------------------------------------------- */

enum { BY_SIBLING, BY_THREAD, BY_DEADLINE, CANCELLERS };

static void
cancel_one(const struct way *way, int by)
{
	struct objects o;
	struct wait w = { .way = way, .o = &o, .code = 1 };
	struct co_scope_options options = { .timeout = by == BY_DEADLINE ?
	    CO_MS(3) : 0 };
	pthread_t thread;

	objects_init(&o);
	way->block(&o);
	test_result(co_scope_enter(&w.scope, &options), 0);
	test_result(co_spawn(waiter, &w), 0);
	settle();
	if (by == BY_SIBLING)
		co_cancel(&w.scope);
	if (by == BY_THREAD) {
		ck_assert(!pthread_create(&thread, NULL, cancel_scope,
		    &w.scope));
		ck_assert(!pthread_join(thread, NULL));
	}
	(void)co_scope_leave(&w.scope);
	ck_assert_msg(w.code == (by == BY_DEADLINE ? -ETIMEDOUT : -ECANCELED),
	    "%s, cancelled by %d: %d", way->name, by, w.code);
	way->open(&o);
	way->spare(&o);
}

static int
cancel_each(void *arg)
{
	int by;

	(void)arg;
	FOR_WAYS(way)
		for (by = 0; by < CANCELLERS; by++)
			cancel_one(way, by);
	return 0;
}

TEST(each_wait_is_ended_by_sibling_thread_and_deadline)
{
	FOR_WORKERS(w)
		test_result(test_run(w, cancel_each, NULL), 0);
}

/* --- ended before it began ------------------------------------------------ */

/* open for all: they could complete, and do not. */
static void
ended_one(const struct way *way, bool deadline)
{
	struct objects o;
	struct co_scope s;
	int code = 1;

	objects_init(&o);
	way->block(&o);
	way->open(&o);
	co_scope(s, .timeout = deadline ? -1 : 0) {
		if (!deadline)
			co_cancel(&s);
		if (way->wait == cond_wait) {
			test_result(co_mutex_try_lock(&o.m), 0);
			code = co_cond_wait(&o.c, &o.m);
			test_result(co_mutex_unlock(&o.m), 0);
		} else {
			code = way->wait(&o);
		}
	}
	ck_assert_msg(code == (deadline ? -ETIMEDOUT : -ECANCELED),
	    "%s: %d", way->name, code);
	way->spare(&o);
}

static int
ended_each(void *arg)
{
	(void)arg;
	FOR_WAYS(way) {
		ended_one(way, false);
		ended_one(way, true);
	}
	return 0;
}

TEST(each_wait_in_an_ended_scope_fails_at_once_though_it_could_complete)
{
	FOR_WORKERS(w)
		test_result(test_run(w, ended_each, NULL), 0);
}

TEST(each_wait_of_a_plain_thread_fails_in_an_ended_scope)
{
	test_result(ended_each(NULL), 0);
}

static int
try_in_ended(void *arg)
{
	struct objects o;
	struct co_scope s;

	(void)arg;
	objects_init(&o);
	o.s = (struct co_sem)CO_SEM_INIT(1);
	co_scope(s) {
		co_cancel(&s);
		test_result(co_mutex_try_lock(&o.m), 0);
		test_result(co_mutex_try_lock(&o.m), -EAGAIN);
		test_result(co_mutex_unlock(&o.m), 0);
		test_result(co_rwlock_try_rdlock(&o.l), 0);
		test_result(co_rwlock_try_rdlock(&o.l), 0);
		test_result(co_rwlock_try_wrlock(&o.l), -EAGAIN);
		test_result(co_rwlock_unlock(&o.l), 0);
		test_result(co_rwlock_unlock(&o.l), 0);
		test_result(co_rwlock_try_wrlock(&o.l), 0);
		test_result(co_rwlock_unlock(&o.l), 0);
		test_result(co_sem_try_wait(&o.s), 0);
		test_result(co_sem_try_wait(&o.s), -EAGAIN);
		test_result(co_sem_post(&o.s), 0);
		test_result(co_event_set(&o.e), 0);
		test_result(co_event_reset(&o.e), 0);
		test_result(co_cond_signal(&o.c), 0);
		test_result(co_cond_broadcast(&o.c), 0);
		test_result(co_waitgroup_add(&o.g, 1), 0);
		test_result(co_waitgroup_done(&o.g), 0);
	}
	test_result(s.status, -ECANCELED);
	return 0;
}

TEST(what_does_not_wait_works_in_an_ended_scope)
{
	FOR_WORKERS(w)
		test_result(test_run(w, try_in_ended, NULL), 0);
	test_result(try_in_ended(NULL), 0);
}

/* --- let go, by all sorts ------------------------------------------------- */

static int
open_each(void *arg)
{
	(void)arg;
	FOR_WAYS(way) {
		struct objects o;
		struct wait w = { .way = way, .o = &o, .code = 1 };
		struct co_scope s;

		objects_init(&o);
		way->block(&o);
		co_scope(s) {
			test_result(co_spawn(waiter, &w), 0);
			settle();
			do {	/* a signal is lost on who does not wait yet */
				way->open(&o);
				co_yield();
			} while (way->wait == cond_wait && w.code == 1);
		}
		ck_assert_msg(w.code == 0, "%s: %d", way->name, w.code);
	}
	return 0;
}

TEST(each_wait_ends_when_it_can)
{
	test_result(test_run(1, open_each, NULL), 0);
}

/* A thread waits; who cancels and who lets go is this thread. */
static void
thread_one(const struct way *way, bool cancel)
{
	struct objects o;
	struct wait w = { .way = way, .o = &o, .inside = CO_EVENT_INIT,
	    .code = 1 };
	pthread_t thread;

	objects_init(&o);
	way->block(&o);
	ck_assert(!pthread_create(&thread, NULL, waiter_thread, &w));
	test_result(co_event_wait(&w.inside), 0);
	test_result(co_sleep(CO_MS(2)), 0);
	if (cancel)
		co_cancel(&w.scope);
	else
		way->open(&o);
	ck_assert(!pthread_join(thread, NULL));
	ck_assert_msg(w.code == (cancel ? -ECANCELED : 0), "%s: %d", way->name,
	    w.code);
	if (cancel) {
		way->open(&o);
		way->spare(&o);
	}
}

TEST(each_wait_of_a_plain_thread_ends_when_it_can_or_is_cancelled)
{
	FOR_WAYS(way) {
		if (way->wait != cond_wait)	/* it may not wait yet */
			thread_one(way, false);
		thread_one(way, true);
	}
}

/* --- let go and cancelled at the same moment ------------------------------ */

/*
 * Exactly one of the two takes effect: who got 0 has what was given; what the
 * other was not given is still there (spare).
 */
static void
race_one(const struct way *way, uint64_t *random)
{
	struct objects o;
	struct wait w = { .way = way, .o = &o, .code = 1 };
	bool first = test_below(random, 2);
	uint64_t spin = test_below(random, 200);

	objects_init(&o);
	way->block(&o);
	test_result(co_scope_enter(&w.scope, NULL), 0);
	test_result(co_spawn(waiter, &w), 0);
	if (test_below(random, 2))
		co_yield();
	while (spin--)
		__asm__ volatile("" ::: "memory");
	if (first)
		co_cancel(&w.scope);
	way->open(&o);
	if (!first)
		co_cancel(&w.scope);
	(void)co_scope_leave(&w.scope);
	ck_assert_msg(w.code == 0 || w.code == -ECANCELED, "%s: %d",
	    way->name, w.code);
	if (w.code < 0)
		way->spare(&o);
}

static int
race_each(void *arg)
{
	uint64_t random = test_seed(), n = test_count(300, 20000), i;

	(void)arg;
	FOR_WAYS(way)
		for (i = 0; i < n; i++)
			race_one(way, &random);
	return 0;
}

TEST(a_wait_let_go_and_cancelled_at_once_ends_in_one_way)
{
	FOR_WORKERS(w)
		test_result(test_run(w, race_each, NULL), 0);
}

/* A deadline of a few microseconds that races with the queueing. */
static int
tiny_each(void *arg)
{
	uint64_t random = test_seed(), n = test_count(200, 20000), i;

	(void)arg;
	FOR_WAYS(way) {
		struct objects o;

		if (way->wait == once_wait || way->wait == barrier_wait)
			continue;	/* a thread for each is too slow */
		for (i = 0; i < n; i++) {
			int code = 1;

			objects_init(&o);
			way->block(&o);
			co_timeout((co_time)test_below(&random, 3000))
				code = way->wait(&o);
			spoil();
			test_result(code, -ETIMEDOUT);
			way->open(&o);
			way->spare(&o);
		}
	}
	return 0;
}

TEST(a_tiny_timeout_always_ends_the_wait)
{
	FOR_WORKERS(w)
		test_result(test_run(w, tiny_each, NULL), 0);
}

/* --- shape ---------------------------------------------------------------- */

static struct objects at_load = {
	CO_MUTEX_INIT, CO_RWLOCK_INIT, CO_COND_INIT, CO_SEM_INIT(3),
	CO_EVENT_INIT, CO_EVENT_INIT, CO_EVENT_INIT, CO_BARRIER_INIT(1),
	CO_ONCE_INIT, CO_WAITGROUP_INIT, 0
};

TEST(objects_made_at_load_time_work_outside_any_runtime)
{
	struct objects *o = &at_load;

	ck_assert(!co_inside());
	test_result(co_mutex_lock(&o->m), 0);
	test_result(co_mutex_unlock(&o->m), 0);
	test_result(co_rwlock_wrlock(&o->l), 0);
	test_result(co_rwlock_unlock(&o->l), 0);
	test_result(co_sem_wait(&o->s), 0);
	test_result(co_event_set(&o->e), 0);
	test_result(co_event_wait(&o->e), 0);
	test_result(co_barrier_wait(&o->b), 1);
	test_result(co_waitgroup_wait(&o->g), 0);
	test_result(co_event_set(&o->leave), 0);
	test_result(co_once_do(&o->o, once_fn, o), 0);
}

TEST(objects_are_small)
{
	ck_assert_uint_le(sizeof(struct co_mutex), 40);
	ck_assert_uint_le(sizeof(struct co_rwlock), 40);
	ck_assert_uint_le(sizeof(struct co_cond), 40);
	ck_assert_uint_le(sizeof(struct co_sem), 40);
	ck_assert_uint_le(sizeof(struct co_event), 40);
	ck_assert_uint_le(sizeof(struct co_barrier), 40);
	ck_assert_uint_le(sizeof(struct co_once), 40);
	ck_assert_uint_le(sizeof(struct co_waitgroup), 40);
}

/* SPDX-License-Identifier: MIT */
/*
 * sync_ways.h - each way to wait on a synchronisation object, as a row of a
 * table.  Used by sync_test.c.
 */
#ifndef WEFT_TESTS_SYNC_WAYS_H
#define WEFT_TESTS_SYNC_WAYS_H

#include "harness.h"

#include <pthread.h>

#include <weft/sync.h>

/* One object of each kind; a kind uses what it needs. */
struct objects {
	struct co_mutex m;
	struct co_rwlock l;
	struct co_cond c;
	struct co_sem s;
	struct co_event e, entered, leave;
	struct co_barrier b;
	struct co_once o;
	struct co_waitgroup g;
	pthread_t thread;
};

/*
 * A way to wait.  block: makes `wait` wait.  open: lets the one that waits go,
 * or the next to come; called by who called block.  undo: after a wait that
 * gave 0, by the waiter.  spare: after open and a wait that failed: takes what
 * open gave and nobody got.
 */
struct way {
	const char *name;
	void (*block)(struct objects *);
	int (*wait)(struct objects *);
	void (*open)(struct objects *);
	void (*undo)(struct objects *);
	void (*spare)(struct objects *);
};

static void
objects_init(struct objects *o)
{
	o->m = (struct co_mutex)CO_MUTEX_INIT;
	o->l = (struct co_rwlock)CO_RWLOCK_INIT;
	o->c = (struct co_cond)CO_COND_INIT;
	o->s = (struct co_sem)CO_SEM_INIT(0);
	o->e = (struct co_event)CO_EVENT_INIT;
	o->entered = (struct co_event)CO_EVENT_INIT;
	o->leave = (struct co_event)CO_EVENT_INIT;
	o->b = (struct co_barrier)CO_BARRIER_INIT(2);
	o->o = (struct co_once)CO_ONCE_INIT;
	o->g = (struct co_waitgroup)CO_WAITGROUP_INIT;
}

static void
nothing(struct objects *o)
{
	(void)o;
}

/* --- mutex */

static void
mutex_block(struct objects *o)
{
	test_result(co_mutex_lock(&o->m), 0);
}

static int
mutex_wait(struct objects *o)
{
	return co_mutex_lock(&o->m);
}

static void
mutex_open(struct objects *o)
{
	test_result(co_mutex_unlock(&o->m), 0);
}

static void
mutex_spare(struct objects *o)
{
	test_result(co_mutex_try_lock(&o->m), 0);
	test_result(co_mutex_unlock(&o->m), 0);
}

/* --- rwlock */

static void
rwlock_block_readers(struct objects *o)
{
	test_result(co_rwlock_wrlock(&o->l), 0);
}

static void
rwlock_block_writers(struct objects *o)
{
	test_result(co_rwlock_rdlock(&o->l), 0);
}

static int
rwlock_wait_read(struct objects *o)
{
	return co_rwlock_rdlock(&o->l);
}

static int
rwlock_wait_write(struct objects *o)
{
	return co_rwlock_wrlock(&o->l);
}

static void
rwlock_open(struct objects *o)
{
	test_result(co_rwlock_unlock(&o->l), 0);
}

static void
rwlock_spare(struct objects *o)
{
	test_result(co_rwlock_try_wrlock(&o->l), 0);
	test_result(co_rwlock_unlock(&o->l), 0);
}

/* --- cond: the mutex must be held, whatever the wait gives */

static int
cond_wait(struct objects *o)
{
	int code = co_mutex_lock(&o->m);

	if (code)
		return code;
	code = co_cond_wait(&o->c, &o->m);
	test_result(co_mutex_try_lock(&o->m), -EAGAIN);
	test_result(co_mutex_unlock(&o->m), 0);
	return code;
}

/* Lost if nobody waits yet. */
static void
cond_open(struct objects *o)
{
	test_result(co_cond_signal(&o->c), 0);
}

/* --- sem */

static int
sem_wait(struct objects *o)
{
	return co_sem_wait(&o->s);
}

static void
sem_open(struct objects *o)
{
	test_result(co_sem_post(&o->s), 0);
}

static void
sem_spare(struct objects *o)
{
	test_result(co_sem_try_wait(&o->s), 0);
	test_result(co_sem_try_wait(&o->s), -EAGAIN);
}

/* --- event */

static int
event_wait(struct objects *o)
{
	return co_event_wait(&o->e);
}

static void
event_open(struct objects *o)
{
	test_result(co_event_set(&o->e), 0);
}

/* --- barrier: of two, a thread is the other one */

static void *
barrier_other(void *arg)
{
	struct objects *o = arg;
	int code = co_barrier_wait(&o->b);

	ck_assert(code == 0 || code == 1);
	return NULL;
}

static int
barrier_wait(struct objects *o)
{
	int code = co_barrier_wait(&o->b);

	return code > 0 ? 0 : code;
}

static void
barrier_open(struct objects *o)
{
	ck_assert(!pthread_create(&o->thread, NULL, barrier_other, o));
}

static void
barrier_undo(struct objects *o)
{
	ck_assert(!pthread_join(o->thread, NULL));
}

static void
barrier_spare(struct objects *o)
{
	int code = co_barrier_wait(&o->b);	/* the thread still waits */

	ck_assert(code == 0 || code == 1);
	ck_assert(!pthread_join(o->thread, NULL));
}

/* --- once: a thread is inside */

static int
once_fn(void *arg)
{
	struct objects *o = arg;

	test_result(co_event_set(&o->entered), 0);
	return co_event_wait(&o->leave);
}

static void *
once_other(void *arg)
{
	struct objects *o = arg;

	test_result(co_once_do(&o->o, once_fn, o), 0);
	return NULL;
}

static void
once_block(struct objects *o)
{
	ck_assert(!pthread_create(&o->thread, NULL, once_other, o));
	test_result(co_event_wait(&o->entered), 0);
}

static int
once_wait(struct objects *o)
{
	return co_once_do(&o->o, once_fn, o);
}

static void
once_open(struct objects *o)
{
	test_result(co_event_set(&o->leave), 0);
	ck_assert(!pthread_join(o->thread, NULL));
}

/* --- waitgroup */

static void
waitgroup_block(struct objects *o)
{
	test_result(co_waitgroup_add(&o->g, 2), 0);
}

static int
waitgroup_wait(struct objects *o)
{
	return co_waitgroup_wait(&o->g);
}

static void
waitgroup_open(struct objects *o)
{
	test_result(co_waitgroup_done(&o->g), 0);
	test_result(co_waitgroup_done(&o->g), 0);
}

static const struct way ways[] = {
	{ "mutex", mutex_block, mutex_wait, mutex_open, mutex_open,
	    mutex_spare },
	{ "read", rwlock_block_readers, rwlock_wait_read, rwlock_open,
	    rwlock_open, rwlock_spare },
	{ "write", rwlock_block_writers, rwlock_wait_write, rwlock_open,
	    rwlock_open, rwlock_spare },
	{ "cond", nothing, cond_wait, cond_open, nothing, nothing },
	{ "sem", nothing, sem_wait, sem_open, nothing, sem_spare },
	{ "event", nothing, event_wait, event_open, nothing, nothing },
	{ "barrier", nothing, barrier_wait, barrier_open, barrier_undo,
	    barrier_spare },
	{ "once", once_block, once_wait, once_open, nothing, nothing },
	{ "waitgroup", waitgroup_block, waitgroup_wait, waitgroup_open, nothing,
	    nothing },
};

#define FOR_WAYS(w) \
	for (const struct way *w = ways; w < ways + sizeof ways / \
	    sizeof ways[0]; w++)

#endif

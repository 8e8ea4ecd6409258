/* SPDX-License-Identifier: MIT */
/*
 * <weft/sync.h> - mutex, rwlock, cond, sem, event, barrier, once, waitgroup.
 * The full text: co_sync(3).
 *
 * Objects are made in place and hold nothing that must be freed:
 *
 *	struct co_mutex m = CO_MUTEX_INIT;
 *	m = (struct co_mutex)CO_MUTEX_INIT;
 *
 * Coroutines and plain threads use them together.  Who came first is served
 * first.  What waits gives 0, or the code of the scope that ended: then it has
 * had no effect.  So does -ENOMEM: under a deadline, or as the first call of
 * all in a plain thread.
 * An object may be freed as soon as the last call that its user waits for has
 * returned: whoever woke it no longer touches the object (co_once apart).
 */
#ifndef WEFT_SYNC_H
#define WEFT_SYNC_H

#include <weft/co.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CO__WAITS	__attribute__((warn_unused_result))

/* The part that all of them share.  It belongs to the library. */
struct co__sync {
	unsigned co__lock;
	int co__n;
	void *co__head, *co__tail;
};
#define CO__SYNC_INIT(n)	{ 0, (int)(n), 0, 0 }

/*
 * Held by one.  Unlocked by whoever locked it, else -EPERM with no effect; a
 * debug build of the library stops there.  Unlocking gives it to the first that
 * waits; nobody overtakes.  Locking it twice waits for oneself.
 */
struct co_mutex {
	struct co__sync co__sync;
	void *co__owner;
};
#define CO_MUTEX_INIT	{ CO__SYNC_INIT(0), 0 }

int co_mutex_lock(struct co_mutex *m) CO__WAITS;
int co_mutex_try_lock(struct co_mutex *m) CO__WAITS;	/* or -EAGAIN */
int co_mutex_unlock(struct co_mutex *m);

/*
 * Held by one writer or many readers.  A reader waits behind a writer that
 * waits, so writers are not starved; readers that follow each other go
 * together.  co_rwlock_unlock ends either; -EPERM: it is not held, or held for
 * writing by another.
 */
struct co_rwlock {
	struct co__sync co__sync;
	void *co__owner;
};
#define CO_RWLOCK_INIT	{ CO__SYNC_INIT(0), 0 }

int co_rwlock_rdlock(struct co_rwlock *l) CO__WAITS;
int co_rwlock_wrlock(struct co_rwlock *l) CO__WAITS;
int co_rwlock_try_rdlock(struct co_rwlock *l) CO__WAITS;	/* or -EAGAIN */
int co_rwlock_try_wrlock(struct co_rwlock *l) CO__WAITS;	/* or -EAGAIN */
int co_rwlock_unlock(struct co_rwlock *l);

/*
 * Waiting unlocks m and returns with m held again, whatever the result; it is
 * never woken without a reason.  -EPERM: the caller did not hold m.  A signal
 * goes to the first that waits; without any it is forgotten.
 */
struct co_cond {
	struct co__sync co__sync;
};
#define CO_COND_INIT	{ CO__SYNC_INIT(0) }

int co_cond_wait(struct co_cond *c, struct co_mutex *m) CO__WAITS;
int co_cond_signal(struct co_cond *c);
int co_cond_broadcast(struct co_cond *c);

/* n permits at first, 0 to INT_MAX.  A post beyond that: -EOVERFLOW. */
struct co_sem {
	struct co__sync co__sync;
};
#define CO_SEM_INIT(n)	{ CO__SYNC_INIT(n) }

int co_sem_wait(struct co_sem *s) CO__WAITS;
int co_sem_try_wait(struct co_sem *s) CO__WAITS;	/* or -EAGAIN */
int co_sem_post(struct co_sem *s);

/*
 * Off at first.  While it is set nobody waits; whoever waits when it is set
 * goes on, even if it is reset at once.  In a select: co_on_event(&e).
 */
struct co_event {
	struct co__sync co__sync;
};
#define CO_EVENT_INIT	{ CO__SYNC_INIT(0) }

int co_event_wait(struct co_event *e) CO__WAITS;
int co_event_set(struct co_event *e);
int co_event_reset(struct co_event *e);

/*
 * Waits until n have come: 1 for the one of them that came last, 0 for the
 * others; then it begins anew.  Who fails has not come.  -EINVAL: n < 1.
 */
struct co_barrier {
	struct co__sync co__sync;
	int co__size;
};
#define CO_BARRIER_INIT(n)	{ CO__SYNC_INIT(0), (int)(n) }

int co_barrier_wait(struct co_barrier *b) CO__WAITS;

/*
 * The first caller runs fn(arg); every caller returns after fn has, with what
 * fn returned.  A caller that is cancelled while it waits gets that code
 * instead.  -EINVAL: fn is NULL.
 */
struct co_once {
	struct co__sync co__sync;
	void *co__owner;
	int co__result;
};
#define CO_ONCE_INIT	{ CO__SYNC_INIT(0), 0, 0 }

int co_once_do(struct co_once *o, co_fn *fn, void *arg) CO__WAITS;

/*
 * Waits until the count is 0, as it is at first.  n may be negative; a count
 * below 0 is -EINVAL and one over INT_MAX -EOVERFLOW, both with no effect.
 * Add before starting what calls co_waitgroup_done.
 */
struct co_waitgroup {
	struct co__sync co__sync;
};
#define CO_WAITGROUP_INIT	{ CO__SYNC_INIT(0) }

int co_waitgroup_add(struct co_waitgroup *w, int n);
int co_waitgroup_done(struct co_waitgroup *w);		/* adds -1 */
int co_waitgroup_wait(struct co_waitgroup *w) CO__WAITS;

#ifndef __cplusplus

/*
 * co_locked(&m) { }: the block runs with m locked, and leaves it unlocked by
 * its end, break, return or goto.  If locking fails the block is skipped:
 * co_cancelled() is true then, unless memory was short.
 */
#define co_locked(...)	CO__LOCKED(CO__UNIQUE(co__locked_at), __VA_ARGS__)
#define CO__LOCKED(at, ...)	CO__LOCKED2(at, __VA_ARGS__)
#define CO__LOCKED2(at, ...) \
	for (struct co_mutex *at __attribute__((cleanup(co__locked_cleanup))) \
	    = co__locked_begin(__VA_ARGS__); at; at = co__locked_end(at))

static inline struct co_mutex *
co__locked_begin(struct co_mutex *m)
{
	return co_mutex_lock(m) == 0 ? m : NULL;
}

static inline struct co_mutex *
co__locked_end(struct co_mutex *m)
{
	co_mutex_unlock(m);
	return NULL;
}

static inline void
co__locked_cleanup(struct co_mutex **m)
{
	if (*m)
		co_mutex_unlock(*m);
}

#endif /* !__cplusplus */

#ifdef __cplusplus
}
#endif

#endif

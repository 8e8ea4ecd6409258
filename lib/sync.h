/* SPDX-License-Identifier: MIT */
/*
 * sync.h - the shape that all synchronisation objects share: a lock, a number
 * and a queue of waiters.
 *
 * Layer 6.  Built on park, waiter.  Used by mutex, rwlock, cond, sem, event,
 * barrier, once, waitgroup.
 *
 * struct sync is the inner view of struct co__sync, with which each object
 * begins: so a struct sync * is also the object's address in dumps.
 *
 * AFTER THE LOCK.  Whoever is let go by another may free the object at once.
 * Therefore nobody touches an object after the lock_drop under which he let go
 * of it, and tasks are woken after that.
 */
#ifndef WEFT_SYNC_INSIDE_H
#define WEFT_SYNC_INSIDE_H

#include <weft/sync.h>

#include "waiter.h"

struct sync {
	struct lock lock;	/* LOCK_CHAN */
	int n;			/* [lock] the object says what it counts */
	struct waitq q;		/* [lock] who came first is first */
};

_Static_assert(sizeof(struct sync) == sizeof(struct co__sync) &&
    _Alignof(struct sync) == _Alignof(struct co__sync) &&
    offsetof(struct sync, n) == offsetof(struct co__sync, co__n) &&
    offsetof(struct sync, q) == offsetof(struct co__sync, co__head),
    "struct sync is struct co__sync seen from inside");

static always_inline struct sync *
sync_of(struct co__sync *s)
{
	return (struct sync *)(void *)s;
}

static always_inline void
sync_take(struct sync *s)
{
	lock_take(&s->lock, LOCK_CHAN);
}

static always_inline void
sync_drop(struct sync *s)
{
	lock_drop(&s->lock, LOCK_CHAN);
}

/* How a wait is entered in the queue. */
struct sync_wait {
	enum wait_reason why;
	bool shielded;		/* no cancellation ends it */
	void *slot;		/* waiter->slot: the object's own use */
};

/* Puts the caller, as *w, at the end of the queue.  s->lock held; dropped. */
void co__sync_queue(struct sync *s, struct task *t, struct waiter *w,
    const struct sync_wait *how);

/*
 * Sleeps until somebody claimed and woke the waiter that was queued: 0, and no
 * lock held.  Or until the wait was cancelled: a code < 0, and s->lock held;
 * the waiter is not queued any more if somebody took it off, too late to claim
 * it, else the caller must unlink it.
 */
int co__sync_sleep(struct sync *s, struct task *t);

/* Both, for who has nothing to add.  Called last; s->lock held; dropped. */
int co__sync_wait(struct sync *s, struct task *t, const struct sync_wait *how);

/*
 * Claims all who wait and empties the queue.  s->lock held.  They are a list
 * by waiter->next, for co__sync_wake after the lock is dropped: being claimed,
 * none of them can leave before it is woken.
 */
struct waiter *co__sync_claim_all(struct sync *s);

/*
 * Wakes the list, the first to come first.  No lock held.  They run in that
 * order, behind what is runnable already; unlike what task_wake does, as it
 * would turn the order round.
 */
void co__sync_wake(struct waiter *list);

/* The same for one. */
void co__sync_wake_one(struct waiter *w);

/* Wakes who was made the holder of a lock, to run next: others wait for it. */
static always_inline void
sync_wake_holder(struct waiter *w)
{
	task_wake(w->task, 0);
}

/*
 * The caller unlocks what is held by another, or by nobody (NULL).  A debug
 * build stops here; else the call goes on to return -EPERM.
 */
#ifdef WEFT_DEBUG
void co__sync_misuse(const char *call, const struct task *holder);
#else
static inline void
co__sync_misuse(const char *call, const struct task *holder)
{
	(void)call;
	(void)holder;
}
#endif

/*
 * For cond.c, in mutex.c.  relock waits for m whatever is cancelled.  give
 * makes each of a list of claimed waiters of a condition the holder of its
 * mutex (slot), as soon as that is free, and wakes it then.
 */
int co__mutex_relock(struct co_mutex *m, struct task *t);
void co__mutex_give(struct waiter *list);

#endif

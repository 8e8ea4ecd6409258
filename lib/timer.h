/* SPDX-License-Identifier: MIT */
/*
 * timer.h - deadlines of waits and of scopes, in absolute nanoseconds.
 *
 * Layer 4.  One heap for each worker, under its lock: a task arms its timer
 * where it parks and may disarm it from another worker.
 */
#ifndef WEFT_TIMER_H
#define WEFT_TIMER_H

#include "task.h"

struct timer_entry {		/* in heap order by (when, seq) */
	co_time when;
	uint32_t seq;		/* equal times fire in the order of arming */
	uint32_t node;
};

struct timer_node {		/* what an entry stands for; `pos` says where
				   the entry is */
	uint32_t armed;		/* 0: no; else 1 + which heap */
	void *owner;		/* struct task, or struct co_scope */
	uint64_t ticket;	/* of the task's wait; 0: a scope */
};

struct timer_heap {
	uint32_t count, room;	/* [lock] */
	struct timer_entry *at;	/* [lock] at[1] begins a cache line, and so do
				   the four children of each entry */
};

/*
 * Long sleeps may end a little late together: a sleeping worker is woken for
 * them at most every TIMER_SLACK.  They have a heap of their own, so that a
 * short one never waits for that.  All fire in the order of their times.
 */
enum {
	TIMER_LONG = 50 * 1000 * 1000,	/* ns from now: and the slack is 1 % */
	TIMER_SLACK = 500 * 1000	/* ns */
};

enum { TIMER_EXACT, TIMER_COARSE, TIMER_HEAPS };

struct timers {
	co_time next;		/* [atomic] earliest, CO_FOREVER when none;
				   written under the lock, read by anybody */
	co_time wake;		/* [atomic] until when a worker may sleep */
	struct lock lock;	/* LOCK_TIMER */
	uint32_t room, seq, free;	/* [lock] */
	struct timer_heap heap[TIMER_HEAPS];	/* [lock] */
	struct timer_node *node;	/* [lock] */
	uint32_t *pos;		/* [lock] of each node: in its heap, or the next
				   free node.  Apart and dense: a sift writes
				   one of them at each level */
};

void timers_init(struct timers *h);
void timers_fini(struct timers *h);

/* `now` may be a little old.  0, or -ENOMEM.  *ret_id names the timer until it
   is deleted or fires. */
int timer_add(struct timers *h, co_time now, co_time when, void *owner,
    uint64_t ticket, uint32_t *ret_id);

/* True: it was armed and is no more.  False: it has fired, or is firing. */
bool timer_del(struct timers *h, uint32_t id, const void *owner,
    uint64_t ticket);

/*
 * Fires what is due: claims waits and gives them to wake(), in order; gives
 * scopes to end().  Neither is called under the lock.  How many.
 */
int timers_expire(struct timers *h, co_time now, void (*wake)(struct task *),
    void (*end)(struct co_scope *));

/* A scope's timer, in co__timer_state. */
enum { SCOPE_TIMER_NONE, SCOPE_TIMER_ARMING, SCOPE_TIMER_ARMED,
	SCOPE_TIMER_FIRING, SCOPE_TIMER_FIRED };

#endif

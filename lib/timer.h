/* SPDX-License-Identifier: MIT */
/*
 * timer.h - deadlines of waits and of scopes, in absolute nanoseconds.
 *
 * Layer 4.  Each worker has its own, under a lock: a task arms its timer where
 * it parks and may disarm it from another worker.
 */
#ifndef WEFT_TIMER_H
#define WEFT_TIMER_H

#include "task.h"
#include "timer_heap.h"

struct timer_node {		/* what an entry stands for; `pos` says where
				   the entry is */
	uint32_t armed;		/* 0: no; else 1 + the index of its heap */
	void *owner;		/* struct task, or struct co_scope */
	uint64_t ticket;	/* of the task's wait; 0: a scope */
};

/*
 * Long sleeps may end a little late together: a sleeping worker is woken for
 * them at most every TIMER_SLACK.  They have heaps of their own, so that a
 * short one never waits for that.  All fire in the order of their times.
 *
 * Processor time of a million naps of 1 to 1000 ms, by what is long and by how
 * late it may be:
 *
 *	50 ms, 0.5 ms	1.70 s	24,000 times asleep
 *	20 ms, 0.5 ms	1.38 s
 *	20 ms, 0.9 ms	1.20 s	10,000 times asleep
 *	10 ms, 0.9 ms	1.15 s
 */
enum {
	TIMER_LONG = 20 * 1000 * 1000,	/* ns from now: the slack is 4.5 % */
	TIMER_SLACK = 900 * 1000	/* ns: sub-millisecond is promised */
};

enum { TIMER_EXACT, TIMER_FAR, TIMER_HEAPS };

/*
 * Of the long ones, those of the next minute are kept by slots, each with what
 * ends in the same 4 ms of the next second or 268 ms of the next 68 s: a heap
 * that stays loose until something in it is due.
 */
enum { TIMER_WHEELS = 2, TIMER_SLOTS = 256 };

struct timer_wheel {
	int64_t from;		/* all are in slots from .. from + 255 */
	int64_t first;		/* the first slot that has any */
	struct timer_heap *head;	/* that slot; NULL: all are empty */
	uint64_t used[TIMER_SLOTS / 64];	/* a bit for each that is not */
	struct timer_heap slot[TIMER_SLOTS];	/* by number % 256 */
};

struct timers {
	co_time next;		/* [atomic] not later than the earliest,
				   CO_FOREVER when none; written under the
				   lock, read by anybody */
	co_time wake;		/* [atomic] until when a worker may sleep */
	struct lock lock;	/* LOCK_TIMER */
	uint32_t room, seq, free;	/* [lock] */
	struct timer_heap heap[TIMER_HEAPS];	/* [lock] */
	struct timer_wheel *wheel;	/* [lock] TIMER_WHEELS of them, or NULL
					   before the first long one */
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

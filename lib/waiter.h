/* SPDX-License-Identifier: MIT */
/*
 * waiter.h - a task's place in one object's queue.
 *
 * Layer 5.  A waiter lies in the frame of the call that waits.  It is linked
 * and unlinked under the object's lock.  Rules that keep frames safe:
 *
 *	W1  who takes a waiter off a queue and wins its claim may write to it
 *	    and through `slot` until it calls task_wake; then never again.
 *	W2  who loses the claim has nothing more to do with it: it may look at
 *	    it only while it holds the object's lock, as the loser's owner
 *	    takes that lock to unlink it before its frame ends.
 *	W3  the owner unlinks it (waitq_remove) under the object's lock, unless
 *	    it was woken by the one who took it off.
 */
#ifndef WEFT_WAITER_H
#define WEFT_WAITER_H

#include "park.h"

/* In status: nothing has happened to the object; wait for it anew. */
enum { WAIT_AGAIN = 1 };

struct waiter {
	struct waiter *next, *prev;	/* [object's lock] */
	struct task *task;	/* [const] */
	uint64_t ticket;	/* [const] of this wait */
	union {
		void *slot;	/* where the value is, or goes */
		uint64_t round;	/* [const] fd.c, F5 */
	};
	int index;		/* [const] which case of a select; else 0 */
	int status;		/* [winner] 0, or -EPIPE and the like, or
				   WAIT_AGAIN */
	bool queued;		/* [object's lock] */
	bool multi;		/* [const] part of a select: others may claim */
};

struct waitq {
	struct waiter *head, *tail;	/* [object's lock] */
};

static inline bool
waitq_empty(const struct waitq *q)
{
	return q->head == NULL;
}

static inline void
waitq_push(struct waitq *q, struct waiter *w)
{
	w->next = NULL;
	w->prev = q->tail;
	if (q->tail)
		q->tail->next = w;
	else
		q->head = w;
	q->tail = w;
	w->queued = true;
}

/* Does nothing when it is on no queue. */
static inline void
waitq_remove(struct waitq *q, struct waiter *w)
{
	if (!w->queued)
		return;
	if (w->prev)
		w->prev->next = w->next;
	else
		q->head = w->next;
	if (w->next)
		w->next->prev = w->prev;
	else
		q->tail = w->prev;
	w->queued = false;
}

/* Takes it off the queue; false: something else has won its claim. */
static inline bool
waitq_take(struct waitq *q, struct waiter *w)
{
	waitq_remove(q, w);
	return likely(wait_claim(w->task, w->ticket));
}

/* Takes the first waiter whose claim is won off the queue; NULL: none. */
static inline struct waiter *
waitq_claim(struct waitq *q)
{
	struct waiter *w;

	while ((w = q->head) != NULL && !waitq_take(q, w))
		;
	return w;
}

#endif

/* SPDX-License-Identifier: MIT */
/*
 * select_case.h - one case of a select, whatever its kind.
 *
 * Layer 6.  Used by select.c and select_lock.c, and read by dumps.
 *
 * Channels are spelt out here, for speed; other kinds go through their table.
 */
#ifndef WEFT_SELECT_CASE_H
#define WEFT_SELECT_CASE_H

#include "chan.h"

/* A case's room, seen from inside. */
struct room {
	struct waiter w;
	struct lock *lock;	/* NULL: no locked kind; set by
				   co__select_lock */
	uint32_t pick;		/* the k-th room's: which case is looked at as
				   the k-th; PICK_QUEUED: select.c */
	uint32_t order;		/* the k-th room's: whose lock is the k-th */
};

_Static_assert(sizeof(struct room) == sizeof(struct co__room) &&
    _Alignof(struct room) == _Alignof(struct co__room),
    "struct room is struct co__room seen from inside");

struct select {
	struct co_case *cases;
	struct room *rooms;
	struct task *t;
	uint64_t ticket;
	int n;
	int otherwise;		/* index, or -1 */
	int timeout;		/* index of the earliest, or -1 */
	bool tables;		/* some are kinds with a table */
	bool polled;		/* some are to be looked at now and then */
	bool again;		/* one was ready when it was to be queued, or
				   has to be looked at again */
	uint8_t nap;		/* ms until a plain thread looks again */
	co_time until;		/* of the timeout; CO_FOREVER: not yet known */
	uint32_t nlocks;	/* cases with a lock; set by co__select_lock */
};

/* In select_lock.c: takes, and drops, the locks of all cases. */
void co__select_lock(struct select *s);
void co__select_unlock(struct select *s);

static always_inline bool
is_chan(const struct co_case *c)
{
	return c->co__kind == CO__CASE_RECV || c->co__kind == CO__CASE_SEND;
}

/* NULL: a kind without a table. */
static always_inline const struct case_ops *
table(const struct co_case *c)
{
	return c->co__kind < CO__CASE_TABLE ? NULL :
	    (const struct case_ops *)c->co__kind;
}

/* The lock of a locked kind, or NULL. */
static always_inline struct lock *
case_lock(struct co_case *c)
{
	const struct case_ops *ops;

	if (likely(is_chan(c)))
		return c->co__obj ? &((struct chan *)c->co__obj)->lock : NULL;
	ops = table(c);
	return ops && ops->lock ? ops->lock(c) : NULL;
}

/* Of a case that has a lock. */
static always_inline enum lock_rank
case_rank(const struct co_case *c)
{
	return likely(is_chan(c)) ? LOCK_CHAN : table(c)->rank;
}

static always_inline struct waitq *
chan_queue(const struct co_case *c)
{
	struct chan *ch = c->co__obj;

	return c->co__kind == CO__CASE_RECV ? &ch->recvq : &ch->sendq;
}

/*
 * Without the lock, so perhaps wrong; take looks again.  The race is meant,
 * hence no_sanitize: the queues are plain data otherwise.
 */
__attribute__((no_sanitize("thread")))
static inline bool
chan_maybe(const struct co_case *c)
{
	const volatile struct chan *ch = c->co__obj;

	if (ch->closed)
		return true;
	if (c->co__kind == CO__CASE_RECV)
		return ch->count > 0 || ch->sendq.head;
	return ch->recvq.head || ch->count < ch->limit || ch->unbounded;
}

/* Of a case that has a lock, which is not held. */
static always_inline bool
case_maybe(struct co_case *c)
{
	if (likely(is_chan(c)))
		return chan_maybe(c);
	return !table(c)->maybe || table(c)->maybe(c);
}

/* Lock held, or a self-locking kind, or `solo`. */
static always_inline bool
case_take(struct co_case *c, struct case_taken *taken, bool solo)
{
	struct chan *ch = c->co__obj;

	if (likely(c->co__kind == CO__CASE_RECV)) {
		if (unlikely(!ch))
			return false;
		taken->status = chan_get(ch, c->co__slot, &taken->peer, solo);
		return taken->status != -EAGAIN;
	}
	if (likely(c->co__kind == CO__CASE_SEND)) {
		if (unlikely(!ch))
			return false;
		taken->status = chan_put(ch, c->co__slot, &taken->peer, solo);
		return taken->status != -EAGAIN;
	}
	if (c->co__kind == CO__CASE_TIMEOUT)
		return c->co__arg <= 0;
	return table(c) && table(c)->take(c, taken);
}

/* No lock held.  0, or -ENOMEM.  alone: as for chan_wake. */
static always_inline int
case_finish(struct co_case *c, struct case_taken *taken, struct self *alone)
{
	struct chan *ch = c->co__obj;

	if (likely(c->co__kind == CO__CASE_RECV)) {
		if (likely(taken->peer != NULL))
			chan_get_rest(ch, c->co__slot, taken->peer, alone);
		else if (unlikely(taken->status == -EPIPE))
			memset(c->co__slot, 0, ch->size);
	} else if (likely(c->co__kind == CO__CASE_SEND)) {
		if (likely(taken->peer != NULL))
			chan_put_rest(ch, c->co__slot, taken->peer, alone);
		else if (unlikely(taken->status == -ENOMEM))
			return -ENOMEM;
	} else if (!table(c)) {
		return 0;	/* a timeout has no other members */
	} else if (table(c)->finish) {
		table(c)->finish(c, taken);
	}
	if (c->co__status)
		*c->co__status = taken->status;
	return 0;
}

/* A waker has chosen the case. */
static always_inline void
case_chosen(struct co_case *c, struct waiter *w)
{
	int status = w->status;

	if (likely(c->co__kind == CO__CASE_RECV)) {
		if (unlikely(status == -EPIPE))
			memset(c->co__slot, 0,
			    ((struct chan *)c->co__obj)->size);
	} else if (table(c) && table(c)->chosen) {
		status = table(c)->chosen(c, w);
	}
	if (c->co__status)
		*c->co__status = status;
}

/* All but its place in the queue. */
static always_inline struct waiter *
case_waiter(struct select *s, int i)
{
	struct waiter *w = &s->rooms[i].w;

	w->task = s->t;
	w->ticket = s->ticket;
	w->slot = s->cases[i].co__slot;
	w->index = i;
	w->status = 0;
	w->multi = true;
	return w;
}

#endif

/* SPDX-License-Identifier: MIT */
/*
 * chan.h - a channel from the inside: what chan.c and select.c share.
 *
 * Layer 6.  Used by chan.c and select.c, and read by dumps; the invariants are
 * in chan.c.
 *
 * An operation has two halves.  chan_put and chan_get decide, under the lock,
 * and commit; chan_put_rest and chan_get_rest, after unlocking, copy between
 * two frames and wake the other side.  The peer that the first half found has
 * lost its claim to us and sleeps until the second half wakes it.
 */
#ifndef WEFT_LIB_CHAN_H
#define WEFT_LIB_CHAN_H

#include "alone.h"
#include "select.h"

struct chan_block;

struct chan {
	struct lock lock;	/* LOCK_CHAN */
	uint32_t closed;	/* [lock; atomic read by anybody] */
	size_t size;		/* [const] of a value */
	size_t limit;		/* [const] values in the ring; 0: rendezvous,
				   or unbounded */
	size_t count;		/* [lock; atomic read by anybody] buffered */
	struct waitq recvq;	/* [lock] */
	struct waitq sendq;	/* [lock] */
	/* Second cache line: what a rendezvous does not need. */
	char *rd, *wr;		/* [lock] next to take, next to fill */
	char *buf, *end;	/* [const] the ring */
	size_t refs;		/* [atomic] */
	bool unbounded;		/* [const] blocks instead of a ring */
	struct chan_block *first, *last;	/* [lock] rd is in first, wr in
						   last */
	struct chan_block *spare;		/* [lock] at most one */
};

/*
 * The operations on a channel, and on its queues, come in two forms, chosen by
 * a constant: in the section of a lone worker (lock.h, SOLO), where a claim is
 * a comparison and a store; and under the lock, beside other threads.
 */
void co__chan_copy(void *to, const void *from, size_t size);
int co__chan_block_put(struct chan *c, const void *value);
void co__chan_block_get(struct chan *c, void *value);
#ifdef WEFT_DEBUG
void co__chan_check(const struct chan *c);
#else
#define co__chan_check(c)	((void)(c))
#endif

/*
 * Takes the first waiter whose claim is won off the queue, as waitq_claim, but
 * in a section that is open already.
 */
static always_inline struct waiter *
chan_claim(struct waitq *q, bool solo)
{
	struct waiter *w;

	if (!solo)
		return waitq_claim(q);
	while (likely((w = q->head) != NULL)) {
		q->head = w->next;
		if (w->next)
			w->next->prev = NULL;
		else
			q->tail = NULL;
		w->queued = false;
		if (likely(alone_claim(w->task, w->ticket)))
			return w;
	}
	return NULL;
}

/* The sizes of most values take a load and a store. */
static always_inline void
chan_copy(void *to, const void *from, size_t size)
{
	if (likely(size == 8))
		memcpy(to, from, 8);
	else if (likely(size == 4))
		memcpy(to, from, 4);
	else
		co__chan_copy(to, from, size);
}

/* c->lock held, count < limit. */
static always_inline void
chan_ring_put(struct chan *c, const void *value)
{
	char *next = c->wr + c->size;

	chan_copy(c->wr, value, c->size);
	c->wr = next == c->end ? c->buf : next;
	a_store_relaxed(&c->count, c->count + 1);
}

/* c->lock held, count > 0. */
static always_inline void
chan_ring_get(struct chan *c, void *value)
{
	char *next = c->rd + c->size;

	chan_copy(value, c->rd, c->size);
	c->rd = next == c->end ? c->buf : next;
	a_store_relaxed(&c->count, c->count - 1);
}

/*
 * c->lock held.  0: sent, once chan_put_rest has been called with *ret_peer
 * after unlocking, if it is not NULL.  -EPIPE; -EAGAIN; -ENOMEM.
 */
static always_inline int
chan_put(struct chan *c, const void *value, struct waiter **ret_peer,
    bool solo)
{
	*ret_peer = NULL;
	if (unlikely(c->closed))
		return -EPIPE;
	if (!waitq_empty(&c->recvq)) {
		*ret_peer = chan_claim(&c->recvq, solo);
		if (likely(*ret_peer != NULL))
			return 0;
	}
	if (c->count < c->limit) {
		chan_ring_put(c, value);
		return 0;
	}
	if (unlikely(c->unbounded))
		return co__chan_block_put(c, value);
	return -EAGAIN;
}

/* alone: the caller, if the peer was claimed in its solo; else NULL. */
static always_inline void
chan_wake(struct waiter *peer, struct self *alone)
{
	if (alone)
		alone_wake(alone, peer->task, peer->index);
	else
		waiter_wake(peer);
}

static always_inline void
chan_put_rest(struct chan *c, const void *value, struct waiter *peer,
    struct self *alone)
{
	chan_copy(peer->slot, value, c->size);
	chan_wake(peer, alone);
}

/*
 * c->lock held.  0: received, once chan_get_rest has been called with
 * *ret_peer after unlocking, if it is not NULL.  -EPIPE, and the caller zeroes
 * the value; -EAGAIN.
 */
static always_inline int
chan_get(struct chan *c, void *value, struct waiter **ret_peer, bool solo)
{
	struct waiter *w = NULL;

	if (c->count > 0) {
		if (unlikely(c->unbounded))
			co__chan_block_get(c, value);
		else
			chan_ring_get(c, value);
		if (!waitq_empty(&c->sendq)) {
			w = chan_claim(&c->sendq, solo);
			if (likely(w != NULL))	/* keeps I3 */
				chan_ring_put(c, w->slot);
		}
		*ret_peer = w;
		return 0;
	}
	if (!waitq_empty(&c->sendq))
		w = chan_claim(&c->sendq, solo);
	*ret_peer = w;
	if (likely(w != NULL))
		return 0;
	return unlikely(c->closed) ? -EPIPE : -EAGAIN;
}

static always_inline void
chan_get_rest(struct chan *c, void *value, struct waiter *peer,
    struct self *alone)
{
	if (c->limit == 0)	/* else its value went into the ring */
		chan_copy(value, peer->slot, c->size);
	chan_wake(peer, alone);
}

#endif

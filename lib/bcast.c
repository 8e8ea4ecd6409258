/* SPDX-License-Identifier: MIT */
/*
 * bcast.c - every value to every subscriber, from a ring that all read.
 *
 * Layer 6.  Built on select.  Values have numbers; `next` is the number of the
 * next to be sent, and value n lies in slot n % capacity.  One lock covers the
 * broadcast and all its subscriptions.
 *
 * True whenever the lock is free:
 *
 *	I1  slot.readers is how many subscriptions have yet to read the slot.
 *	I2  a subscription that somebody waits on has read everything.
 *	I3  policy WAIT: no slot with readers > 0 is overwritten; a sender waits
 *	    only while the slot of value `next` has readers.
 *	I4  policy DROP: nobody is in sendq.
 *	I5  closed  =>  nobody is in any queue.
 *
 * A waiting receiver gets the value from the sender, straight into its frame.
 * Values are copied under the lock: what is in the ring may be overwritten as
 * soon as it is free.
 */
#include <weft/values.h>

#include "select.h"
#include "sync.h"

#include <stdlib.h>

struct slot {
	size_t readers;		/* [lock] */
};

struct bcast {
	struct lock lock;	/* LOCK_CHAN */
	bool closed;		/* [lock] */
	bool drop;		/* [const] policy */
	size_t size;		/* [const] of a value */
	size_t stride;		/* [const] from value to value */
	size_t capacity;	/* [const] */
	size_t refs;		/* [atomic] of the broadcast itself */
	size_t holds;		/* [atomic] subscriptions, and 1 for refs > 0 */
	uint64_t next;		/* [lock] number of the next value */
	struct waitq sendq;	/* [lock] */
	struct sub *subs;	/* [lock] */
	size_t nsubs;		/* [lock] */
	struct slot *slot;	/* [const] */
	char *buf;		/* [lock] */
};

struct sub {
	struct bcast *b;	/* [const] */
	struct sub *link, **back;	/* [b->lock] b->subs */
	uint64_t next;		/* [b->lock] number of the next to read */
	struct waitq q;		/* [b->lock] */
	size_t refs;		/* [atomic] */
};

/* Claimed waiters to be woken after the lock, the first to come first. */
struct woken {
	struct waiter *first, **end;
};

static void
woken_add(struct woken *l, struct waiter *w)
{
	w->next = NULL;
	*l->end = w;
	l->end = &w->next;
}

static void
unlock_and_wake(struct bcast *b, struct woken *l)
{
	lock_drop(&b->lock, LOCK_CHAN);
	co__sync_wake(l->first);
}

/* --- life ---------------------------------------------------------------- */

EXPORT void *
co__bcast_new(size_t size, size_t align, size_t capacity, int policy)
{
	size_t slots, values, head, stride;
	struct bcast *b;

	if (align < CACHE_LINE)
		align = CACHE_LINE;
	stride = size;
	if (capacity == 0 || (policy != CO_BCAST_WAIT &&
	    policy != CO_BCAST_DROP) || chaos_fail() ||
	    __builtin_mul_overflow(capacity, sizeof *b->slot, &slots) ||
	    __builtin_mul_overflow(capacity, stride, &values) ||
	    slots > PTRDIFF_MAX / 4 || values > PTRDIFF_MAX / 4)
		return NULL;
	head = round_up(sizeof *b + slots, align);
	b = aligned_alloc(align, round_up(head + values, align));
	if (!b)
		return NULL;
	memset(b, 0, head);
	b->drop = policy == CO_BCAST_DROP;
	b->size = size;
	b->stride = stride;
	b->capacity = capacity;
	b->refs = b->holds = 1;
	b->slot = (struct slot *)(void *)(b + 1);
	b->buf = (char *)b + head;
	return b;
}

static void
release(struct bcast *b)
{
	if (a_add_acqrel(&b->holds, (size_t)-1) == 1)
		free(b);
}

EXPORT void *
co_bcast_ref(void *bcast)
{
	struct bcast *b = bcast;

	if (b)
		a_add_relaxed(&b->refs, 1);	/* who has one may give one */
	return b;
}

EXPORT void
co_bcast_unref(void *bcast)
{
	struct bcast *b = bcast;

	if (!b || a_add_acqrel(&b->refs, (size_t)-1) != 1)
		return;
	co_bcast_close(b);
	release(b);
}

/* --- sending ------------------------------------------------------------- */

static char *
value_at(const struct bcast *b, uint64_t n)
{
	return b->buf + n % b->capacity * b->stride;
}

static struct slot *
slot_at(const struct bcast *b, uint64_t n)
{
	return &b->slot[n % b->capacity];
}

static void
copy(void *to, const void *from, const struct bcast *b)
{
	if (b->size)
		memcpy(to, from, b->size);
}

static void
clear(void *to, const struct bcast *b)
{
	if (b->size)
		memset(to, 0, b->size);
}

static bool
has_room(const struct bcast *b)
{
	return b->drop || slot_at(b, b->next)->readers == 0;
}

/* Lock held, has_room.  To those who wait at once; into the ring for the
   rest. */
static void
put(struct bcast *b, const void *value, struct woken *l)
{
	struct slot *slot = slot_at(b, b->next);
	struct waiter *w;
	struct sub *s;

	slot->readers = 0;
	for (s = b->subs; s; s = s->link) {
		w = waitq_claim(&s->q);
		if (w) {
			copy(w->slot, value, b);
			w->status = 0;
			s->next = b->next + 1;
			woken_add(l, w);
		} else {
			slot->readers++;
		}
	}
	if (slot->readers)
		copy(value_at(b, b->next), value, b);
	b->next++;
}

/* Lock held.  Room has been made: senders that wait go ahead. */
static void
let_senders_in(struct bcast *b, struct woken *l)
{
	struct waiter *w;

	while (has_room(b) && (w = waitq_claim(&b->sendq)) != NULL) {
		put(b, w->slot, l);
		w->status = 0;
		woken_add(l, w);
	}
}

/* b->lock held; dropped. */
static int
wait_in(struct bcast *b, struct waitq *q, struct task *t,
    enum wait_reason why, void *slot)
{
	struct waiter w = { .task = t, .slot = slot };
	int code;

	w.ticket = wait_begin(t, why, b);
	waitq_push(q, &w);
	lock_drop(&b->lock, LOCK_CHAN);
	code = wait_park(t, CO_FOREVER);
	if (likely(code >= 0)) {
		/* A scope's code may be -EPIPE too, and has no effect. */
		if (w.status == -EPIPE && why == WAIT_SUB)
			clear(slot, b);
		return w.status;
	}
	lock_take(&b->lock, LOCK_CHAN);
	waitq_remove(q, &w);
	lock_drop(&b->lock, LOCK_CHAN);
	return code;
}

EXPORT int
co__bcast_send(void *bcast, const void *value)
{
	struct bcast *b = bcast;
	struct task *t;
	struct woken l = { NULL, &l.first };
	int code;

	if (unlikely(!b))
		return -EINVAL;
	code = wait_enter(&t);
	if (unlikely(code))
		return code;
	lock_take(&b->lock, LOCK_CHAN);
	if (b->closed) {
		lock_drop(&b->lock, LOCK_CHAN);
		return -EPIPE;
	}
	if (!has_room(b))	/* the slot is only read */
		return wait_in(b, &b->sendq, t, WAIT_BCAST, (void *)value);
	put(b, value, &l);
	unlock_and_wake(b, &l);
	return 0;
}

static void
claim_all(struct waitq *q, struct woken *l)
{
	struct waiter *w;

	while ((w = waitq_claim(q)) != NULL) {
		w->status = -EPIPE;
		woken_add(l, w);
	}
}

EXPORT int
co_bcast_close(void *bcast)
{
	struct bcast *b = bcast;
	struct woken l = { NULL, &l.first };
	struct sub *s;

	if (!b)
		return -EINVAL;
	lock_take(&b->lock, LOCK_CHAN);
	if (b->closed) {
		lock_drop(&b->lock, LOCK_CHAN);
		return -EPIPE;
	}
	b->closed = true;
	claim_all(&b->sendq, &l);
	for (s = b->subs; s; s = s->link)
		claim_all(&s->q, &l);
	unlock_and_wake(b, &l);
	return 0;
}

/* --- subscribing --------------------------------------------------------- */

EXPORT void *
co__bcast_subscribe(void *bcast)
{
	struct bcast *b = bcast;
	struct sub *s = b && !chaos_fail() ? calloc(1, sizeof *s) : NULL;

	if (!s)
		return NULL;
	s->b = b;
	s->refs = 1;
	a_add_relaxed(&b->holds, 1);	/* the caller has a reference */
	lock_take(&b->lock, LOCK_CHAN);
	s->next = b->next;
	s->link = b->subs;
	s->back = &b->subs;
	if (s->link)
		s->link->back = &s->link;
	b->subs = s;
	b->nsubs++;
	lock_drop(&b->lock, LOCK_CHAN);
	return s;
}

EXPORT void *
co_sub_ref(void *sub)
{
	struct sub *s = sub;

	if (s)
		a_add_relaxed(&s->refs, 1);	/* who has one may give one */
	return s;
}

/* Lock held.  The first value that is still in the ring and not read. */
static uint64_t
first_kept(const struct bcast *b, const struct sub *s)
{
	uint64_t oldest = b->next > b->capacity ? b->next - b->capacity : 0;

	return s->next < oldest ? oldest : s->next;
}

EXPORT void
co_sub_unref(void *sub)
{
	struct sub *s = sub;
	struct bcast *b;
	struct woken l = { NULL, &l.first };
	uint64_t n;

	if (!s || a_add_acqrel(&s->refs, (size_t)-1) != 1)
		return;
	b = s->b;
	lock_take(&b->lock, LOCK_CHAN);
	debug_assert(waitq_empty(&s->q));
	for (n = first_kept(b, s); n < b->next; n++)
		slot_at(b, n)->readers--;
	*s->back = s->link;
	if (s->link)
		s->link->back = s->back;
	b->nsubs--;
	let_senders_in(b, &l);
	unlock_and_wake(b, &l);
	free(s);
	release(b);
}

/* --- receiving ----------------------------------------------------------- */

/* Lock held.  How many were missed, -EPIPE, or -EAGAIN. */
static int
get(struct sub *s, void *ret_value, struct woken *l)
{
	struct bcast *b = s->b;
	uint64_t n = first_kept(b, s), missed = n - s->next;

	if (s->next == b->next)
		return b->closed ? -EPIPE : -EAGAIN;
	copy(ret_value, value_at(b, n), b);
	slot_at(b, n)->readers--;
	s->next = n + 1;
	let_senders_in(b, l);
	return missed < INT_MAX ? (int)missed : INT_MAX;
}

EXPORT int
co__sub_recv(void *sub, void *ret_value)
{
	struct sub *s = sub;
	struct task *t;
	struct woken l = { NULL, &l.first };
	int code;

	if (unlikely(!s))
		return -EINVAL;
	code = wait_enter(&t);
	if (unlikely(code))
		return code;
	lock_take(&s->b->lock, LOCK_CHAN);
	code = get(s, ret_value, &l);
	if (code == -EAGAIN)
		return wait_in(s->b, &s->q, t, WAIT_SUB, ret_value);
	unlock_and_wake(s->b, &l);
	if (unlikely(code == -EPIPE))
		clear(ret_value, s->b);
	return code;
}

/* --- as a case of a select ----------------------------------------------- */

static struct sub *
case_sub(const struct co_case *c)
{
	return c->co__obj;
}

static int
case_open(struct co_case *c)
{
	return c->co__obj ? 0 : -EINVAL;
}

static struct lock *
case_lock(struct co_case *c)
{
	return &case_sub(c)->b->lock;
}

static bool
case_take(struct co_case *c, struct case_taken *taken)
{
	struct woken l = { NULL, &l.first };

	taken->status = get(case_sub(c), c->co__slot, &l);
	taken->more = l.first;	/* woken by finish, after the lock */
	return taken->status != -EAGAIN;
}

static void
case_finish(struct co_case *c, struct case_taken *taken)
{
	co__sync_wake(taken->more);
	if (taken->status == -EPIPE)
		clear(c->co__slot, case_sub(c)->b);
}

static int
case_enqueue(struct co_case *c, struct waiter *w)
{
	waitq_push(&case_sub(c)->q, w);
	return 0;
}

static void
case_dequeue(struct co_case *c, struct waiter *w)
{
	waitq_remove(&case_sub(c)->q, w);
}

static int
case_chosen(struct co_case *c, struct waiter *w)
{
	if (w->status == -EPIPE)
		clear(c->co__slot, case_sub(c)->b);
	return w->status;
}

static const struct case_ops sub_case = {
	.why = WAIT_SUB,
	.rank = LOCK_CHAN,
	.open = case_open,
	.lock = case_lock,
	.take = case_take,
	.finish = case_finish,
	.enqueue = case_enqueue,
	.dequeue = case_dequeue,
	.chosen = case_chosen,
};

EXPORT struct co_case
co__on_sub(void *sub, void *value, int *status)
{
	return co__case((uintptr_t)&sub_case, sub, value, status);
}

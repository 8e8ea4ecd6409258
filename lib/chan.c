/* SPDX-License-Identifier: MIT */
/*
 * chan.c - channels: make, send, receive, close.  Many at once: select.c.
 *
 * Layer 6.  Built on park and waiter.
 *
 * True whenever c->lock is free (co__chan_check tests I2 to I5):
 *
 *	I1  recvq or sendq is empty.  One exception: a select that waits, or
 *	    waited, on both sides of the same unbuffered channel.
 *	I2  count > 0          =>  recvq is empty
 *	I3  count < limit      =>  sendq is empty
 *	I4  closed             =>  sendq and recvq are empty
 *	I5  count <= limit, unless unbounded; unbounded  =>  sendq is empty
 *
 * "Empty" is meant to the letter: a waiter that another case of its select has
 * taken from us is thrown out by whoever meets it, before it acts as if the
 * queue were empty.
 *
 * Locks: c->lock, rank LOCK_CHAN; several at once only in select.c.  Nobody is
 * woken under it, so that the woken task does not run into a held lock; and
 * what goes from frame to frame is copied after it, however large it is.
 *
 * Rejected: a lock-free ring for the buffered case.  Select needs to look at
 * several channels at one moment, and close needs to empty both queues at one
 * moment; and where one worker is alone the lock costs two plain stores.
 */
#include "chan.h"

#include <stdlib.h>

/* --- unbounded: blocks of values ------------------------------------------ */

struct chan_block {
	struct chan_block *next;	/* [lock] */
	char *end;			/* [const] of its values */
	size_t align;			/* [const] */
};

/* About a page of values, but at least one: a guess, not measured. */
enum { BLOCK_BYTES = 4096 - 64 };

static char *
block_begin(struct chan_block *b)
{
	return (char *)b + round_up(sizeof(*b), b->align);
}

static struct chan_block *
block_new(size_t size, size_t align)
{
	size_t n = size < BLOCK_BYTES ? BLOCK_BYTES / size : 1;
	size_t head = round_up(sizeof(struct chan_block), align);
	struct chan_block *b;

	if (chaos_fail())
		return NULL;
	b = aligned_alloc(align, round_up(head + n * size, align));
	if (!b)
		return NULL;
	b->next = NULL;
	b->align = align;
	b->end = block_begin(b) + n * size;
	return b;
}

/*
 * c->lock held.  0 or -ENOMEM.  Once in a page of values it calls malloc under
 * the lock.  That keeps a send from a select as simple as any other: there the
 * locks of many cases are held and cannot be let go for it.
 */
noinline int
co__chan_block_put(struct chan *c, const void *value)
{
	struct chan_block *b;

	if (unlikely(c->wr == c->last->end)) {
		b = c->spare;
		if (!b)
			b = block_new(c->size, c->last->align);
		if (!b)
			return -ENOMEM;
		c->spare = NULL;
		b->next = NULL;
		c->last->next = b;
		c->last = b;
		c->wr = block_begin(b);
	}
	chan_copy(c->wr, value, c->size);
	c->wr += c->size;
	a_store_relaxed(&c->count, c->count + 1);
	return 0;
}

/* c->lock held, count > 0. */
noinline void
co__chan_block_get(struct chan *c, void *value)
{
	struct chan_block *b = c->first;

	if (unlikely(c->rd == b->end)) {
		c->first = b->next;
		c->rd = block_begin(c->first);
		if (c->spare)
			free(b);
		else
			c->spare = b;
	}
	chan_copy(value, c->rd, c->size);
	c->rd += c->size;
	a_store_relaxed(&c->count, c->count - 1);
	if (c->count == 0)	/* then first == last: use it again */
		c->rd = c->wr = block_begin(c->first);
}

/* --- life ----------------------------------------------------------------- */

static int
ring_init(struct chan *c, size_t capacity, size_t head)
{
	c->limit = capacity;
	c->buf = (char *)c + head;
	c->end = c->buf + capacity * c->size;
	c->rd = c->wr = c->buf;
	return 0;
}

static int
blocks_init(struct chan *c, size_t align)
{
	c->first = c->last = block_new(c->size, align);
	if (!c->first)
		return -ENOMEM;
	c->unbounded = true;
	c->rd = c->wr = block_begin(c->first);
	return 0;
}

/* NULL: no memory, or a capacity that no memory could hold. */
EXPORT void *
co__chan_new(size_t size, size_t align, size_t capacity)
{
	bool blocks = capacity == CHAN_UNBOUNDED && size > 0;
	size_t bytes = 0, head;
	struct chan *c;

	if (align < CACHE_LINE)
		align = CACHE_LINE;
	head = round_up(sizeof(*c), align);
	if (!blocks && __builtin_mul_overflow(size, capacity, &bytes))
		return NULL;
	if (bytes > PTRDIFF_MAX - head - align || chaos_fail())
		return NULL;
	c = aligned_alloc(align, round_up(head + bytes, align));
	if (!c)
		return NULL;
	memset(c, 0, sizeof(*c));
	c->size = size;
	c->refs = 1;
	if ((blocks ? blocks_init(c, align) :
	    ring_init(c, capacity, head)) < 0) {
		free(c);
		return NULL;
	}
	return c;
}

static cold void
chan_free(struct chan *c)
{
	struct chan_block *b;

	debug_assert(waitq_empty(&c->recvq) && waitq_empty(&c->sendq));
	free(c->spare);
	while ((b = c->first) != NULL) {
		c->first = b->next;
		free(b);
	}
	free(c);
}

EXPORT void *
chan_ref(void *ch)
{
	struct chan *c = ch;

	if (c)		/* relaxed: the caller has one already */
		a_add_relaxed(&c->refs, 1);
	return ch;
}

EXPORT void
chan_unref(void *ch)
{
	struct chan *c = ch;

	if (c && a_add_acqrel(&c->refs, (size_t)-1) == 1)
		chan_free(c);
}

/* --- send and receive ----------------------------------------------------- */

void
co__chan_copy(void *to, const void *from, size_t size)
{
	switch (size) {
	case 0:
		break;
	case 1:
		memcpy(to, from, 1);
		break;
	case 2:
		memcpy(to, from, 2);
		break;
	case 16:
		memcpy(to, from, 16);
		break;
	default:
		memcpy(to, from, size);
	}
}

#ifdef WEFT_DEBUG
void
co__chan_check(const struct chan *c)
{
	bug_if(c->count > 0 && !waitq_empty(&c->recvq));		/* I2 */
	bug_if(c->count < c->limit && !waitq_empty(&c->sendq));		/* I3 */
	bug_if(c->closed && !waitq_empty(&c->recvq));			/* I4 */
	bug_if(c->closed && !waitq_empty(&c->sendq));
	bug_if(!c->unbounded && c->count > c->limit);			/* I5 */
	bug_if(c->unbounded && !waitq_empty(&c->sendq));
}
#endif

/*
 * alone is the calling thread where it needs no lock, being in the section of
 * its solo; else it is NULL and the lock is held.
 */
static always_inline void
chan_unlock(struct chan *c, struct self *alone)
{
	co__chan_check(c);
	if (alone)
		alone_leave(alone);
	else
		lock_drop(&c->lock, LOCK_CHAN);
}

/* c is locked; unlocked.  0, -EPIPE, or the code of the scope that ended. */
static always_inline int
chan_wait(struct chan *c, struct waitq *q, enum wait_reason why, void *slot,
    struct task *t, struct self *alone)
{
	struct waiter w;
	int code;

	w.task = t;
	w.slot = slot;
	w.index = 0;
	w.status = 0;
	w.multi = false;
	w.ticket = alone ? alone_begin(alone, t, why, c) :
	    wait_begin(t, why, c);
	waitq_push(q, &w);
	chan_unlock(c, alone);
	code = alone ? alone_park(alone, t) : wait_park_raw(t, CO_FOREVER);
	if (likely(code >= 0)) {
		/* A scope's code may be -EPIPE too, and has no effect. */
		if (unlikely(w.status == -EPIPE) && why == WAIT_RECV)
			memset(slot, 0, c->size);
		return w.status;
	}
	lock_take(&c->lock, LOCK_CHAN);
	waitq_remove(q, &w);
	lock_drop(&c->lock, LOCK_CHAN);
	return code;
}

/*
 * Functions of their own, so that who need not wait saves no registers.  They
 * are called last: the compiler jumps to them, and there is no frame more to
 * return through (alone.h).  A waiting sender's slot is only read.
 */
static noinline int
send_wait(struct chan *c, const void *value, struct task *t)
{
	return chan_wait(c, &c->sendq, WAIT_SEND, (void *)value, t, NULL);
}

static noinline int
recv_wait(struct chan *c, void *value, struct task *t)
{
	return chan_wait(c, &c->recvq, WAIT_RECV, value, t, NULL);
}

static noinline returns_by_jump not_null int
send_wait_alone(struct chan *c, const void *value, struct task *t,
    struct self *alone)
{
	return chan_wait(c, &c->sendq, WAIT_SEND, (void *)value, t, alone);
}

static noinline returns_by_jump not_null int
recv_wait_alone(struct chan *c, void *value, struct task *t,
    struct self *alone)
{
	return chan_wait(c, &c->recvq, WAIT_RECV, value, t, alone);
}

/* c is locked; unlocked.  t is NULL: does not wait. */
static always_inline int
chan_send_in(struct chan *c, const void *value, struct task *t,
    struct self *alone)
{
	struct waiter *peer;
	int code = chan_put(c, value, &peer, alone != NULL);

	if (code == -EAGAIN && t)
		return alone ? send_wait_alone(c, value, t, alone) :
		    send_wait(c, value, t);
	chan_unlock(c, alone);
	if (peer)
		chan_put_rest(c, value, peer, alone);
	return code;
}

static always_inline int
chan_recv_in(struct chan *c, void *value, struct task *t, struct self *alone)
{
	struct waiter *peer;
	int code = chan_get(c, value, &peer, alone != NULL);

	if (code == -EAGAIN && t)
		return alone ? recv_wait_alone(c, value, t, alone) :
		    recv_wait(c, value, t);
	chan_unlock(c, alone);
	if (peer)
		chan_get_rest(c, value, peer, alone);
	else if (unlikely(code == -EPIPE))
		memset(value, 0, c->size);
	return code;
}

/* No channel at all: only the end of a scope ends this. */
static cold int
wait_for_nothing(struct task *t, enum wait_reason why)
{
	(void)wait_begin(t, why, NULL);
	return wait_park(t, CO_FOREVER);
}

/*
 * What is not the common case, out of its way: another thread is there, the
 * scope has ended, there is no channel.
 */
static noinline int
send_any(struct chan *c, const void *value)
{
	struct task *t;
	int code;

	code = wait_enter(&t);
	if (unlikely(code))
		return code;
	if (unlikely(!c))
		return wait_for_nothing(t, WAIT_SEND);
	lock_take(&c->lock, LOCK_CHAN);
	return chan_send_in(c, value, t, NULL);
}

static noinline int
recv_any(struct chan *c, void *value)
{
	struct task *t;
	int code;

	code = wait_enter(&t);
	if (unlikely(code))
		return code;
	if (unlikely(!c))
		return wait_for_nothing(t, WAIT_RECV);
	lock_take(&c->lock, LOCK_CHAN);
	return chan_recv_in(c, value, t, NULL);
}

static noinline int
try_send_any(struct chan *c, const void *value)
{
	lock_take(&c->lock, LOCK_CHAN);
	return chan_send_in(c, value, NULL, NULL);
}

static noinline int
try_recv_any(struct chan *c, void *value)
{
	lock_take(&c->lock, LOCK_CHAN);
	return chan_recv_in(c, value, NULL, NULL);
}

/* The calling coroutine, if its scope has not ended; else NULL. */
static always_inline struct task *
waiting_task(struct self *self)
{
	struct task *t = self->current;

	return likely(t != NULL) && likely(a_load_relaxed(&t->ended) == 0) ?
	    t : NULL;
}

/* In the section of the caller's solo, which it leaves. */
static noinline not_null int
send_alone(struct chan *c, const void *value, struct task *t,
    struct self *self)
{
	return chan_send_in(c, value, t, self);
}

static noinline not_null int
recv_alone(struct chan *c, void *value, struct task *t, struct self *self)
{
	return chan_recv_in(c, value, t, self);
}

/* Its values are copied without a call. */
static always_inline bool
is_small(const struct chan *c)
{
	return likely(c->size == 8) || likely(c->size == 4);
}

/*
 * A small value that goes into the ring or comes from it, and one that must be
 * waited for: these need no call but the last thing they do, so that no
 * registers are saved.  All else is for send_alone and recv_alone, which look
 * at everything.
 */
EXPORT int
co__chan_send(void *ch, const void *value)
{
	struct self *self = self_get();
	struct task *t = waiting_task(self);
	struct chan *c = ch;

	if (unlikely(!t) || unlikely(!c) || unlikely(!alone_enter(self)))
		return send_any(c, value);
	if (unlikely(c->closed) || !waitq_empty(&c->recvq))
		return send_alone(c, value, t, self);
	if (c->count >= c->limit)
		return likely(!c->unbounded) ?
		    send_wait_alone(c, value, t, self) :
		    send_alone(c, value, t, self);
	if (unlikely(!is_small(c)))
		return send_alone(c, value, t, self);
	chan_ring_put(c, value);
	chan_unlock(c, self);
	return 0;
}

EXPORT int
co__chan_recv(void *ch, void *value)
{
	struct self *self = self_get();
	struct task *t = waiting_task(self);
	struct chan *c = ch;

	if (unlikely(!t) || unlikely(!c) || unlikely(!alone_enter(self)))
		return recv_any(c, value);
	if (!waitq_empty(&c->sendq))
		return recv_alone(c, value, t, self);
	if (c->count == 0)
		return likely(!c->closed) ?
		    recv_wait_alone(c, value, t, self) :
		    recv_alone(c, value, t, self);
	if (unlikely(c->unbounded) || unlikely(!is_small(c)))
		return recv_alone(c, value, t, self);
	chan_ring_get(c, value);
	chan_unlock(c, self);
	return 0;
}

EXPORT int
co__chan_try_send(void *ch, const void *value)
{
	struct self *self = self_get();

	if (unlikely(!ch))
		return -EAGAIN;
	if (likely(self->worker != NULL) && likely(alone_enter(self)))
		return chan_send_in(ch, value, NULL, self);
	return try_send_any(ch, value);
}

EXPORT int
co__chan_try_recv(void *ch, void *value)
{
	struct self *self = self_get();

	if (unlikely(!ch))
		return -EAGAIN;
	if (likely(self->worker != NULL) && likely(alone_enter(self)))
		return chan_recv_in(ch, value, NULL, self);
	return try_recv_any(ch, value);
}

/* --- close, and looking at it --------------------------------------------- */

/* c->lock held.  Moves all waiters whose claim is won from q to woken. */
static void
claim_all(struct waitq *q, struct waitq *woken)
{
	struct waiter *w;

	while ((w = waitq_claim(q)) != NULL) {
		w->status = -EPIPE;
		waitq_push(woken, w);
	}
}

EXPORT int
chan_close(void *ch)
{
	struct waitq woken = { NULL, NULL };
	struct chan *c = ch;
	struct waiter *w, *next;

	if (!c)
		return -EINVAL;
	lock_take(&c->lock, LOCK_CHAN);
	if (c->closed) {
		lock_drop(&c->lock, LOCK_CHAN);
		return -EPIPE;
	}
	a_store_relaxed(&c->closed, 1);
	claim_all(&c->recvq, &woken);
	claim_all(&c->sendq, &woken);
	co__chan_check(c);
	lock_drop(&c->lock, LOCK_CHAN);
	for (w = woken.head; w; w = next) {
		next = w->next;		/* w goes with the wake-up */
		task_wake_late(w->task, w->index);	/* in their order */
	}
	return 0;
}

/* Relaxed, all three: a count that was true a moment ago promises nothing
   about any other memory. */
EXPORT size_t
chan_len(const void *ch)
{
	const struct chan *c = ch;

	return c ? a_load_relaxed(&c->count) : 0;
}

EXPORT size_t
chan_cap(const void *ch)
{
	const struct chan *c = ch;

	if (!c)
		return 0;
	return c->unbounded ? CHAN_UNBOUNDED : c->limit;
}

EXPORT bool
chan_closed(const void *ch)
{
	const struct chan *c = ch;

	return c && a_load_relaxed(&c->closed) != 0;
}

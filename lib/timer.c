/* SPDX-License-Identifier: MIT */
/*
 * timer.c - heaps with four children to a node.
 *
 * Layer 4.  Invariants, with h->lock free, for each heap x of the two:
 *
 *	I1  x.at[i] is not later than any of x.at[4i+1 .. 4i+4].
 *	I2  pos[x.at[i].node] == i, for all i < count.
 *	I3  next is the earlier of the two tops, or CO_FOREVER; wake likewise,
 *	    but the coarse heap's top counts TIMER_SLACK later.
 *
 * A wait that ends otherwise deletes its timer at once: a server that gives
 * every request ten seconds would keep a million dead entries.
 *
 * Two heaps, because a worker that sleeps between any two of a hundred
 * thousand timers spends its time going to sleep: a million naps of 1 to 1000
 * ms took three times the processor time with one.
 *
 * Rejected: a wheel, which is O(1) but coarse; sleeps end in the order of
 * their deadlines here, to the nanosecond.
 */
#include "timer.h"
#include "ticket.h"

#include <stdlib.h>

enum { CHILDREN = 4, NONE = 0xffffffffu, BATCH = 16 };

static bool
before(const struct timer_entry *a, const struct timer_entry *b)
{
	if (a->when != b->when)
		return a->when < b->when;
	return (int32_t)(a->seq - b->seq) < 0;
}

static void
place(struct timers *h, struct timer_heap *x, uint32_t i, struct timer_entry e)
{
	x->at[i] = e;
	h->pos[e.node] = i;
}

static void
sift_up(struct timers *h, struct timer_heap *x, uint32_t i,
    struct timer_entry e)
{
	while (i > 0) {
		uint32_t up = (i - 1) / CHILDREN;

		if (!before(&e, &x->at[up]))
			break;
		place(h, x, i, x->at[up]);
		i = up;
	}
	place(h, x, i, e);
}

static void
sift_down(struct timers *h, struct timer_heap *x, uint32_t i,
    struct timer_entry e)
{
	for (;;) {
		uint32_t c = i * CHILDREN + 1, best = c, end;

		if (c >= x->count)
			break;
		end = c + CHILDREN < x->count ? c + CHILDREN : x->count;
		while (++c < end)
			if (before(&x->at[c], &x->at[best]))
				best = c;
		if (!before(&x->at[best], &e))
			break;
		place(h, x, i, x->at[best]);
		i = best;
	}
	place(h, x, i, e);
}

static co_time
top(const struct timer_heap *x)
{
	return x->count ? x->at[0].when : CO_FOREVER;
}

static void
note_next(struct timers *h)
{
	co_time exact = top(&h->heap[TIMER_EXACT]);
	co_time coarse = top(&h->heap[TIMER_COARSE]), late;

	late = coarse < CO_FOREVER - TIMER_SLACK ? coarse + TIMER_SLACK :
	    CO_FOREVER;
	a_store_relaxed(&h->wake, exact < late ? exact : late);
	a_store_release(&h->next, exact < coarse ? exact : coarse);
}

static void
take_out(struct timers *h, struct timer_heap *x, uint32_t i)
{
	uint32_t id = x->at[i].node;
	struct timer_entry last = x->at[--x->count];

	if (i < x->count) {
		if (i > 0 && before(&last, &x->at[(i - 1) / CHILDREN]))
			sift_up(h, x, i, last);
		else
			sift_down(h, x, i, last);
	}
	h->node[id].armed = 0;
	h->pos[id] = h->free;
	h->free = id;
}

static int
grow_nodes(struct timers *h)
{
	uint32_t room = h->room ? h->room * 2 : 64, i;
	struct timer_node *node;
	uint32_t *pos;

	node = chaos_fail() ? NULL : realloc(h->node, room * sizeof *node);
	if (!node)
		return -ENOMEM;
	h->node = node;
	pos = chaos_fail() ? NULL : realloc(h->pos, room * sizeof *pos);
	if (!pos)
		return -ENOMEM;
	h->pos = pos;
	for (i = h->room; i < room; i++) {
		node[i].armed = 0;
		pos[i] = i + 1 < room ? i + 1 : NONE;
	}
	h->free = h->room;	/* called when there was none */
	h->room = room;
	return 0;
}

static void
free_heap(struct timer_heap *x)
{
	if (x->at)
		free(x->at - (CHILDREN - 1));
}

static int
grow_heap(struct timer_heap *x)
{
	uint32_t room = x->room ? x->room * 2 : 64;
	struct timer_entry *at;

	at = chaos_fail() ? NULL : aligned_alloc(CACHE_LINE,
	    (room + CHILDREN) * sizeof *at);
	if (!at)
		return -ENOMEM;
	at += CHILDREN - 1;
	if (x->count)
		memcpy(at, x->at, x->count * sizeof *at);
	free_heap(x);
	x->at = at;
	x->room = room;
	return 0;
}

void
timers_init(struct timers *h)
{
	memset(h, 0, sizeof *h);
	h->free = NONE;
	h->next = h->wake = CO_FOREVER;
}

void
timers_fini(struct timers *h)
{
	int i;

	for (i = 0; i < TIMER_HEAPS; i++)
		free_heap(&h->heap[i]);
	free(h->node);
	free(h->pos);
}

int
timer_add(struct timers *h, co_time now, co_time when, void *owner,
    uint64_t ticket, uint32_t *ret_id)
{
	bool coarse = when > now && (uint64_t)when - (uint64_t)now > TIMER_LONG;
	struct timer_heap *x = &h->heap[coarse];
	struct timer_entry e;
	struct timer_node *n;
	int code = 0;

	lock_take(&h->lock, LOCK_TIMER);
	if (unlikely(h->free == NONE))
		code = grow_nodes(h);
	if (unlikely(x->count == x->room) && code == 0)
		code = grow_heap(x);
	if (likely(code == 0)) {
		e = (struct timer_entry){ when, h->seq++, h->free };
		n = &h->node[e.node];
		h->free = h->pos[e.node];
		n->owner = owner;
		n->ticket = ticket;
		n->armed = 1 + coarse;
		*ret_id = e.node;
		sift_up(h, x, x->count++, e);
		note_next(h);
	}
	lock_drop(&h->lock, LOCK_TIMER);
	return code;
}

bool
timer_del(struct timers *h, uint32_t id, const void *owner, uint64_t ticket)
{
	struct timer_node *n;
	bool armed;

	lock_take(&h->lock, LOCK_TIMER);
	n = &h->node[id];
	armed = n->armed && n->owner == owner && n->ticket == ticket;
	if (armed) {
		take_out(h, &h->heap[n->armed - 1], h->pos[id]);
		note_next(h);
	}
	lock_drop(&h->lock, LOCK_TIMER);
	return armed;
}

/* The heap with the earlier top that is due, or NULL. */
static struct timer_heap *
next_due(struct timers *h, co_time now)
{
	struct timer_heap *a = &h->heap[TIMER_EXACT];
	struct timer_heap *b = &h->heap[TIMER_COARSE];

	if (!a->count || (b->count && before(&b->at[0], &a->at[0])))
		a = b;
	return a->count && a->at[0].when <= now ? a : NULL;
}

/* What is due and has left its heap, until its task is claimed. */
struct due {
	struct task *task;
	uint64_t ticket;
};

/*
 * The lock is held.  Takes out up to BATCH that are due, and asks for their
 * tasks' memory: of a hundred thousand sleepers none is in a cache, and the
 * misses of a batch overlap.  A scope ends it and is returned.
 */
static struct co_scope *
take_batch(struct timers *h, co_time now, struct due *batch, int *ret_n)
{
	struct timer_heap *x;
	struct timer_node *n;
	struct co_scope *s;
	int i;

	for (i = 0; i < BATCH && (x = next_due(h, now)) != NULL; i++) {
		n = &h->node[x->at[0].node];
		if (n->ticket == 0) {
			s = n->owner;
			take_out(h, x, 0);
			a_store_relaxed(&s->co__timer_state,
			    SCOPE_TIMER_FIRING);
			*ret_n = i;
			return s;
		}
		batch[i] = (struct due){ n->owner, n->ticket };
		__builtin_prefetch(n->owner, 1);
		__builtin_prefetch((char *)n->owner + CACHE_LINE, 1);
		take_out(h, x, 0);
	}
	*ret_n = i;
	return NULL;
}

/* The lock is held.  Tasks go to `due`, linked by next; a scope is returned,
   and the caller comes back for more. */
static struct co_scope *
collect(struct timers *h, co_time now, struct task **due, int *count)
{
	struct due batch[BATCH];
	struct co_scope *s;
	struct task *t;
	int n, i;

	do {
		s = take_batch(h, now, batch, &n);
		for (i = 0; i < n; i++) {
			t = batch[i].task;
			if (!wait_claim(t, batch[i].ticket))
				continue;
			if (t->kind == TASK_CORO)	/* where it goes on */
				__builtin_prefetch(t->u.run.ctx.sp);
			t->next = NULL;
			*due = t;
			due = &t->next;
		}
		*count += n + (s != NULL);
	} while (n == BATCH);
	return s;
}

int
timers_expire(struct timers *h, co_time now, void (*wake)(struct task *),
    void (*end)(struct co_scope *))
{
	struct co_scope *s;
	struct task *due, *t;
	int count = 0;

	do {
		due = NULL;
		lock_take(&h->lock, LOCK_TIMER);
		s = collect(h, now, &due, &count);
		note_next(h);
		lock_drop(&h->lock, LOCK_TIMER);
		while ((t = due) != NULL) {
			due = t->next;
			wake(t);
		}
		if (s)
			end(s);
	} while (s);
	return count;
}

/* SPDX-License-Identifier: MIT */
/*
 * timer.c - a heap with four children to a node.
 *
 * Layer 4.  Invariants, with h->lock free:
 *
 *	I1  heap[i] is not later than any of heap[4i+1 .. 4i+4].
 *	I2  node[heap[i].node].pos == i, for all i < count.
 *	I3  next == (count ? heap[0].when : CO_FOREVER).
 *
 * A wait that ends otherwise deletes its timer at once: a server that gives
 * every request ten seconds would keep a million dead entries.
 * Rejected: a wheel, which is O(1) but coarse; sleeps end in the order of
 * their deadlines here, to the nanosecond.
 */
#include "timer.h"
#include "park.h"

#include <stdlib.h>

enum { CHILDREN = 4, NONE = 0xffffffffu };

static bool
before(const struct timer_entry *a, const struct timer_entry *b)
{
	if (a->when != b->when)
		return a->when < b->when;
	return (int32_t)(a->seq - b->seq) < 0;
}

static void
place(struct timers *h, uint32_t i, struct timer_entry e)
{
	h->heap[i] = e;
	h->node[e.node].pos = i;
}

static void
sift_up(struct timers *h, uint32_t i, struct timer_entry e)
{
	while (i > 0) {
		uint32_t up = (i - 1) / CHILDREN;

		if (!before(&e, &h->heap[up]))
			break;
		place(h, i, h->heap[up]);
		i = up;
	}
	place(h, i, e);
}

static void
sift_down(struct timers *h, uint32_t i, struct timer_entry e)
{
	for (;;) {
		uint32_t c = i * CHILDREN + 1, best = c, end;

		if (c >= h->count)
			break;
		end = c + CHILDREN < h->count ? c + CHILDREN : h->count;
		while (++c < end)
			if (before(&h->heap[c], &h->heap[best]))
				best = c;
		if (!before(&h->heap[best], &e))
			break;
		place(h, i, h->heap[best]);
		i = best;
	}
	place(h, i, e);
}

static void
note_next(struct timers *h)
{
	a_store_release(&h->next, h->count ? h->heap[0].when : CO_FOREVER);
}

static void
take_out(struct timers *h, uint32_t i)
{
	uint32_t id = h->heap[i].node;
	struct timer_entry last = h->heap[--h->count];

	if (i < h->count) {
		if (i > 0 && before(&last, &h->heap[(i - 1) / CHILDREN]))
			sift_up(h, i, last);
		else
			sift_down(h, i, last);
	}
	h->node[id].armed = 0;
	h->node[id].pos = h->free;
	h->free = id;
}

static int
grow(struct timers *h)
{
	uint32_t room = h->room ? h->room * 2 : 64, i;
	struct timer_entry *heap;
	struct timer_node *node;

	if (chaos_fail())
		return -ENOMEM;
	heap = realloc(h->heap, room * sizeof *heap);
	if (!heap)
		return -ENOMEM;
	h->heap = heap;
	node = realloc(h->node, room * sizeof *node);
	if (!node)
		return -ENOMEM;
	h->node = node;
	for (i = h->room; i < room; i++) {
		node[i].armed = 0;
		node[i].pos = i + 1 < room ? i + 1 : NONE;
	}
	h->free = h->room;	/* grow is called when there was none */
	h->room = room;
	return 0;
}

void
timers_init(struct timers *h)
{
	memset(h, 0, sizeof *h);
	h->free = NONE;
	h->next = CO_FOREVER;
}

void
timers_fini(struct timers *h)
{
	free(h->heap);
	free(h->node);
}

int
timer_add(struct timers *h, co_time when, void *owner, uint64_t ticket,
    uint32_t *ret_id)
{
	struct timer_entry e;
	struct timer_node *n;
	int code = 0;

	lock_take(&h->lock, LOCK_TIMER);
	if (unlikely(h->free == NONE))
		code = grow(h);
	if (likely(code == 0)) {
		e = (struct timer_entry){ when, h->seq++, h->free };
		n = &h->node[e.node];
		h->free = n->pos;
		n->owner = owner;
		n->ticket = ticket;
		n->armed = 1;
		*ret_id = e.node;
		sift_up(h, h->count++, e);
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
		take_out(h, n->pos);
		note_next(h);
	}
	lock_drop(&h->lock, LOCK_TIMER);
	return armed;
}

/* The lock is held.  Tasks go to `due`, linked by next; a scope is returned,
   and the caller comes back for more. */
static struct co_scope *
collect(struct timers *h, co_time now, struct task **due, int *count)
{
	struct timer_node *n;
	struct co_scope *s;
	struct task *t;

	while (h->count && h->heap[0].when <= now) {
		n = &h->node[h->heap[0].node];
		take_out(h, 0);
		++*count;
		if (n->ticket == 0) {
			s = n->owner;
			a_store_relaxed(&s->co__timer_state,
			    SCOPE_TIMER_FIRING);
			return s;
		}
		t = n->owner;
		if (wait_claim(t, n->ticket)) {
			t->next = NULL;
			*due = t;
			due = &t->next;
		}
	}
	return NULL;
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

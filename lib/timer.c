/* SPDX-License-Identifier: MIT */
/*
 * timer.c - arming, deleting and firing; wheels of heaps.
 *
 * Layer 4.  Built on timer_heap.  Invariants, with h->lock free:
 *
 *	I1  An armed node has one entry, in the heap that `armed` says; others
 *	    are in the list of free ones, linked by pos.
 *	I2  next is the earliest of the tops of all heaps, or CO_FOREVER; wake
 *	    likewise, but all but the exact one's count TIMER_SLACK later.
 *	I3  A wheel's times are in slots from .. from + 255, so that no two
 *	    numbers share a slot; the bits of `used` say which are not empty,
 *	    and head is the first of them.
 *	I4  Only a slot that has something due is ordered; it becomes loose
 *	    again when it is empty.
 *
 * A wait that ends otherwise deletes its timer at once: a server that gives
 * every request ten seconds would keep a million dead entries.
 *
 * The long ones apart, because a worker that sleeps between any two of a
 * hundred thousand timers spends its time going to sleep: a million naps of 1
 * to 1000 ms took three times the processor time without.
 *
 * Slots, because the lower levels of a heap of a hundred thousand are in no
 * cache; that of one slot is.  Sleeps still end in the order of their
 * deadlines, to the nanosecond, which a plain wheel does not give.  Nothing is
 * moved from wheel to wheel: each fires what it has.  A slot that finds no
 * memory, and what is further away, is left to a heap.
 */
#include "timer.h"
#include "ticket.h"

#include <stdlib.h>

enum { NONE = 0xffffffffu };	/* by itself: it makes its enum unsigned */
enum { BATCH = 16, FETCH_MOST = 1024 };

static const int wheel_shift[TIMER_WHEELS] = { 22, 28 };

/* --- wheels --------------------------------------------------------------- */

static void
wheels_new(struct timers *h)
{
	struct timer_wheel *w;
	int i, j;

	w = chaos_fail() ? NULL : calloc(TIMER_WHEELS, sizeof *w);
	if (!w)
		return;
	for (i = 0; i < TIMER_WHEELS; i++)
		for (j = 0; j < TIMER_SLOTS; j++) {
			w[i].slot[j].loose = true;
			w[i].slot[j].index = (uint16_t)(TIMER_HEAPS +
			    i * TIMER_SLOTS + j);
		}
	h->wheel = w;
}

static struct timer_heap *
heap_of(struct timers *h, uint32_t index)
{
	if (index < TIMER_HEAPS)
		return &h->heap[index];
	index -= TIMER_HEAPS;
	return &h->wheel[index / TIMER_SLOTS].slot[index % TIMER_SLOTS];
}

static uint32_t
slot_of(int64_t number)
{
	return (uint32_t)((uint64_t)number % TIMER_SLOTS);
}

/* Room for later ones, as far as those that are there allow. */
static void
wheel_turn(struct timer_wheel *w, int64_t now)
{
	if (!w->head)
		w->from = now;
	else if (now > w->from)
		w->from = now < w->first ? now : w->first;
}

/* NULL: that is too far away, or past. */
static struct timer_heap *
wheel_slot(struct timer_wheel *w, int64_t now, int64_t number)
{
	wheel_turn(w, now);
	if ((uint64_t)number - (uint64_t)w->from >= TIMER_SLOTS)
		return NULL;
	return &w->slot[slot_of(number)];
}

static void
wheel_filled(struct timer_wheel *w, struct timer_heap *x, int64_t number)
{
	uint32_t i = slot_of(number);

	w->used[i / 64] |= UINT64_C(1) << i % 64;
	if (!w->head || number < w->first) {
		w->head = x;
		w->first = number;
	}
}

/* The first used one from `number` on; there is one. */
static int64_t
wheel_next(const struct timer_wheel *w, int64_t number)
{
	uint32_t i = slot_of(number), word = i / 64;
	uint64_t bits = w->used[word] >> i % 64;

	if (bits)
		return number + __builtin_ctzll(bits);
	number += 64 - i % 64;
	while (!w->used[word = (word + 1) % (TIMER_SLOTS / 64)])
		number += 64;
	return number + __builtin_ctzll(w->used[word]);
}

static void
wheel_emptied(struct timers *h, struct timer_heap *x)
{
	uint32_t at = x->index - TIMER_HEAPS, i = at % TIMER_SLOTS;
	struct timer_wheel *w = &h->wheel[at / TIMER_SLOTS];
	uint64_t any = 0;
	int word;

	x->loose = true;
	w->used[i / 64] &= ~(UINT64_C(1) << i % 64);
	if (w->head != x)
		return;
	for (word = 0; word < TIMER_SLOTS / 64; word++)
		any |= w->used[word];
	w->head = NULL;
	if (any) {
		w->first = wheel_next(w, w->first + 1);
		w->head = &w->slot[slot_of(w->first)];
	}
}

/* --- all of them ---------------------------------------------------------- */

static void
note_next(struct timers *h)
{
	co_time exact = timer_heap_top(&h->heap[TIMER_EXACT]), late;
	co_time coarse = timer_heap_top(&h->heap[TIMER_FAR]), top;
	int i;

	for (i = 0; h->wheel && i < TIMER_WHEELS; i++) {
		if (!h->wheel[i].head)
			continue;
		top = timer_heap_top(h->wheel[i].head);
		if (top < coarse)
			coarse = top;
	}
	late = coarse < CO_FOREVER - TIMER_SLACK ? coarse + TIMER_SLACK :
	    CO_FOREVER;
	a_store_relaxed(&h->wake, exact < late ? exact : late);
	a_store_release(&h->next, exact < coarse ? exact : coarse);
}

static void
take_out(struct timers *h, struct timer_heap *x, uint32_t i)
{
	uint32_t id = x->at[i].node;

	timer_heap_take(x, i, h->pos);
	if (x->count == 0 && x->index >= TIMER_HEAPS)
		wheel_emptied(h, x);
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

void
timers_init(struct timers *h)
{
	memset(h, 0, sizeof *h);
	h->free = NONE;
	h->next = h->wake = CO_FOREVER;
	h->heap[TIMER_FAR].index = TIMER_FAR;
}

void
timers_fini(struct timers *h)
{
	uint32_t i, n = TIMER_HEAPS;

	if (h->wheel)
		n += TIMER_WHEELS * TIMER_SLOTS;
	for (i = 0; i < n; i++)
		timer_heap_fini(heap_of(h, i));
	free(h->wheel);
	free(h->node);
	free(h->pos);
}

static bool
has_room(struct timer_heap *x)
{
	return likely(x->count < x->room) || timer_heap_grow(x) == 0;
}

/* A slot with room for a long one; NULL: there is none. */
static struct timer_heap *
some_slot(struct timers *h, co_time now, co_time when)
{
	struct timer_heap *x;
	int64_t number;
	int i, shift;

	if (unlikely(!h->wheel))
		wheels_new(h);
	for (i = 0; h->wheel && i < TIMER_WHEELS; i++) {
		shift = wheel_shift[i];
		number = when >> shift;
		x = wheel_slot(&h->wheel[i], now >> shift, number);
		if (!x)
			continue;
		if (!has_room(x))
			return NULL;
		wheel_filled(&h->wheel[i], x, number);
		return x;
	}
	return NULL;
}

/* A heap with room for it; NULL: no memory. */
static struct timer_heap *
some_heap(struct timers *h, co_time now, co_time when)
{
	struct timer_heap *x = &h->heap[TIMER_EXACT];

	if (when > now && (uint64_t)when - (uint64_t)now > TIMER_LONG) {
		x = some_slot(h, now, when);
		if (x)
			return x;
		x = &h->heap[TIMER_FAR];
	}
	return has_room(x) ? x : NULL;
}

int
timer_add(struct timers *h, co_time now, co_time when, void *owner,
    uint64_t ticket, uint32_t *ret_id)
{
	struct timer_heap *x = NULL;
	struct timer_node *n;
	uint32_t id;

	lock_take(&h->lock, LOCK_TIMER);
	if (likely(h->free != NONE) || grow_nodes(h) == 0)
		x = some_heap(h, now, when);
	if (likely(x != NULL)) {
		id = h->free;
		n = &h->node[id];
		h->free = h->pos[id];
		n->owner = owner;
		n->ticket = ticket;
		n->armed = 1u + x->index;
		*ret_id = id;
		timer_heap_add(x, (struct timer_entry){ when, h->seq++, id },
		    h->pos);
		note_next(h);
	}
	lock_drop(&h->lock, LOCK_TIMER);
	return x ? 0 : -ENOMEM;
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
		take_out(h, heap_of(h, n->armed - 1), h->pos[id]);
		note_next(h);
	}
	lock_drop(&h->lock, LOCK_TIMER);
	return armed;
}

/* Puts a slot in order; what will be read of its nodes is fetched meanwhile. */
static void
slot_order(struct timers *h, struct timer_heap *x)
{
	uint32_t i, n = x->count < FETCH_MOST ? x->count : FETCH_MOST;

	for (i = 0; i < n; i++)
		__builtin_prefetch(&h->node[x->at[i].node]);
	timer_heap_order(x, h->pos);
}

static bool
earlier(const struct timer_heap *a, const struct timer_heap *b)
{
	return a->count && (!b->count || timer_before(&a->at[0], &b->at[0]));
}

/* The heap with the earliest that is due, or NULL. */
static struct timer_heap *
next_due(struct timers *h, co_time now)
{
	struct timer_heap *a = &h->heap[TIMER_EXACT], *x;
	int i;

	if (earlier(&h->heap[TIMER_FAR], a))
		a = &h->heap[TIMER_FAR];
	for (i = 0; h->wheel && i < TIMER_WHEELS; i++) {
		x = h->wheel[i].head;
		if (!x || timer_heap_top(x) > now)
			continue;
		if (x->loose)
			slot_order(h, x);
		if (earlier(x, a))
			a = x;
	}
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

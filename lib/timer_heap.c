/* SPDX-License-Identifier: MIT */
/*
 * timer_heap.c - sifting.
 *
 * Layer 4.  Invariants: timer_heap.h.
 */
#include "timer_heap.h"

#include "chaos.h"

#include <stdlib.h>

enum { CHILDREN = 4, ROOM_FIRST = 4 };

int
timer_heap_grow(struct timer_heap *x)
{
	uint32_t room = x->room ? x->room * 2 : ROOM_FIRST;
	struct timer_entry *at;

	at = chaos_fail() ? NULL : aligned_alloc(CACHE_LINE,
	    (room + CHILDREN) * sizeof *at);
	if (!at)
		return -ENOMEM;
	at += CHILDREN - 1;
	if (x->count)
		memcpy(at, x->at, x->count * sizeof *at);
	timer_heap_fini(x);
	x->at = at;
	x->room = room;
	return 0;
}

void
timer_heap_fini(struct timer_heap *x)
{
	if (x->at)
		free(x->at - (CHILDREN - 1));
}

static void
place(struct timer_heap *x, uint32_t i, struct timer_entry e, uint32_t *pos)
{
	x->at[i] = e;
	pos[e.node] = i;
}

static void
sift_up(struct timer_heap *x, uint32_t i, struct timer_entry e, uint32_t *pos)
{
	while (i > 0) {
		uint32_t up = (i - 1) / CHILDREN;

		if (!timer_before(&e, &x->at[up]))
			break;
		place(x, i, x->at[up], pos);
		i = up;
	}
	place(x, i, e, pos);
}

static void
sift_down(struct timer_heap *x, uint32_t i, struct timer_entry e, uint32_t *pos)
{
	for (;;) {
		uint32_t c = i * CHILDREN + 1, best = c, end;

		if (c >= x->count)
			break;
		end = c + CHILDREN < x->count ? c + CHILDREN : x->count;
		while (++c < end)
			if (timer_before(&x->at[c], &x->at[best]))
				best = c;
		if (!timer_before(&x->at[best], &e))
			break;
		place(x, i, x->at[best], pos);
		i = best;
	}
	place(x, i, e, pos);
}

void
timer_heap_add(struct timer_heap *x, struct timer_entry e, uint32_t *pos)
{
	if (x->loose) {
		if (x->count == 0 || e.when < x->least)
			x->least = e.when;
		place(x, x->count++, e, pos);
	} else {
		sift_up(x, x->count++, e, pos);
	}
}

void
timer_heap_take(struct timer_heap *x, uint32_t i, uint32_t *pos)
{
	struct timer_entry last = x->at[--x->count];

	if (i == x->count)
		return;
	if (x->loose)
		place(x, i, last, pos);
	else if (i > 0 && timer_before(&last, &x->at[(i - 1) / CHILDREN]))
		sift_up(x, i, last, pos);
	else
		sift_down(x, i, last, pos);
}

void
timer_heap_order(struct timer_heap *x, uint32_t *pos)
{
	uint32_t i;

	x->loose = false;
	for (i = x->count > 1 ? (x->count - 2) / CHILDREN + 1 : 0; i-- > 0; )
		sift_down(x, i, x->at[i], pos);
}

/* SPDX-License-Identifier: MIT */
/*
 * timer_heap.h - times in order: a heap with four children to a node, which
 * may be loose until its order is wanted.
 *
 * Layer 4.  Invariants, for each heap x:
 *
 *	H1  x.at[i] is not later than any of x.at[4i+1 .. 4i+4], unless loose.
 *	H2  pos[x.at[i].node] == i, for all i < count.
 *	H3  x.least is not later than any, if loose: adding keeps it exact,
 *	    taking out does not look for the next.
 */
#ifndef WEFT_TIMER_HEAP_H
#define WEFT_TIMER_HEAP_H

#include <weft/co.h>

#include "base.h"

struct timer_entry {		/* in heap order by (when, seq) */
	co_time when;
	uint32_t seq;		/* equal times fire in the order of arming */
	uint32_t node;
};

struct timer_heap {
	uint32_t count, room;
	struct timer_entry *at;	/* at[1] begins a cache line, and so do the four
				   children of each entry */
	co_time least;		/* H3 */
	bool loose;		/* in no order; at most while it is not due */
	uint16_t index;		/* [const] among its worker's heaps */
};

static inline bool
timer_before(const struct timer_entry *a, const struct timer_entry *b)
{
	if (a->when != b->when)
		return a->when < b->when;
	return (int32_t)(a->seq - b->seq) < 0;
}

/* Not later than the earliest; CO_FOREVER when there is none. */
static inline co_time
timer_heap_top(const struct timer_heap *x)
{
	if (x->count == 0)
		return CO_FOREVER;
	return x->loose ? x->least : x->at[0].when;
}

/* Room for one more: 0 or -ENOMEM. */
int timer_heap_grow(struct timer_heap *x);
void timer_heap_fini(struct timer_heap *x);

/* There is room.  pos is of all nodes. */
void timer_heap_add(struct timer_heap *x, struct timer_entry e, uint32_t *pos);
void timer_heap_take(struct timer_heap *x, uint32_t i, uint32_t *pos);

/* It is loose no more. */
void timer_heap_order(struct timer_heap *x, uint32_t *pos);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * cell.h - a counted value with a lock and those who wait for it: what a
 * future and a watch begin with.
 *
 * Layer 6.  Used by future.c and watch.c only.
 */
#ifndef WEFT_CELL_H
#define WEFT_CELL_H

#include "select.h"

#include <stdlib.h>

struct cell {
	struct lock lock;	/* LOCK_CHAN */
	size_t size;		/* [const] of the value */
	size_t refs;		/* [atomic] */
	struct waitq q;		/* [lock] */
	char *value;		/* [who has the cell says] */
};

/* `head` bytes, zeroed, which begin with a struct cell, and the value behind
   them; one reference.  NULL: no memory. */
static inline void *
cell_new(size_t head, size_t size, size_t align)
{
	struct cell *c;

	if (align < 16)
		align = 16;
	head = round_up(head, align);
	if (size > PTRDIFF_MAX - head - align || chaos_fail())
		return NULL;
	c = aligned_alloc(align, round_up(head + size, align));
	if (!c)
		return NULL;
	memset(c, 0, head);
	c->size = size;
	c->refs = 1;
	c->value = (char *)c + head;
	return c;
}

static inline void *
cell_ref(struct cell *c)
{
	if (c)
		a_add_relaxed(&c->refs, 1);	/* who has one may give one */
	return c;
}

static inline void
cell_unref(struct cell *c)
{
	if (c && a_add_acqrel(&c->refs, (size_t)-1) == 1)
		free(c);
}

#endif

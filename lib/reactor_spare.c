/* SPDX-License-Identifier: MIT */
/*
 * reactor_spare.c - libev, kept from ending the process.
 *
 * Layer 7.
 *
 * libev cannot say that there is no memory, or that a system call has failed
 * in a way that it did not expect: it prints a line and aborts.
 *
 * So it gets memory in advance.  Its tables grow with the number of watches and
 * with the highest descriptor; before either becomes larger than ever, as much
 * as all tables can then grow by is laid by (spare_assure), and who cannot have
 * that gives -ENOMEM to somebody who can be told.  Where malloc fails inside
 * libev, its allocator cuts from what was laid by: usually never.
 *
 *	S1  libev is called only between loop_lock and loop_unlock: so the
 *	    allocator, which is told of no loop, knows whose turn it is.
 *	S2  what is cut from a spare is not freed before the loop is.
 *
 * The allocator and the callback for errors are libev's for the whole process.
 * Loops of the program's own are served by malloc as before; a program that
 * gives libev an allocator that is not malloc's kin cannot use weft besides.
 */
#include "reactor_inside.h"

#include <malloc.h>
#include <stdlib.h>

enum {
	ROUND = 4200,		/* libev rounds a table up to 4096 bytes */
	/* Bytes for each watch: a change 4, a pending event 16, an event of
	   epoll's 12, one that epoll refuses 4, an entry of poll's 8. */
	PER_WATCH = 44,
	TABLES = 5,
	/* For each number: libev's record, and an index of poll's. */
	PER_NUMBER = 32 + 4,
	LOOP = 2048		/* a loop itself, with room */
};

struct spare {
	struct spare *next;
	size_t size, used;	/* of room */
	max_align_t room[];
};

/* Before each piece that was cut. */
struct piece {
	_Alignas(max_align_t) size_t size;
};

static _Thread_local struct reactor *at_work;	/* S1; NULL: none of ours */

static bool
was_cut(const void *p)
{
	const struct spare *s = at_work ? at_work->spare : NULL;

	for (; s; s = s->next)
		if ((uintptr_t)p - (uintptr_t)s->room < s->size)
			return true;
	return false;
}

static void *
cut(size_t size)
{
	struct spare *s = at_work ? at_work->spare : NULL;
	size_t whole = round_up(sizeof(struct piece) + size,
	    sizeof(max_align_t));
	struct piece *p;

	while (s && s->size - s->used < whole)
		s = s->next;
	if (!s)
		return NULL;
	p = (struct piece *)(void *)((char *)s->room + s->used);
	s->used += whole;
	p->size = size;
	return p + 1;
}

/* As realloc; size 0: free. */
static void *
spare_realloc(void *old, long size)
{
	bool cut_old = old && was_cut(old);
	size_t had;
	void *p;

	if (size == 0) {
		if (!cut_old)
			free(old);
		return NULL;
	}
	p = cut_old ? malloc((size_t)size) : realloc(old, (size_t)size);
	if (likely(p != NULL) && !cut_old)
		return p;
	if (!p)
		p = cut((size_t)size);
	if (!p || !old)
		return p;
	had = cut_old ? ((struct piece *)old - 1)->size :
	    malloc_usable_size(old);
	memcpy(p, old, had < (size_t)size ? had : (size_t)size);
	if (!cut_old)
		free(old);
	return p;
}

/* libev tries again. */
static void
wait_a_little(const char *what)
{
	(void)what;
	os_nap(CO_MS(1));
}

/* --- the interface -------------------------------------------------------- */

void
spare_install(void)
{
	ev_set_allocator(spare_realloc);
	ev_set_syserr_cb(wait_a_little);
}

void
loop_lock(struct reactor *r)
{
	os_mutex_lock(&r->lock);
	at_work = r;
}

void
loop_unlock(struct reactor *r)
{
	at_work = NULL;
	os_mutex_unlock(&r->lock);
}

int
spare_assure(struct reactor *r, size_t watches, size_t numbers)
{
	/* A table that grows at least doubles. */
	size_t size = LOOP + TABLES * ROUND + 2 * watches * PER_WATCH +
	    2 * numbers * PER_NUMBER;
	struct spare *s = r->spare;

	if (s && s->size - s->used >= size)
		return 0;
	s = chaos_fail() ? NULL : malloc(sizeof *s + size);
	if (!s)
		return -ENOMEM;
	s->size = size;
	s->used = 0;
	s->next = r->spare;
	if (s->next && s->next->used == 0) {
		struct spare *old = s->next;

		s->next = old->next;
		free(old);
	}
	r->spare = s;
	return 0;
}

bool
spare_is_cut(const struct reactor *r)
{
	return r->spare->used > 0;
}

void
spare_free(struct reactor *r)
{
	struct spare *s, *next;

	for (s = r->spare; s; s = next) {
		next = s->next;
		free(s);
	}
	r->spare = NULL;
}

/* SPDX-License-Identifier: MIT */
/*
 * scope_inside.h - what scope.c and scope_end.c share.
 *
 * Layer 5.
 */
#ifndef WEFT_SCOPE_INSIDE_H
#define WEFT_SCOPE_INSIDE_H

#include "scope.h"

enum { CHILD_FIRST };

/* In task->ended: an end whose code is no errno, and too long for the field.
   The scope has it. */
enum { ENDED_LONG = INT16_MIN };

static inline int16_t
short_code(int code)
{
	return code > ENDED_LONG ? (int16_t)code : ENDED_LONG;
}

/* What t's waits give; t->lock is held, or t asks. */
static inline int
long_code(const struct task *t, int ended)
{
	return unlikely(ended == ENDED_LONG) ?
	    a_load_relaxed(&t->scope->co__ended) : ended;
}

/* s->co__owner's lock is held: s ends with that code; force: shields or not. */
void scope_end(struct co_scope *s, int code, bool force);

/* Nobody's lock is held: the deadline of s has passed. */
void scope_time_out(struct co_scope *s);

/*
 * FLAT.  The root scope keeps no list: its children are most coroutines of most
 * programs, and they would all meet at its owner's lock.  They are counted by
 * each worker for itself, and found, when the root scope ends, among all task
 * records.  Both happen once in a runtime's life:
 *
 *	flat_add, flat_remove		co_cancel, then co_scope_leave
 *	F1 flat++, flat--; id = 0	E1 root->co__ended = code
 *	F2 a_light_barrier()		E2 a_heavy_barrier()
 *	F3 co__ended ?			E3 looks at the records, adds up flat
 *	  yes: takes its own lock,
 *	  wakes who may wait in leave
 *
 * Bad outcome: F3 reads 0 and E3 does not see F1.  So whoever ends after E2
 * takes its lock before its record is free: E3 holds that lock while it uses
 * the record.
 */
static inline struct runtime *
flat_runtime(const struct co_scope *root)
{
	return container_of(root, struct runtime, root);
}

static inline int64_t
flat_alive(const struct co_scope *root)
{
	struct runtime *rt = flat_runtime(root);
	int64_t n = 0;
	uint32_t i;

	for (i = 0; i < rt->nworkers; i++)
		n += a_load_relaxed(&rt->workers[i].flat);
	return n;
}

static always_inline void
flat_count(struct worker *w, int64_t n)
{
	a_store_relaxed(&w->flat, w->flat + n);
}

/* The root scope has ended: nobody looks at the child once this returns. */
void co__flat_left_late(struct co_scope *root, struct task *child);

static always_inline void
flat_remove(struct co_scope *root, struct task *child)
{
	/* Used again, it must not look like a child until it is one. */
	a_store_relaxed(&child->home, NULL);
	a_store_release(&child->id, 0);
	flat_count(child->worker, -1);				/* F1 */
	a_light_barrier();					/* F2 */
	if (unlikely(a_load_relaxed(&root->co__ended)))		/* F3 */
		co__flat_left_late(root, child);
}

static always_inline int
flat_add(struct co_scope *root, struct task *child)
{
	int code;

	a_store_relaxed(&child->scope, root);
	a_store_release(&child->home, root);	/* pairs with flat_visit */
	flat_count(child->worker, 1);				/* F1 */
	a_light_barrier();					/* F2 */
	code = a_load_relaxed(&root->co__ended);		/* F3 */
	if (unlikely(code))
		flat_remove(root, child);
	return code;
}

#endif

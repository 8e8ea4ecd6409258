/* SPDX-License-Identifier: MIT */
/*
 * scope_inside.h - what scope.c and scope_end.c share.
 *
 * Layer 5.
 */
#ifndef WEFT_SCOPE_INSIDE_H
#define WEFT_SCOPE_INSIDE_H

#include "scope_child.h"

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

/*
 * A wait of one whose innermost scope is s was ended with that code: the status
 * of all scopes that have ended for this reason, unless it has one already.
 * Another reason may have come to those further out.  Who ends a wait says so,
 * as others may run before the one that it wakes, and who does not begin one.
 */
static inline void
scope_note(struct co_scope *s, int code)
{
	while (s && a_load_relaxed(&s->co__ended) == code) {
		a_store_relaxed(&s->co__hit, 1);
		s = s->co__shield ? NULL : s->co__outer;
	}
}

/* s->co__owner's lock is held: s ends with that code; force: shields or not. */
void scope_end(struct co_scope *s, int code, bool force);

/* Nobody's lock is held: the deadline of s has passed. */
void scope_time_out(struct co_scope *s);

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

#endif

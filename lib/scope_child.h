/* SPDX-License-Identifier: MIT */
/*
 * scope_child.h - a child enters its home, and leaves it: the inline half.
 *
 * Layer 5.  Used by scope.c, scope_end.c, and by life.c, where a spawn and an
 * end are some two hundred instructions.
 *
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
#ifndef WEFT_SCOPE_CHILD_H
#define WEFT_SCOPE_CHILD_H

#include "alone.h"
#include "scope.h"

enum { CHILD_FIRST };

/* --- a listed child ------------------------------------------------------- */

/* The lock of the scope's owner is held, or the caller is alone. */
static always_inline void
child_link(struct co_scope *s, struct task *c)
{
	struct task *head = s->co__children[CHILD_FIRST];

	a_store_relaxed(&c->home, s);	/* flat_visit may look */
	c->scope = s;
	c->sib_next = head;
	c->sib_prev = NULL;
	if (head)
		head->sib_prev = c;
	s->co__children[CHILD_FIRST] = c;
	a_store_relaxed(&s->co__count, s->co__count + 1);
}

static always_inline void
child_unlink(struct co_scope *s, struct task *c)
{
	if (c->sib_prev)
		c->sib_prev->sib_next = c->sib_next;
	else
		s->co__children[CHILD_FIRST] = c->sib_next;
	if (c->sib_next)
		c->sib_next->sib_prev = c->sib_prev;
	/* Pairs with has_children. */
	a_store_release(&s->co__count, s->co__count - 1);
}

/* --- a child of the root scope -------------------------------------------- */

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
flat_enter(struct co_scope *root, struct task *child)
{
	a_store_relaxed(&child->scope, root);
	a_store_release(&child->home, root);	/* pairs with flat_visit */
	flat_count(child->worker, 1);				/* F1 */
	a_light_barrier();					/* F2 */
	return a_load_relaxed(&root->co__ended);		/* F3 */
}

static always_inline int
flat_add(struct co_scope *root, struct task *child)
{
	int code = flat_enter(root, child);

	if (unlikely(code))
		flat_remove(root, child);
	return code;
}

/* --- either --------------------------------------------------------------- */

/*
 * What scope_add does where it needs no lock and s, the innermost scope of a
 * coroutine, has not ended.  False: it is left to scope_add.
 */
static always_inline bool
scope_add_alone(struct self *self, struct co_scope *s, struct task *child)
{
	bool added;

	if (s->co__flat) {
		if (likely(flat_enter(s, child) == 0))
			return true;
		flat_count(child->worker, -1);
		return false;
	}
	if (unlikely(!alone_enter(self)))
		return false;
	added = likely(s->co__ended == 0);
	if (added)
		child_link(s, child);
	alone_leave(self);
	return added;
}

struct task *co__scope_remove(struct task *child, int ret);

/* A child leaves its home; ret < 0 is a failure, unless it was forked.  Gives
   whom the caller must wake, with 0: who waits for this last child. */
static always_inline struct task *
scope_remove(struct self *self, struct task *child, int ret)
{
	struct co_scope *s = child->home;

	if (s->co__flat) {
		flat_remove(s, child);
		return NULL;
	}
	if (unlikely(ret < 0) || unlikely(!alone_enter(self)))
		return co__scope_remove(child, ret);
	if (unlikely(s->co__count == 1 && s->co__ticket != 0)) {
		alone_leave(self);
		return co__scope_remove(child, ret);
	}
	child_unlink(s, child);
	alone_leave(self);
	return NULL;
}

#endif

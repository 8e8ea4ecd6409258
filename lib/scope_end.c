/* SPDX-License-Identifier: MIT */
/*
 * scope_end.c - how a scope ends early, and all that is inside it.
 *
 * Layer 5.  The invariants I1 to I5 are in scope.c; FLAT is in scope_child.h.
 *
 * Locks: from the outer task to the inner, as deep as the tree is, while a
 * cancellation walks it (end_tree); so nothing on its path can end meanwhile.
 *
 * Rejected: asking the chain of scopes outwards at each wait; it costs a load
 * for each level, always, where this costs a walk only when something ends.
 */
#include "scope_inside.h"

/* --- ending a tree -------------------------------------------------------- */

struct walk {
	struct task *top;	/* where it began; its lock is held */
	struct co_scope *stop;	/* the first scope of top's chain not to end */
	struct co_scope *own;	/* ends even if it is a shield */
	int code;
	bool missed;		/* a task was seen that was not parked */
	bool force;		/* shields do not hold */
};

static void
wake_ended(struct walk *k, struct task *t)
{
	uint64_t park = a_load_acquire(&t->park);		/* C3 */

	if (park & PARK_SHIELDED && park & PARK_WAITING)
		return;
	if (park & PARK_WAITING && wait_claim(t, park)) {
		scope_note(t->scope, long_code(t, t->ended));
		task_wake(t, t->ended);
	} else {
		k->missed = true;
	}
}

static struct co_scope *
chain_end(const struct walk *k, const struct task *t)
{
	return t == k->top ? k->stop : t->home;
}

/* t's lock is held.  Ends t's scopes, and t itself, as far as no shield
   protects them; gives the innermost of those: there the walk goes on. */
static struct co_scope *
end_task(struct walk *k, struct task *t)
{
	struct co_scope *from = a_load_relaxed(&t->scope), *x = from;
	struct co_scope *end = chain_end(k, t);
	bool shielded = false;

	for (; x != end; x = x->co__outer) {
		if (x->co__shield && x != k->own && !k->force) {
			from = x->co__outer;
			shielded = true;
		}
	}
	for (x = from; x != end; x = x->co__outer)
		if (!x->co__ended)
			a_store_relaxed(&x->co__ended, k->code);
	if (shielded)
		return from;
	if (!a_load_relaxed(&t->ended))	/* pairs with co__wait_noted; C1 */
		a_store_release(&t->ended, short_code(k->code));
	wake_ended(k, t);
	return from;
}

/*
 * Depth first, without recursion: the tree's own links lead back.  It comes
 * again to those who heard of an earlier end; they are few, and it does them
 * nothing.
 */
static void
walk_tree(struct walk *k)
{
	struct task *t = k->top, *c;
	struct co_scope *x = end_task(k, t);

	for (;;) {
		while (x != chain_end(k, t) && !x->co__children[CHILD_FIRST])
			x = x->co__outer;
		if (x != chain_end(k, t)) {
			c = x->co__children[CHILD_FIRST];
		} else if (t != k->top) {	/* done with t: its sibling */
			c = t->sib_next;
			x = t->home;
			lock_drop(&t->lock, LOCK_TASK);
			t = x->co__owner;
			if (!c) {
				x = x->co__outer;
				continue;
			}
		} else {
			return;
		}
		lock_take(&c->lock, LOCK_TASK);
		t = c;
		x = end_task(k, t);
	}
}

/* True: nobody else runs, so that who was not parked will ask by itself. */
static bool
alone(void)
{
	return a_load_relaxed(&co__solo) == self_get();
}

static void
end_tree(struct walk *k)
{
	k->missed = false;
	walk_tree(k);
	if (!k->missed || alone())
		return;
	a_heavy_barrier();					/* C2 */
	walk_tree(k);
}

/* --- the root scope ------------------------------------------------------- */

struct flat_walk {
	struct co_scope *root;
	struct walk k;
	bool missed;
};

static void
flat_visit(struct task *t, void *arg)
{
	struct flat_walk *f = arg;
	uint64_t id = a_load_acquire(&t->id);

	if (id == 0 || a_load_acquire(&t->home) != f->root)
		return;
	lock_take(&t->lock, LOCK_TASK);
	if (a_load_relaxed(&t->id) == id &&
	    a_load_acquire(&t->home) == f->root) {	/* with flat_add */
		f->k.top = t;
		f->k.stop = f->root;
		f->k.missed = false;
		walk_tree(&f->k);
		f->missed |= f->k.missed;
	}
	lock_drop(&t->lock, LOCK_TASK);
}

/* The root scope has ended, and its owner's lock is free. */
static void
flat_end(struct co_scope *root, int code, bool force)
{
	struct runtime *rt = flat_runtime(root);
	struct flat_walk f = { .root = root,
	    .k = { .code = code, .force = force } };

	a_heavy_barrier();					/* E2 */
	task_each(rt, flat_visit, &f);				/* E3 */
	if (!f.missed || alone())
		return;
	a_heavy_barrier();					/* C2 */
	task_each(rt, flat_visit, &f);
}

/* The root scope has ended: nobody looks at the child once this returns. */
cold void
co__flat_left_late(struct co_scope *root, struct task *child)
{
	struct task *owner = root->co__owner;
	bool wake;

	lock_take(&child->lock, LOCK_TASK);
	lock_drop(&child->lock, LOCK_TASK);
	lock_take(&owner->lock, LOCK_TASK);
	wake = root->co__ticket != 0 && wait_claim(owner, root->co__ticket);
	lock_drop(&owner->lock, LOCK_TASK);
	if (wake)
		task_wake(owner, 0);
}

/* The owner's lock is held. */
void
scope_end(struct co_scope *s, int code, bool force)
{
	struct walk k = { .top = s->co__owner, .stop = s->co__outer,
	    .own = s, .code = code, .force = force };

	if (!s->co__ended || force)
		end_tree(&k);
}

EXPORT void
co_cancel(struct co_scope *s)
{
	struct task *owner;
	bool first;

	if (!s)
		return;
	owner = s->co__owner;
	lock_take(&owner->lock, LOCK_TASK);
	first = !s->co__ended;
	/* An end that no wait has met yet is no status. */
	if (first || (s->status == 0 && !a_load_relaxed(&s->co__hit)))
		s->status = -ECANCELED;
	if (first)
		scope_end(s, -ECANCELED, false);
	lock_drop(&owner->lock, LOCK_TASK);
	if (first && s->co__flat)
		flat_end(s, -ECANCELED, false);
}

void
scope_cancel_all(struct co_scope *root)
{
	struct task *owner = root->co__owner;

	lock_take(&owner->lock, LOCK_TASK);
	scope_end(root, -ECANCELED, true);
	lock_drop(&owner->lock, LOCK_TASK);
	flat_end(root, -ECANCELED, true);
}

void
scope_time_out(struct co_scope *s)
{
	struct task *owner = s->co__owner;

	lock_take(&owner->lock, LOCK_TASK);
	scope_end(s, -ETIMEDOUT, false);
	lock_drop(&owner->lock, LOCK_TASK);
}

void
scope_expired(struct co_scope *s)
{
	scope_time_out(s);
	/* From here on it may be left: pairs with timer_off. */
	a_store_release(&s->co__timer_state, SCOPE_TIMER_FIRED);
}

/*
 * t's lock is held.  Has it heard of its home's end, or will it when it leaves
 * a shield?  That is the reason then.  Else that end may still be on its way to
 * t, which must not wait any more.
 */
static bool
ended_with_home(const struct task *t, const struct co_scope *home)
{
	const struct co_scope *x, *own = NULL;	/* its outermost one */

	if (!a_load_relaxed(&home->co__ended))
		return false;
	for (x = t->scope; x != home; x = x->co__outer)
		own = x;
	return own ? own->co__shield || a_load_relaxed(&own->co__ended) :
	    a_load_relaxed(&t->ended) != 0;
}

void
scope_cancel_task(struct task *t, uint64_t id)
{
	struct walk k = { .top = t, .code = -ECANCELED };
	struct co_scope *home;

	lock_take(&t->lock, LOCK_TASK);
	a_heavy_barrier();	/* pairs with scope_hide_task */
	home = a_load_relaxed(&t->home);	/* NULL: it is being forked */
	if (a_load_relaxed(&t->id) == id && !t->cancelled && home &&
	    !ended_with_home(t, home)) {
		t->cancelled = 1;
		k.stop = home;
		end_tree(&k);
	}
	lock_drop(&t->lock, LOCK_TASK);
}


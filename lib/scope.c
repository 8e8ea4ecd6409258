/* SPDX-License-Identifier: MIT */
/*
 * scope.c - scopes: who lives in them, and how they end.
 *
 * Layer 5.  Scopes of one task form a chain, t->scope the innermost; the
 * outermost one's co__outer is the task's home, which belongs to the task's
 * spawner and so on, up to the root scope of the runtime's main task.
 *
 *	I1  a task's lock covers its chain, the children of its own scopes, and
 *	    their co__ended and its own.
 *	I2  a scope that has ended early, and everything inside it that no shield
 *	    protects, has co__ended != 0, and so have those tasks' `ended`:
 *	    one load tells a wait whether it may begin.
 *	I3  the first reason stays: co__ended is written once.
 *	I4  a child leaves its home before it ends, and a scope is left only when
 *	    it has no children: whoever holds the lock of a child's spawner may
 *	    use the child.
 *
 * Locks: from the outer task to the inner, as deep as the tree is, while a
 * cancellation walks it (end_tree); so nothing on its path can end meanwhile.
 *
 * Rejected: asking the chain of scopes outwards at each wait; it costs a load
 * for each level, always, where this costs a walk only when something ends.
 */
#include "scope.h"

enum { CHILD_FIRST };

static void
child_link(struct co_scope *s, struct task *c)
{
	struct task *head = s->co__children[CHILD_FIRST];

	c->sib_next = head;
	c->sib_prev = NULL;
	if (head)
		head->sib_prev = c;
	s->co__children[CHILD_FIRST] = c;
	s->co__count++;
}

static void
child_unlink(struct co_scope *s, struct task *c)
{
	if (c->sib_prev)
		c->sib_prev->sib_next = c->sib_next;
	else
		s->co__children[CHILD_FIRST] = c->sib_next;
	if (c->sib_next)
		c->sib_next->sib_prev = c->sib_prev;
	s->co__count--;
}

/* --- ending a tree --------------------------------------------------------- */

struct walk {
	struct task *top;	/* where it began; its lock is held */
	struct co_scope *stop;	/* the first scope of top's chain not to end */
	struct co_scope *own;	/* ends even if it is a shield */
	int code;
	bool mark;		/* first pass: mark and wake; second: wake */
	bool missed;		/* a task was seen that was not parked */
	bool force;		/* shields do not hold */
};

static void
wake_ended(struct walk *k, struct task *t)
{
	uint64_t park = a_load_acquire(&t->park);		/* C3 */

	if (park & PARK_SHIELDED && park & PARK_WAITING)
		return;
	if (park & PARK_WAITING && wait_claim(t, park))
		task_wake(t, t->ended);
	else
		k->missed = true;
}

static struct co_scope *
chain_end(const struct walk *k, const struct task *t)
{
	return t == k->top ? k->stop : t->home;
}

/* Ends one scope; true: its children have not heard of it yet. */
static bool
end_scope(struct walk *k, struct co_scope *s)
{
	if (k->mark && !s->co__ended)
		a_store_relaxed(&s->co__ended, k->code);	/* C1 */
	else if (k->mark && !k->force)
		return false;
	return true;
}

/* t's lock is held.  Ends t itself unless a shield protects it; gives the
   innermost of its scopes that is not protected, where the walk goes on. */
static struct co_scope *
end_task(struct walk *k, struct task *t)
{
	struct co_scope *end = chain_end(k, t), *from = t->scope, *x;
	bool shielded = false;

	for (x = t->scope; x != end; x = x->co__outer) {
		if (x->co__shield && x != k->own && !k->force) {
			from = x->co__outer;
			shielded = true;
		}
	}
	if (!shielded) {
		if (k->mark && !t->ended)
			a_store_relaxed(&t->ended, (int16_t)k->code);	/* C1 */
		if (t->ended)
			wake_ended(k, t);
	}
	return from;
}

/* Depth first, without recursion: the tree's own links lead back. */
static void
walk_tree(struct walk *k)
{
	struct task *t = k->top, *c;
	struct co_scope *x = end_task(k, t);

	for (;;) {
		c = NULL;
		while (x != chain_end(k, t) && !c) {
			if (end_scope(k, x))
				c = x->co__children[CHILD_FIRST];
			if (!c)
				x = x->co__outer;
		}
		while (!c) {		/* done with t: its next sibling */
			if (t == k->top)
				return;
			c = t->sib_next;
			x = t->home;
			lock_drop(&t->lock, LOCK_TASK);
			t = x->co__owner;
			if (!c) {
				x = x->co__outer;
				break;
			}
		}
		if (c) {
			lock_take(&c->lock, LOCK_TASK);
			t = c;
			x = end_task(k, t);
		}
	}
}

static void
end_tree(struct walk *k)
{
	k->mark = true;
	k->missed = false;
	walk_tree(k);
	if (!k->missed || a_load_relaxed(&co__solo) == self_get())
		return;		/* all were asleep, or nobody else runs */
	a_heavy_barrier();					/* C2 */
	k->mark = false;
	walk_tree(k);
}

/* The owner's lock is held. */
static void
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

	if (!s)
		return;
	owner = s->co__owner;
	lock_take(&owner->lock, LOCK_TASK);
	if (!s->co__ended) {
		s->status = -ECANCELED;
		scope_end(s, -ECANCELED, false);
	}
	lock_drop(&owner->lock, LOCK_TASK);
}

void
scope_cancel_all(struct co_scope *root)
{
	struct task *owner = root->co__owner;

	lock_take(&owner->lock, LOCK_TASK);
	scope_end(root, -ECANCELED, true);
	lock_drop(&owner->lock, LOCK_TASK);
}

void
scope_expired(struct co_scope *s)
{
	struct task *owner = s->co__owner;

	lock_take(&owner->lock, LOCK_TASK);
	scope_end(s, -ETIMEDOUT, false);
	lock_drop(&owner->lock, LOCK_TASK);
	/* From here on it may be left: pairs with timer_off. */
	a_store_release(&s->co__timer_state, SCOPE_TIMER_FIRED);
}

void
scope_cancel_task(struct task *t, uint64_t id)
{
	struct walk k = { .top = t, .code = -ECANCELED };

	lock_take(&t->lock, LOCK_TASK);
	if (a_load_relaxed(&t->id) == id && !t->cancelled) {
		t->cancelled = 1;
		k.stop = t->home;
		end_tree(&k);
	}
	lock_drop(&t->lock, LOCK_TASK);
}

/* --- children -------------------------------------------------------------- */

int
scope_add(struct co_scope *s, struct task *child)
{
	struct task *owner = s->co__owner;
	int code;

	lock_take(&owner->lock, LOCK_TASK);
	code = s->co__ended;
	if (likely(code == 0)) {
		child->home = child->scope = s;
		child_link(s, child);
	}
	lock_drop(&owner->lock, LOCK_TASK);
	return code;
}

void
scope_remove(struct task *child, int ret)
{
	struct co_scope *s = child->home;
	struct task *owner = s->co__owner;
	bool last;

	lock_take(&owner->lock, LOCK_TASK);
	/* A canceller may hold the child's lock while it holds the owner's;
	   it has let go of both when we get here. */
	child_unlink(s, child);
	if (unlikely(ret < 0) && !child->handle) {
		s->failures++;
		if (s->co__policy == CO_FAIL_FAST && !s->co__ended) {
			s->status = ret;
			scope_end(s, ret, false);
		}
	}
	last = s->co__count == 0 && s->co__ticket != 0 &&
	    wait_claim(owner, s->co__ticket);
	lock_drop(&owner->lock, LOCK_TASK);
	if (last)
		task_wake(owner, 0);
}

/* --- entering and leaving -------------------------------------------------- */

/* The scope's own deadline; INT64_MIN when it has passed already. */
static co_time
own_deadline(const struct co_scope_options *o)
{
	co_time own = CO_FOREVER;

	if (o->timeout < 0)
		return INT64_MIN;
	if (o->timeout > 0)
		own = co__time_after(o->timeout);
	if (o->deadline != 0 && o->deadline < own)
		own = o->deadline <= os_now() ? INT64_MIN : o->deadline;
	return own;
}

static void
set_deadline(struct co_scope *s, const struct co_scope_options *o,
    const struct co_scope *outer)
{
	co_time own;

	s->co__deadline = CO_FOREVER;
	s->co__armer = NULL;
	if (outer && !s->co__shield) {
		s->co__deadline = outer->co__deadline;
		s->co__armer = outer->co__armer;
	}
	if (!o || (o->timeout == 0 && o->deadline == 0))
		return;
	own = own_deadline(o);
	if (own == INT64_MIN) {
		if (!s->co__ended)
			s->co__ended = -ETIMEDOUT;
	} else if (own < s->co__deadline) {
		s->co__deadline = own;
		s->co__armer = s;
	}
}

static int
enter(struct co_scope *s, const struct co_scope_options *o, bool shield)
{
	struct task *t = task_self();

	s->status = t ? 0 : -ENOMEM;
	s->failures = 0;
	s->co__left = 0;
	if (unlikely(!t))
		return -ENOMEM;
	s->co__policy = (unsigned char)(o ? o->policy : CO_FAIL_FAST);
	s->co__shield = shield;
	s->co__hit = 0;
	s->co__owner = t;
	s->co__children[CHILD_FIRST] = NULL;
	s->co__count = 0;
	s->co__ticket = 0;
	s->co__timer_state = SCOPE_TIMER_NONE;
	lock_take(&t->lock, LOCK_TASK);
	s->co__outer = t->scope;
	s->co__ended = shield && !(t->worker &&
	    a_load_relaxed(&t->worker->rt->forced)) ? 0 : t->ended;
	set_deadline(s, o, t->scope);
	t->scope = s;
	a_store_relaxed(&t->ended, (int16_t)s->co__ended);
	lock_drop(&t->lock, LOCK_TASK);
	return 0;
}

EXPORT int
co_scope_enter(struct co_scope *s, const struct co_scope_options *options)
{
	return s ? enter(s, options, false) : -EINVAL;
}

/* A deadline that fires on another worker at this moment uses s. */
static void
timer_off(struct co_scope *s)
{
	uint32_t state = a_load_acquire(&s->co__timer_state);

	if (likely(state == SCOPE_TIMER_NONE) || (state == SCOPE_TIMER_ARMED &&
	    timer_del(s->co__heap, s->co__timer, s, 0)))
		return;
	while (a_load_acquire(&s->co__timer_state) != SCOPE_TIMER_FIRED)
		os_give_way();		/* pairs with scope_expired */
}

/* What t's waits give when x is its innermost scope. */
static int
ended_in(const struct task *t, const struct co_scope *x)
{
	if (x == t->home && t->cancelled)
		return -ECANCELED;
	return x ? a_load_relaxed(&x->co__ended) : 0;
}

static void
wait_children(struct task *t, struct co_scope *s)
{
	lock_take(&t->lock, LOCK_TASK);
	while (s->co__count != 0) {
		s->co__ticket = wait_begin_shielded(t, WAIT_SCOPE, s);
		lock_drop(&t->lock, LOCK_TASK);
		wait_park(t, CO_FOREVER);
		lock_take(&t->lock, LOCK_TASK);
		s->co__ticket = 0;
	}
	lock_drop(&t->lock, LOCK_TASK);
}

EXPORT int
co_scope_leave(struct co_scope *s)
{
	struct task *t = task_self();

	if (!s || !t || t->scope != s || s->co__owner != t)
		return -EINVAL;
	if (unlikely(a_load_relaxed(&s->co__count) != 0))
		wait_children(t, s);
	timer_off(s);
	lock_take(&t->lock, LOCK_TASK);
	t->scope = s->co__outer;
	a_store_relaxed(&t->ended, (int16_t)ended_in(t, t->scope));
	lock_drop(&t->lock, LOCK_TASK);
	s->co__left = 1;
	if (s->status == 0 && s->co__hit)
		s->status = s->co__ended;
	return s->status;
}

/* --- deadlines, notes ------------------------------------------------------ */

cold int
scope_arm_slow(struct co_scope *s, struct timers *h)
{
	int code;

	if (!a_cas_acqrel(&s->co__timer_state, (uint32_t)SCOPE_TIMER_NONE,
	    (uint32_t)SCOPE_TIMER_ARMED))
		return 0;
	s->co__heap = h;
	code = timer_add(h, s->co__deadline, s, 0, &s->co__timer);
	if (code < 0)
		a_store_release(&s->co__timer_state, SCOPE_TIMER_NONE);
	return code;
}

cold int
co__wait_noted(struct task *t, int code)
{
	struct co_scope *s;

	for (s = t->scope; s && a_load_relaxed(&s->co__ended);
	    s = s->co__outer)
		a_store_relaxed(&s->co__hit, 1);
	return code;
}

EXPORT bool
co_cancelled(void)
{
	struct self *s = self_get();

	return s && s->current && a_load_relaxed(&s->current->ended) != 0;
}

/* --- what the macros call -------------------------------------------------- */

EXPORT struct co_scope *
co__scope_begin(struct co_scope *s, const struct co_scope_options *options)
{
	return co_scope_enter(s, options) < 0 ? NULL : s;
}

EXPORT struct co_scope *
co__scope_end(struct co_scope *s)
{
	co_scope_leave(s);
	return NULL;
}

EXPORT void
co__scope_cleanup(struct co_scope **s)
{
	if (*s)
		co_scope_leave(*s);
}

/* The first call enters the scope; the second ends the loop. */
static bool
block_begin(struct co_scope *s, const struct co_scope_options *o, bool shield)
{
	if (s->co__open)
		return false;
	s->co__open = 1;
	if (enter(s, o, shield) < 0) {
		s->co__open = 0;
		return false;
	}
	return true;
}

EXPORT bool
co__timeout_begin(struct co_scope *s, co_time duration)
{
	struct co_scope_options o = {
		.timeout = duration > 0 ? duration : -1 };

	return block_begin(s, &o, false);
}

EXPORT bool
co__shield_begin(struct co_scope *s, int unused)
{
	(void)unused;
	return block_begin(s, NULL, true);
}

EXPORT void
co__block_cleanup(struct co_scope *s)
{
	if (s->co__open && !s->co__left)
		co_scope_leave(s);
}

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
 *	I5  a task's scopes have ended before its `ended` says so: who was woken
 *	    by the end of a scope finds the reason there.
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
 *
 * Locks: from the outer task to the inner, as deep as the tree is, while a
 * cancellation walks it (end_tree); so nothing on its path can end meanwhile.
 *
 * Rejected: asking the chain of scopes outwards at each wait; it costs a load
 * for each level, always, where this costs a walk only when something ends.
 */
#include "scope.h"

enum { CHILD_FIRST };

/* In task->ended: an end whose code is no errno, and too long for the field.
   The scope has it. */
enum { ENDED_LONG = INT16_MIN };

static int16_t
short_code(int code)
{
	return code > ENDED_LONG ? (int16_t)code : ENDED_LONG;
}

/* What t's waits give; t->lock is held, or t asks. */
static int
long_code(const struct task *t, int ended)
{
	return unlikely(ended == ENDED_LONG) ?
	    a_load_relaxed(&t->scope->co__ended) : ended;
}

static void
child_link(struct co_scope *s, struct task *c)
{
	struct task *head = s->co__children[CHILD_FIRST];

	c->sib_next = head;
	c->sib_prev = NULL;
	if (head)
		head->sib_prev = c;
	s->co__children[CHILD_FIRST] = c;
	a_store_relaxed(&s->co__count, s->co__count + 1);
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
	a_store_relaxed(&s->co__count, s->co__count - 1);
}

/* --- ending a tree --------------------------------------------------------- */

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

/* t's lock is held.  Ends t's scopes, and t itself, as far as no shield protects
   them; gives the innermost of these scopes, where the walk goes on. */
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
	for (x = from; x != end; x = x->co__outer)
		if (!x->co__ended)
			a_store_relaxed(&x->co__ended, k->code);
	if (shielded)
		return from;
	if (!t->ended)		/* pairs with co__wait_noted; C1 */
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
	struct self *s = self_get();	/* NULL: a thread that is new to weft */

	return s && a_load_relaxed(&co__solo) == s;
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

	if (id == 0 || a_load_relaxed(&t->home) != f->root)
		return;
	lock_take(&t->lock, LOCK_TASK);
	if (a_load_relaxed(&t->id) == id &&
	    a_load_relaxed(&t->home) == f->root) {
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
	struct runtime *rt = ((struct task *)root->co__owner)->worker->rt;
	struct flat_walk f = { .root = root,
	    .k = { .code = code, .force = force } };

	a_heavy_barrier();					/* E2 */
	task_each(rt, flat_visit, &f);				/* E3 */
	if (!f.missed || alone())
		return;
	a_heavy_barrier();					/* C2 */
	task_each(rt, flat_visit, &f);
}

static int64_t
flat_alive(const struct co_scope *root)
{
	struct runtime *rt = ((struct task *)root->co__owner)->worker->rt;
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
static cold void
flat_left_late(struct co_scope *root, struct task *child)
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

static always_inline void
flat_remove(struct co_scope *root, struct task *child)
{
	a_store_release(&child->id, 0);
	flat_count(child->worker, -1);				/* F1 */
	a_light_barrier();					/* F2 */
	if (unlikely(a_load_relaxed(&root->co__ended)))		/* F3 */
		flat_left_late(root, child);
}

static always_inline int
flat_add(struct co_scope *root, struct task *child)
{
	int code;

	a_store_relaxed(&child->home, root);
	child->scope = root;
	flat_count(child->worker, 1);				/* F1 */
	a_light_barrier();					/* F2 */
	code = a_load_relaxed(&root->co__ended);		/* F3 */
	if (unlikely(code))
		flat_remove(root, child);
	return code;
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
	bool first;

	if (!s)
		return;
	owner = s->co__owner;
	lock_take(&owner->lock, LOCK_TASK);
	first = !s->co__ended;
	if (first) {
		s->status = -ECANCELED;
		scope_end(s, -ECANCELED, false);
	}
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

static void
time_out(struct co_scope *s)
{
	struct task *owner = s->co__owner;

	lock_take(&owner->lock, LOCK_TASK);
	scope_end(s, -ETIMEDOUT, false);
	lock_drop(&owner->lock, LOCK_TASK);
}

void
scope_expired(struct co_scope *s)
{
	time_out(s);
	/* From here on it may be left: pairs with timer_off. */
	a_store_release(&s->co__timer_state, SCOPE_TIMER_FIRED);
}

void
scope_cancel_task(struct task *t, uint64_t id)
{
	struct walk k = { .top = t, .code = -ECANCELED };

	lock_take(&t->lock, LOCK_TASK);
	a_heavy_barrier();	/* pairs with scope_hide_task */
	/* Where its home has ended, that is the reason, and it will hear. */
	if (a_load_relaxed(&t->id) == id && !t->cancelled &&
	    !a_load_relaxed(&t->home->co__ended)) {
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

	if (s->co__flat)
		return flat_add(s, child);
	if (unlikely(owner->kind == TASK_FOREIGN))
		return -EINVAL;		/* it could outlive its runtime */
	lock_take(&owner->lock, LOCK_TASK);
	code = s->co__ended;
	if (likely(code == 0)) {
		child->home = child->scope = s;
		child_link(s, child);
	}
	lock_drop(&owner->lock, LOCK_TASK);
	return code;
}

/*
 * The owner's lock is held.  An end that no wait has met yet is no status: the
 * failure is then the first that there is to say.
 */
static cold void
child_failed(struct co_scope *s, int ret)
{
	if (s->status == 0 && !a_load_relaxed(&s->co__hit))
		s->status = ret;
	scope_end(s, ret, false);
}

void
scope_remove(struct task *child, int ret)
{
	struct co_scope *s = child->home;
	struct task *owner = s->co__owner;
	bool last;

	if (s->co__flat) {
		flat_remove(s, child);
		return;
	}
	lock_take(&owner->lock, LOCK_TASK);
	/* A canceller may hold the child's lock while it holds the owner's;
	   it has let go of both when we get here. */
	child_unlink(s, child);
	if (unlikely(ret < 0) && !child->handle) {
		s->failures++;
		if (s->co__policy == CO_FAIL_FAST)
			child_failed(s, ret);
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
	s->co__flat = 0;
	s->co__owner = t;
	s->co__children[CHILD_FIRST] = NULL;
	s->co__count = 0;
	s->co__ticket = 0;
	s->co__timer_state = SCOPE_TIMER_NONE;
	lock_take(&t->lock, LOCK_TASK);
	s->co__outer = t->scope;
	s->co__ended = shield && !(t->worker &&
	    a_load_relaxed(&t->worker->rt->forced)) ? 0 :
	    long_code(t, t->ended);
	set_deadline(s, o, t->scope);
	t->scope = s;
	a_store_relaxed(&t->ended, short_code(s->co__ended));
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

static bool
has_children(const struct co_scope *s)
{
	return a_load_relaxed(&s->co__count) != 0 ||
	    (unlikely(s->co__flat) && flat_alive(s) != 0);
}

static void
wait_children(struct task *t, struct co_scope *s)
{
	lock_take(&t->lock, LOCK_TASK);
	while (has_children(s)) {
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
	if (unlikely(has_children(s)))
		wait_children(t, s);
	timer_off(s);
	lock_take(&t->lock, LOCK_TASK);
	t->scope = s->co__outer;
	a_store_relaxed(&t->ended, short_code(ended_in(t, t->scope)));
	lock_drop(&t->lock, LOCK_TASK);
	s->co__left = 1;
	if (s->status == 0 && s->co__hit)
		s->status = s->co__ended;
	return s->status;
}

/* --- deadlines, notes ------------------------------------------------------ */

cold int
scope_arm_slow(struct co_scope *s, struct worker *w)
{
	int code;

	while (!a_cas_acqrel(&s->co__timer_state, (uint32_t)SCOPE_TIMER_NONE,
	    (uint32_t)SCOPE_TIMER_ARMING)) {
		if (a_load_acquire(&s->co__timer_state) > SCOPE_TIMER_ARMING)
			return 0;
		os_give_way();	/* another one arms it, or finds no memory */
	}
	s->co__heap = &w->timers;
	code = timer_add(&w->timers, w->now, s->co__deadline, s, 0,
	    &s->co__timer);
	/* Unless it is firing by now. */
	a_cas_acqrel(&s->co__timer_state, (uint32_t)SCOPE_TIMER_ARMING,
	    (uint32_t)(code < 0 ? SCOPE_TIMER_NONE : SCOPE_TIMER_ARMED));
	return code;
}

void
scope_look(struct task *t, co_time now)
{
	struct co_scope *s = t->scope ? t->scope->co__armer : NULL;

	if (s && now >= s->co__deadline && !a_load_relaxed(&s->co__ended))
		time_out(s);
}

cold int
co__wait_noted(struct task *t, int code)
{
	struct co_scope *s = t->scope;

	(void)a_load_acquire(&t->ended);	/* pairs with end_task */
	code = long_code(t, code);
	while (s && a_load_relaxed(&s->co__ended)) {
		a_store_relaxed(&s->co__hit, 1);
		s = s->co__shield ? NULL : s->co__outer;
	}
	return code;
}

bool
co_cancelled(void)
{
	struct self *s = self_get();
	struct task *t = s ? s->current : NULL;

	if (!t)
		return false;
	if (t->scope && t->scope->co__armer && !a_load_relaxed(&t->ended))
		scope_look(t, os_now());
	return a_load_relaxed(&t->ended) != 0;
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

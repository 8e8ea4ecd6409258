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
 *	I2  a scope that has ended early, and everything inside it that no
 *	    shield protects, has co__ended != 0, and so have those tasks'
 *	    `ended`: one load tells a wait whether it may begin.
 *	I3  the first reason stays: co__ended is written once.
 *	I4  a child leaves its home before it ends, and a scope is left only
 *	    when it has no children: whoever holds the lock of a child's
 *	    spawner may use the child.
 *	I5  a task's scopes have ended before its `ended` says so: who was woken
 *	    by the end of a scope finds the reason there.
 *
 * scope_end.c is the other half: how a scope ends early, and what is inside it.
 */
#include "scope_inside.h"

/* --- children ------------------------------------------------------------- */

/*
 * s takes no child of the caller.  Who ends s may not have come to the caller
 * yet, who lives in it; he has heard now, and his waits say so too.
 */
static cold int
refused(const struct co_scope *s, int code)
{
	struct task *t = self_get()->current;

	lock_take(&t->lock, LOCK_TASK);
	if (t->scope == s && !t->ended)
		a_store_release(&t->ended, short_code(code));
	lock_drop(&t->lock, LOCK_TASK);
	return code;
}

int
scope_add(struct co_scope *s, struct task *child)
{
	struct task *owner = s->co__owner;
	int code;

	if (s->co__flat) {
		code = flat_add(s, child);
		return likely(code == 0) ? 0 : refused(s, code);
	}
	if (unlikely(owner->kind == TASK_FOREIGN))
		return -EINVAL;		/* it could outlive its runtime */
	lock_take(&owner->lock, LOCK_TASK);
	code = s->co__ended;
	if (likely(code == 0))
		child_link(s, child);
	lock_drop(&owner->lock, LOCK_TASK);
	return likely(code == 0) ? 0 : refused(s, code);
}

/*
 * The owner's lock is held.  An end that no wait has met yet is no status: the
 * failure is then the first that there is to say.
 */
static cold void
child_failed(struct co_scope *s, int ret)
{
	ret += ret == WAIT_UNTIL;	/* which means another thing */
	if (s->status == 0 && !a_load_relaxed(&s->co__hit))
		s->status = ret;
	scope_end(s, ret, false);
}

noinline struct task *
co__scope_remove(struct task *child, int ret)
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
		if (s->co__policy == CO_FAIL_FAST)
			child_failed(s, ret);
	}
	last = s->co__count == 0 && s->co__ticket != 0 &&
	    wait_claim(owner, s->co__ticket);
	lock_drop(&owner->lock, LOCK_TASK);
	if (!last)
		return NULL;
	owner->wake = 0;
	return owner;
}

/* --- entering and leaving ------------------------------------------------- */

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
enter(struct co_scope *s, const struct co_scope_options *o)
{
	struct task *t = task_self();
	bool shield = o && o->shield;

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
	return s ? enter(s, options) : -EINVAL;
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

/* With none left, what timer_off sees is what the last of them saw or newer:
   pairs with child_unlink. */
static bool
has_children(const struct co_scope *s)
{
	return a_load_acquire(&s->co__count) != 0 ||
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

/* --- deadlines, notes ----------------------------------------------------- */

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

	/* Where s has ended, but t not, its end is on its way to t; who has
	   the owner's lock then has seen it arrive. */
	if (s && now >= s->co__deadline && !a_load_relaxed(&t->ended))
		scope_time_out(s);
}

cold int
co__wait_noted(struct task *t, int code)
{
	(void)a_load_acquire(&t->ended);	/* pairs with end_task */
	code = long_code(t, code);
	scope_note(t->scope, code);
	return code;
}

EXPORT bool
co_cancelled(void)
{
	struct task *t = self_get()->current;

	if (!t)
		return false;
	if (t->scope && t->scope->co__armer && !a_load_relaxed(&t->ended))
		scope_look(t, os_now());
	return a_load_acquire(&t->ended) != 0;	/* pairs with end_task */
}

/* --- what the macros call ------------------------------------------------- */

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
block_begin(struct co_scope *s, const struct co_scope_options *o)
{
	if (s->co__open)
		return false;
	s->co__open = 1;
	if (enter(s, o) < 0) {
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

	return block_begin(s, &o);
}

EXPORT bool
co__shield_begin(struct co_scope *s, int unused)
{
	static const struct co_scope_options o = { .shield = true };

	(void)unused;
	return block_begin(s, &o);
}

EXPORT void
co__block_cleanup(struct co_scope *s)
{
	if (s->co__open && !s->co__left)
		co_scope_leave(s);
}

/* SPDX-License-Identifier: MIT */
/*
 * snap.c - one coroutine as it was at one moment.
 *
 * Layer 10.  Everything is copied by the kernel (os_peek) and then looked at:
 * other threads may write to it, or unmap it, at any time.  What makes a copy
 * true is that the record says the same before and after:
 *
 *	id	changes when the record is another coroutine's
 *	park	changes when a wait begins, or ends (TICKETS in task.h)
 *	bound	changes once in a life, when it gets its stack
 *
 * A coroutine writes what it waits for before the ticket, so that while the
 * ticket stays, that stays.  One that runs changes nothing of these: of such a
 * one only what is constant is used, and its name.
 */
#include "snap.h"
#include "os_look.h"
#include "ticket.h"

enum {
	TRIES = 8,
	EXT_SIZE = offsetof(struct task_ext, value),
	REACH = 256 * 1024	/* bytes: the stack of a generator */
};

struct raw {
	struct task task;
	union {
		struct task_ext ext;
		char bytes[sizeof(struct task_ext)];
	};
};

/* True: *r is of one moment. */
static bool
copy(struct raw *r, struct task *t)
{
	uint64_t id = a_load_acquire(&t->id), park = a_load_acquire(&t->park);
	bool bound = a_load_acquire(&t->bound);

	memset(r, 0, sizeof *r);
	if (!os_peek(&r->task, t, sizeof *t))
		return false;
	if (bound && !os_peek(r->bytes, r->task.u.run.ext, EXT_SIZE))
		return false;
	a_fence_seqcst();	/* the copies come before what follows */
	return a_load_relaxed(&t->id) == id && r->task.id == id &&
	    a_load_relaxed(&t->park) == park && r->task.park == park &&
	    a_load_relaxed(&t->bound) == bound && r->task.bound == bound;
}

/* The scopes lie in frames of who entered them. */
static co_time
deadline_of(const struct task *copied)
{
	struct co_scope s;

	if (!os_peek(&s, copied->scope, sizeof s) || !s.co__armer ||
	    !os_peek(&s, s.co__armer, sizeof s))
		return CO_FOREVER;
	return s.co__deadline;
}

static uint8_t
priority_of(const struct task *copied)
{
	return copied->band == BAND_HIGH ? CO_HIGH :
	    copied->band == BAND_LOW ? CO_LOW : CO_NORMAL;
}

static void
fill_stack(struct snap *s, const struct raw *r)
{
	struct stack stack;

	if (!os_peek(&stack, r->ext.stack, sizeof stack) ||
	    stack.hi != (char *)r->ext.stack ||
	    stack.lo >= (char *)r->task.u.run.ext ||
	    stack.hi <= (char *)r->task.u.run.ext)
		return;
	s->lo = (uintptr_t)stack.lo;
	s->hi = (uintptr_t)r->task.u.run.ext;
	s->stack = r->ext.stack;
	s->stack_size = stack.size;
}

static void
fill_bound(struct snap *s, const struct raw *r, struct runtime *rt)
{
	const struct task_ext *e = &r->ext;
	bool on_stack = r->task.on_cpu == 1;

	memcpy(s->name, e->name, TASK_NAME);
	s->name[TASK_NAME - 1] = '\0';
	s->since = e->wait_since;
	fill_stack(s, r);
	if (!on_stack)
		s->sp = r->task.u.run.ctx.sp;
	if (s->park & PARK_WAITING) {
		s->state = SNAP_WAITING;
		s->why = (enum wait_reason)(e->wait_reason % WAIT_REASONS);
		s->obj = e->wait_obj;
		s->until = deadline_of(&r->task);
	} else if (on_stack) {
		s->state = SNAP_RUNNING;
		s->worker = (uint32_t)(r->task.worker - rt->workers);
	} else {
		s->state = s->sp && !backtrace_begun(s->sp) ? SNAP_NEW :
		    SNAP_RUNNABLE;
	}
}

bool
snap_take(struct snap *ret, struct runtime *rt, struct task *t)
{
	struct raw r;
	int i;

	for (i = 0; i < TRIES && !copy(&r, t); i++)
		if (a_load_relaxed(&t->id) == 0)
			return false;
	if (i == TRIES)		/* it goes on and on: then it runs */
		r.task.park &= ~(uint64_t)PARK_WAITING;
	if (r.task.id == 0)
		return false;
	memset(ret, 0, sizeof *ret);
	ret->task = t;
	ret->id = r.task.id;
	ret->park = r.task.park;
	ret->pinned = r.task.band == BAND_PINNED;
	ret->priority = priority_of(&r.task);
	ret->ended = r.task.ended != 0 && !(r.task.park & PARK_SHIELDED);
	ret->home = r.task.home;
	ret->until = CO_FOREVER;
	ret->site = r.task.site;
	ret->parent = r.task.parent;
	if (r.task.bound)
		fill_bound(ret, &r, rt);
	else
		ret->state = SNAP_NEW;
	return true;
}

bool
snap_holds(const struct snap *s)
{
	uint64_t park;

	a_fence_seqcst();	/* what was read comes before */
	park = a_load_acquire(&s->task->park);
	return park == s->park && a_load_acquire(&s->task->id) == s->id;
}

void
snap_backtrace(const struct snap *s, struct backtrace *ret)
{
	uintptr_t sp = (uintptr_t)s->sp;

	ret->n = 0;
	if (!sp || !s->lo)
		return;
	if (sp >= s->lo && sp < s->hi)
		backtrace_parked(ret, s->sp, s->lo, s->hi);
	else	/* in a generator's function: its first frame is the last */
		backtrace_parked(ret, s->sp, sp, sp + REACH);
	if (!snap_holds(s) || a_load_relaxed(&s->task->on_cpu) == 1)
		ret->n = 0;
}

uint64_t
snap_who(const void *task, bool *ret_thread)
{
	struct task copied;

	*ret_thread = false;
	if (!os_peek(&copied, task, sizeof copied))
		return 0;
	*ret_thread = copied.kind == TASK_FOREIGN;
	return *ret_thread ? 0 : copied.id;
}

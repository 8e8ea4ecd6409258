/* SPDX-License-Identifier: MIT */
/*
 * park_inline.h - the inline half of park.h.
 *
 * Layer 5.
 */
#ifndef WEFT_PARK_INLINE_H
#define WEFT_PARK_INLINE_H

#include "trace_point.h"
#include "worker.h"

int wait_park_raw(struct task *t, co_time until);

struct task *co__stand_in(void);	/* foreign.c */
/* Remembers in t's scopes that one of them ended a wait; gives code. */
int co__wait_noted(struct task *t, int code);

static always_inline struct task *
task_self(void)
{
	struct task *t = self_get()->current;

	return likely(t != NULL) ? t : co__stand_in();
}

/* All of it but what depends on whose stand-in t may be. */
static always_inline uint64_t
co__wait_open_as(struct task *t, enum wait_reason why, const void *obj,
    uint64_t bits)
{
	uint64_t ticket = (t->park & ~(uint64_t)(PARK_STEP - 1)) + PARK_STEP +
	    bits;

	debug_assert(!(t->park & PARK_WAITING));
	t->u.run.ext->wait_reason = why;
	t->u.run.ext->wait_obj = obj;
	trace_park(t, why, obj);
	a_store_release(&t->park, ticket);
	return ticket;
}

static always_inline uint64_t
co__wait_open(struct task *t, enum wait_reason why, const void *obj,
    uint64_t bits)
{
	if (unlikely(t->kind == TASK_FOREIGN))
		co__foreign_enter();
	else
		t->u.run.ext->wait_since = t->worker->now;
	return co__wait_open_as(t, why, obj, bits);
}

static always_inline int
wait_check(struct task *t)
{
	int code = a_load_relaxed(&t->ended);

	return likely(code == 0) ? 0 : co__wait_noted(t, code);
}

static always_inline int
wait_enter(struct task **ret)
{
	struct task *t = task_self();

	*ret = t;
	return likely(t != NULL) ? wait_check(t) : -ENOMEM;
}

static always_inline uint64_t
wait_begin(struct task *t, enum wait_reason why, const void *obj)
{
	return co__wait_open(t, why, obj, PARK_WAITING);
}

static always_inline uint64_t
wait_begin_shielded(struct task *t, enum wait_reason why, const void *obj)
{
	return co__wait_open(t, why, obj, PARK_WAITING | PARK_SHIELDED);
}

static always_inline bool
wait_cancel(struct task *t, uint64_t ticket)
{
	if (!wait_claim(t, ticket))
		return false;
	if (unlikely(t->kind == TASK_FOREIGN))
		co__foreign_leave();
	return true;
}

#endif

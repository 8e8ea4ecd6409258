/* SPDX-License-Identifier: MIT */
/*
 * fault.c - names the coroutine that overflowed its stack.
 *
 * Layer 10.  Runs in a signal handler, on the alternate stack: no stdio, no
 * allocation, no lock.
 */
#include "fault.h"
#include "place.h"
#include "snap.h"
#include "stack.h"
#include "waits.h"

#include <unistd.h>

static void
report(const struct stack *s, const void *sp)
{
	const struct task *t = s->owner;
	const struct task_ext *e = t ? t->u.run.ext : NULL;
	struct text x = { .fd = STDERR_FILENO };

	text_add(&x, "stack overflow in coroutine ");
	if (t)
		text_dec(&x, t->id);
	if (e)
		text_name(&x, e->name);
	text_add(&x, ", stack size ");
	text_dec(&x, s->size);
	text_add(&x, " bytes [");
	text_hex(&x, (uintptr_t)s->lo);
	text_add(&x, ", ");
	text_hex(&x, (uintptr_t)s->hi);
	text_add(&x, "), sp ");
	text_hex(&x, (uintptr_t)sp);
	if (t && t->site) {
		text_add(&x, ", spawned at ");
		place_add(&x, t->site);
		text_add(&x, " by ");
		text_dec(&x, t->parent);
	}
	text_add(&x, "\n");
	text_flush(&x);
}

static const void *
who_runs(void)
{
	return self_get()->current;
}

static void
add_last_wait(struct text *x, const struct task_ext *e)
{
	struct wait_facts f;

	if (e->wait_reason == WAIT_NONE || e->wait_reason >= WAIT_REASONS)
		return;
	wait_facts(&f, (enum wait_reason)e->wait_reason, e->wait_obj);
	text_add(x, ", last wait: ");
	text_add(x, f.op);
	if (f.obj) {
		text_add(x, " ");
		text_hex(x, (uintptr_t)f.obj);
	}
}

/* The end of a line of bug.c: who was it, and what was he at? */
static void
where(void)
{
	const struct self *s = self_get();
	const struct task *t = s->worker ? s->current : NULL;
	struct text x = { .fd = STDERR_FILENO };

	if (t) {
		text_add(&x, " in coroutine ");
		text_dec(&x, t->id);
		text_name(&x, t->u.run.ext->name);
		add_last_wait(&x, t->u.run.ext);
	} else if (s->worker) {
		text_add(&x, " on the stack of worker ");
		text_dec(&x, s->worker->index);
	} else {
		text_add(&x, " in a thread that is none of weft's");
	}
	text_flush(&x);
}

int
fault_install(void)
{
	a_store_relaxed(&co__bug_where, where);
	return stack_fault_install(report, who_runs);
}

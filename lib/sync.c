/* SPDX-License-Identifier: MIT */
/*
 * sync.c - waiting on a synchronisation object, written once.
 *
 * Layer 6.  Built on park, waiter.
 *
 *	I1  a waiter that is queued belongs to a call that has not returned:
 *	    its frame is good while the object's lock is held.
 *	I2  a waiter that was claimed is good until task_wake, on whatever list
 *	    it is.
 */
#include "sync.h"

#include <stdio.h>

#include "park_here.h"

void
co__sync_queue(struct sync *s, struct task *t, struct waiter *w,
    const struct sync_wait *how)
{
	w->task = t;
	w->slot = how->slot;
	w->index = 0;
	w->status = 0;
	w->multi = false;
	w->ticket = how->shielded ? wait_begin_shielded(t, how->why, s) :
	    wait_begin(t, how->why, s);
	waitq_push(&s->q, w);
	sync_drop(s);
}

static always_inline int
sleep_inline(struct sync *s, struct task *t)
{
	int code = wait_park_here(t);

	if (unlikely(code < 0))
		sync_take(s);
	return code;
}

int
co__sync_sleep(struct sync *s, struct task *t)
{
	return sleep_inline(s, t);
}

/* Called last, as in chan.c. */
returns_by_jump int
co__sync_wait(struct sync *s, struct task *t, const struct sync_wait *how)
{
	struct waiter w;
	int code;

	co__sync_queue(s, t, &w, how);
	code = sleep_inline(s, t);
	if (unlikely(code < 0)) {
		waitq_remove(&s->q, &w);
		sync_drop(s);
	}
	return code;
}

struct waiter *
co__sync_claim_all(struct sync *s)
{
	struct waiter *list = NULL, **last = &list, *w;

	while ((w = waitq_claim(&s->q)) != NULL) {
		*last = w;
		last = &w->next;
	}
	*last = NULL;
	return list;
}

void
co__sync_wake_one(struct waiter *w)
{
	task_wake_late(w->task, w->index);
}

void
co__sync_wake(struct waiter *list)
{
	struct waiter *next;

	for (; list; list = next) {
		next = list->next;	/* list is gone once it is woken */
		co__sync_wake_one(list);
	}
}

#ifdef WEFT_DEBUG
cold void
co__sync_misuse(const char *call, const struct task *holder)
{
	char what[128];

	if (!holder)
		snprintf(what, sizeof what, "%s: nobody holds it", call);
	else if (holder->kind == TASK_FOREIGN)
		snprintf(what, sizeof what, "%s: another thread holds it",
		    call);
	else
		snprintf(what, sizeof what, "%s: coroutine %llu holds it",
		    call, (unsigned long long)holder->id);
	bug(what);
}
#endif

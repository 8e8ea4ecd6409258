/* SPDX-License-Identifier: MIT */
/*
 * future.c - one outcome, many readers.
 *
 * Layer 6.  Built on select.
 *
 *	I1  state moves once, from PENDING to SET or FAILED, under the lock;
 *	    from then on value and code do not change.
 *	I2  state != PENDING  =>  nobody is queued.
 *
 * By I1 a reader who has seen the outcome, or was woken for it, copies the
 * value without the lock.
 */
#include <weft/values.h>

#include "cell.h"
#include "sync.h"

enum { PENDING, SET, FAILED };

struct future {
	struct cell cell;	/* value: I1 */
	uint32_t state;		/* [lock; atomic read by anybody] */
	int code;		/* [I1] < 0 when FAILED */
};

EXPORT void *
co__future_new(size_t size, size_t align)
{
	return cell_new(sizeof(struct future), size, align);
}

EXPORT void *
co_future_ref(void *f)
{
	return cell_ref(f);
}

EXPORT void
co_future_unref(void *f)
{
	cell_unref(f);
}

static int
settle(struct future *f, uint32_t state, const void *value, int code)
{
	struct waiter *list = NULL, **end = &list, *w;

	lock_take(&f->cell.lock, LOCK_CHAN);
	if (f->state != PENDING) {
		lock_drop(&f->cell.lock, LOCK_CHAN);
		return -EALREADY;
	}
	if (value && f->cell.size)
		memcpy(f->cell.value, value, f->cell.size);
	f->code = code;
	a_store_release(&f->state, state);	/* pairs with settled */
	while ((w = waitq_claim(&f->cell.q)) != NULL) {
		w->next = NULL;
		*end = w;
		end = &w->next;
	}
	lock_drop(&f->cell.lock, LOCK_CHAN);
	co__sync_wake(list);
	return 0;
}

EXPORT int
co__future_set(void *f, const void *value)
{
	return f ? settle(f, SET, value, 0) : -EINVAL;
}

EXPORT int
co_future_fail(void *f, int code)
{
	return f && code < 0 ? settle(f, FAILED, NULL, code) : -EINVAL;
}

static bool
settled(const struct future *f)
{
	return a_load_acquire(&f->state) != PENDING;	/* with settle */
}

static int
outcome(const struct future *f, void *ret_value)
{
	if (f->state == SET && f->cell.size)
		memcpy(ret_value, f->cell.value, f->cell.size);
	return f->code;
}

EXPORT int
co__future_get(void *future, void *ret_value)
{
	struct future *f = future;
	struct task *t;
	struct waiter w;
	int code;

	if (unlikely(!f))
		return -EINVAL;
	code = wait_enter(&t);
	if (unlikely(code))
		return code;
	w = (struct waiter){ .task = t };
	if (settled(f))
		return outcome(f, ret_value);
	lock_take(&f->cell.lock, LOCK_CHAN);
	if (f->state != PENDING) {
		lock_drop(&f->cell.lock, LOCK_CHAN);
		return outcome(f, ret_value);
	}
	w.ticket = wait_begin(t, WAIT_FUTURE, f);
	waitq_push(&f->cell.q, &w);
	lock_drop(&f->cell.lock, LOCK_CHAN);
	code = wait_park(t, CO_FOREVER);
	if (likely(code >= 0))
		return outcome(f, ret_value);
	lock_take(&f->cell.lock, LOCK_CHAN);
	waitq_remove(&f->cell.q, &w);
	lock_drop(&f->cell.lock, LOCK_CHAN);
	return code;
}

/* --- as a case of a select ----------------------------------------------- */

static int
case_open(struct co_case *c)
{
	return c->co__obj ? 0 : -EINVAL;
}

static struct lock *
case_lock(struct co_case *c)
{
	return &((struct future *)c->co__obj)->cell.lock;
}

static bool
case_maybe(struct co_case *c)
{
	return settled(c->co__obj);
}

static bool
case_take(struct co_case *c, struct case_taken *taken)
{
	(void)taken;
	return ((struct future *)c->co__obj)->state != PENDING;
}

static void
case_finish(struct co_case *c, struct case_taken *taken)
{
	taken->status = outcome(c->co__obj, c->co__slot);
}

static int
case_enqueue(struct co_case *c, struct waiter *w)
{
	waitq_push(&((struct future *)c->co__obj)->cell.q, w);
	return 0;
}

static void
case_dequeue(struct co_case *c, struct waiter *w)
{
	waitq_remove(&((struct future *)c->co__obj)->cell.q, w);
}

static int
case_chosen(struct co_case *c, struct waiter *w)
{
	(void)w;
	return outcome(c->co__obj, c->co__slot);
}

static const struct case_ops future_case = {
	.why = WAIT_FUTURE,
	.rank = LOCK_CHAN,
	.open = case_open,
	.lock = case_lock,
	.maybe = case_maybe,
	.take = case_take,
	.finish = case_finish,
	.enqueue = case_enqueue,
	.dequeue = case_dequeue,
	.chosen = case_chosen,
};

EXPORT struct co_case
co__on_future(void *f, void *value, int *status)
{
	return co__case((uintptr_t)&future_case, f, value, status);
}

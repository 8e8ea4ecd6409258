/* SPDX-License-Identifier: MIT */
/*
 * watch.c - the latest value and its version.
 *
 * Layer 6.  Built on select.
 *
 *	I1  version counts the sets, from 1; it never goes back.
 *	I2  who is queued has seen the present version.
 *
 * A slow reader misses values, never the latest: who is woken reads what is
 * there when it runs.
 */
#include <weft/values.h>

#include "cell.h"
#include "sync.h"

struct watch_value {
	struct cell cell;	/* value: [lock] */
	uint64_t version;	/* [lock; atomic read by anybody] */
};

EXPORT void *
co__watch_new(size_t size, size_t align, const void *initial)
{
	struct watch_value *v = cell_new(sizeof *v, size, align);

	if (!v)
		return NULL;
	v->version = 1;
	if (size)
		memcpy(v->cell.value, initial, size);
	return v;
}

EXPORT void *
co_watch_ref(void *v)
{
	return cell_ref(v);
}

EXPORT void
co_watch_unref(void *v)
{
	cell_unref(v);
}

EXPORT int
co__watch_set(void *watch, const void *value)
{
	struct watch_value *v = watch;
	struct waiter *list = NULL, **end = &list, *w;

	if (!v)
		return -EINVAL;
	lock_take(&v->cell.lock, LOCK_CHAN);
	if (v->cell.size)
		memcpy(v->cell.value, value, v->cell.size);
	a_store_release(&v->version, v->version + 1);
	while ((w = waitq_claim(&v->cell.q)) != NULL) {
		w->next = NULL;
		*end = w;
		end = &w->next;
	}
	lock_drop(&v->cell.lock, LOCK_CHAN);
	co__sync_wake(list);
	return 0;
}

/* The lock is held. */
static void
read_value(const struct watch_value *v, void *ret_value, uint64_t *ret_version)
{
	if (v->cell.size)
		memcpy(ret_value, v->cell.value, v->cell.size);
	if (ret_version)
		*ret_version = v->version;
}

EXPORT int
co__watch_get(void *watch, void *ret_value, uint64_t *ret_version)
{
	struct watch_value *v = watch;

	if (!v)
		return -EINVAL;
	lock_take(&v->cell.lock, LOCK_CHAN);
	read_value(v, ret_value, ret_version);
	lock_drop(&v->cell.lock, LOCK_CHAN);
	return 0;
}

EXPORT int
co__watch_next(void *watch, void *ret_value, uint64_t *version)
{
	struct watch_value *v = watch;
	struct task *t;
	struct waiter w;
	int code;

	if (unlikely(!v || !version))
		return -EINVAL;
	code = wait_enter(&t);
	if (unlikely(code))
		return code;
	w = (struct waiter){ .task = t };
	lock_take(&v->cell.lock, LOCK_CHAN);
	if (v->version == *version) {
		w.ticket = wait_begin(t, WAIT_WATCH, v);
		waitq_push(&v->cell.q, &w);
		lock_drop(&v->cell.lock, LOCK_CHAN);
		code = wait_park(t, CO_FOREVER);
		lock_take(&v->cell.lock, LOCK_CHAN);
		if (unlikely(code < 0))
			waitq_remove(&v->cell.q, &w);
	}
	if (likely(code >= 0))
		read_value(v, ret_value, version);
	lock_drop(&v->cell.lock, LOCK_CHAN);
	return code < 0 ? code : 0;
}

/* --- as a case of a select: co__own[0] is where the version is ----------- */

static uint64_t *
case_version(const struct co_case *c)
{
	return (uint64_t *)c->co__own[0];
}

static int
case_open(struct co_case *c)
{
	return c->co__obj && case_version(c) ? 0 : -EINVAL;
}

static struct lock *
case_lock(struct co_case *c)
{
	return &((struct watch_value *)c->co__obj)->cell.lock;
}

static bool
case_maybe(struct co_case *c)
{
	const struct watch_value *v = c->co__obj;

	return a_load_relaxed(&v->version) != *case_version(c);
}

static bool
case_take(struct co_case *c, struct case_taken *taken)
{
	const struct watch_value *v = c->co__obj;

	(void)taken;
	if (v->version == *case_version(c))
		return false;
	read_value(v, c->co__slot, case_version(c));
	return true;
}

static int
case_enqueue(struct co_case *c, struct waiter *w)
{
	waitq_push(&((struct watch_value *)c->co__obj)->cell.q, w);
	return 0;
}

static void
case_dequeue(struct co_case *c, struct waiter *w)
{
	waitq_remove(&((struct watch_value *)c->co__obj)->cell.q, w);
}

static int
case_chosen(struct co_case *c, struct waiter *w)
{
	co__watch_get(c->co__obj, c->co__slot, case_version(c));
	return w->status;
}

static const struct case_ops watch_case = {
	.why = WAIT_WATCH,
	.rank = LOCK_CHAN,
	.open = case_open,
	.lock = case_lock,
	.maybe = case_maybe,
	.take = case_take,
	.enqueue = case_enqueue,
	.dequeue = case_dequeue,
	.chosen = case_chosen,
};

EXPORT struct co_case
co__on_watch(void *watch, void *value, uint64_t *version)
{
	struct co_case c = co__case((uintptr_t)&watch_case, watch, value, NULL);

	c.co__own[0] = (uintptr_t)version;
	return c;
}

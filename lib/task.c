/* SPDX-License-Identifier: MIT */
/*
 * task.c - task records, and the binding of a task to its stack.
 *
 * Layer 4.  Records come from chunks that live as long as the runtime.  Each
 * worker keeps free ones of its own; batches move through the runtime.
 *
 *	I1  a record on a free list has id 0.
 *	I2  a worker keeps at most TASKS_KEPT free records.
 */
#include "worker.h"

#include <stdlib.h>

enum { CHUNK = 64 * 1024, BATCH = 2048 };

struct slab_chunk {
	struct slab_chunk *next;	/* [const] */
	uint32_t count;			/* [const] */
	struct task task[] cache_aligned;	/* [const] where they are */
};

#ifndef WEFT_TSAN
#ifndef WEFT_ASAN
_Static_assert(sizeof(struct task) == 128, "goals: 4,250 bytes a coroutine");
#endif
#endif

/* Makes a chunk and gives its records to w.  False: no memory. */
static bool
add_chunk(struct worker *w)
{
	struct runtime *rt = w->rt;
	struct slab_chunk *c = os_map_coloured(CHUNK, COLOUR_TASKS);
	uint32_t i;

	if (!c)
		return false;
	c->count = (uint32_t)((CHUNK - sizeof *c) / sizeof(struct task));
	for (i = c->count; i-- > 0; ) {
		c->task[i].next = w->free_tasks;
		w->free_tasks = &c->task[i];
	}
	w->free_count += c->count;
	lock_take(&rt->slab_lock, LOCK_SLAB);
	c->next = rt->chunks;
	a_store_release(&rt->chunks, c);	/* pairs with task_each */
	lock_drop(&rt->slab_lock, LOCK_SLAB);
	return true;
}

/* The records that a worker gave away are chains, linked by prev; a chain is
   linked by next. */
static cold bool
refill(struct worker *w)
{
	struct runtime *rt = w->rt;
	struct task *chain;

	lock_take(&rt->slab_lock, LOCK_SLAB);
	chain = rt->free_tasks;
	if (chain)
		rt->free_tasks = chain->prev;
	lock_drop(&rt->slab_lock, LOCK_SLAB);
	if (!chain)
		return add_chunk(w);
	w->free_tasks = chain;
	w->free_count = BATCH;
	return true;
}

/* The worker has one more than it keeps. */
cold void
co__task_give_batch(struct worker *w)
{
	struct runtime *rt = w->rt;
	struct task *chain = w->free_tasks, *last = chain;
	int i;

	for (i = 1; i < BATCH; i++)
		last = last->next;
	w->free_tasks = last->next;
	w->free_count -= BATCH;
	last->next = NULL;
	lock_take(&rt->slab_lock, LOCK_SLAB);
	chain->prev = rt->free_tasks;
	rt->free_tasks = chain;
	lock_drop(&rt->slab_lock, LOCK_SLAB);
}

static cold void
more_ids(struct worker *w)
{
	enum { BLOCK = 256 };

	w->next_id = a_add_relaxed(&w->rt->next_id, BLOCK) + 1;
	w->end_id = w->next_id + BLOCK;
}

cold struct task *
co__task_new_slow(struct worker *w)
{
	if (!w->free_tasks && (chaos_fail() || !refill(w)))
		return NULL;
	if (w->next_id == w->end_id)
		more_ids(w);
	return task_new(w);
}

void
task_slab_free(struct runtime *rt)
{
	struct slab_chunk *c;

	while ((c = rt->chunks) != NULL) {
		rt->chunks = c->next;
		os_unmap(c, CHUNK);
	}
}

struct slab_chunk *
task_each_some(struct runtime *rt, struct slab_chunk *from, uint32_t n,
    void (*fn)(struct task *, void *), void *arg)
{
	struct slab_chunk *c = from ? from : a_load_acquire(&rt->chunks);
	uint32_t i;

	for (; c && n >= c->count; n -= c->count, c = c->next)
		for (i = 0; i < c->count; i++)
			if (a_load_relaxed(&c->task[i].id) != 0)
				fn(&c->task[i], arg);
	return c;
}

void
task_each(struct runtime *rt, void (*fn)(struct task *, void *), void *arg)
{
	task_each_some(rt, NULL, UINT32_MAX, fn, arg);
}

noinline void
co__task_take_value(struct task *t)
{
	struct task_ext *e = t->u.run.ext;
	size_t size = task_value_size(t);

	if (size <= sizeof e->arg) {
		memcpy(e->value, &e->arg, size);
	} else {
		memcpy(e->value, e->arg, size);
		free(e->arg);
	}
	e->arg = e->value;
	t->handle = NULL;
}

/* FRAME: hi | struct task_ext | the coroutine's first frame | ... lo */
static always_inline struct task_ext *
ext_of(const struct stack *s)
{
	return (struct task_ext *)(void *)(s->hi -
	    round_up(sizeof(struct task_ext), 16));
}

struct task_ext *
task_make_ext(struct worker *w, struct task *t, struct stack *s)
{
	struct task_ext *e = ext_of(s);

	e->stack = s;
	task_settle(w, t, e, s);
	return e;
}

void
task_bind_at(struct worker *w, struct task *t, char *top)
{
	struct task_ext *e = t->u.run.ext;
	bool once = !w->rt->reuse_stacks || t->size_code != 0 ||
	    top != (char *)e;

	context_make(&t->u.run.ctx, e->stack->lo, top,
	    once ? co__task_main_once : co__task_main);
	task_mark_bound(t);
}

static noinline void
bind_unusual(struct worker *w, struct task *t)
{
	struct task_ext *e = task_make_ext(w, t, stack_get(&w->stacks,
	    task_stack_size(t->size_code)));

	task_take_value(t);
	task_bind_at(w, t, (char *)e);
}

/* Calls nothing but what it does last, so that it saves no registers. */
void
task_bind(struct worker *w, struct task *t)
{
	struct stack *s = w->stacks.top;

	if (unlikely(t->size_code != 0) || unlikely(!s) ||
	    unlikely(!s->loop) || unlikely(task_has_value(t))) {
		bind_unusual(w, t);
		return;
	}
	stack_get_one(&w->stacks);
	task_settle(w, t, ext_of(s), s);
	t->u.run.ctx.sp = s->loop;
	task_mark_bound(t);
}

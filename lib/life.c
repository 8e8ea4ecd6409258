/* SPDX-License-Identifier: MIT */
/*
 * life.c - a task from spawn to end.
 *
 * Layer 6.  A spawned task is a record on a run queue.  When it first runs it
 * gets a stack; when it ends and what runs next has not begun either, that one
 * gets this stack, warm as it is, without a switch.
 *
 * Only what must be kept on the task's stack from the start (a large copied
 * argument, a name, inherited locals) makes the spawn get the stack at once.
 */
#include "join.h"
#include "local.h"
#include "sched.h"
#include "scope_child.h"

#include <stdlib.h>

struct launch {
	co_fn *fn;
	void *arg;
	const struct co_spawn_options *options;	/* NULL: none */
	struct co_task *handle;			/* NULL: not forked */
	const void *value;			/* NULL: none; to be copied */
	size_t size, align;			/* of value */
	void *site;
};

static void
copy_name(char *to, const char *from)
{
	size_t n = from ? strnlen(from, TASK_NAME - 1) : 0;

	memcpy(to, from ? from : "", n);
	to[n] = '\0';
}

/* --- spawning ------------------------------------------------------------- */

static int
check_options(const struct co_spawn_options *o)
{
	if (o->stack_size != 0 &&
	    (o->stack_size < STACK_MIN || o->stack_size > STACK_MAX / 4))
		return -EINVAL;
	if ((unsigned)o->priority > CO_LOW)
		return -EINVAL;
	return 0;
}

static size_t
stack_size_of(const struct task *t)
{
	return task_stack_size(t->size_code);
}

/* The least of the sizes that a task can have: whole pages, at least `size`. */
static uint8_t
size_code_for(size_t size)
{
	unsigned n = 1;

	while (task_stack_size(n) < size || task_stack_size(n) % os_page())
		n++;
	return (uint8_t)n;
}

static void
apply_options(struct task *t, const struct co_spawn_options *o,
    const struct runtime *rt)
{
	if (o->stack_size != 0 && o->stack_size != rt->default_stack)
		t->size_code = size_code_for(o->stack_size);
	if (o->pinned)
		t->band = BAND_PINNED;
	else if (o->priority == CO_HIGH)
		t->band = BAND_HIGH;
	else if (o->priority == CO_LOW)
		t->band = BAND_LOW;
}

/* The value lies right below the ext, and the first frame below it. */
static void
bind_now(struct worker *w, struct task *t, const struct launch *l,
    struct locals *locals)
{
	struct stack *s = stack_get(&w->stacks, stack_size_of(t));
	char *top = (char *)task_make_ext(w, t, s);

	if (l->value) {
		top -= l->size;
		top -= (uintptr_t)top & (l->align - 1);
		memcpy(top, l->value, l->size);
		t->u.run.ext->arg = top;
		top -= (uintptr_t)top & 15;
	}
	if (l->options && l->options->name)
		copy_name(t->u.run.ext->name, l->options->name);
	t->u.run.ext->locals = locals_ref(locals);
	task_bind_at(w, t, top);
}

/* Not a plain thread's, nor another runtime's. */
static bool
is_ours(const struct co_scope *s, const struct runtime *rt)
{
	const struct task *owner = s->co__owner;

	return owner->kind == TASK_CORO &&
	    a_load_relaxed(&owner->worker)->rt == rt;	/* it may be moving */
}

/* Does a copied argument leave enough of the stack? */
static bool
value_fits(const struct task *t, const struct launch *l,
    const struct runtime *rt)
{
	size_t stack = t->size_code ? stack_size_of(t) : rt->default_stack;

	/* What is aligned to more than a line may lie that much lower. */
	return l->size + (l->align > CACHE_LINE ? l->align : 0) <= stack / 2 &&
	    l->align <= 4096;
}

/* A small value need not have its stack at once: see task_has_value. */
static bool
value_waits(const struct launch *l, const struct locals *locals)
{
	return l->value && l->size <= TASK_VALUE && l->align <= 16 && !locals;
}

static int
keep_value(struct task *t, const struct launch *l)
{
	void *to = &t->u.begin.arg;

	if (l->size > sizeof t->u.begin.arg) {
		to = chaos_fail() ? NULL : malloc(l->size);
		if (!to)
			return -ENOMEM;
		t->u.begin.arg = to;
	}
	memcpy(to, l->value, l->size);
	t->handle = (struct co_task *)(l->size << 1 | 1);
	return 0;
}

static void
drop_value(struct task *t)
{
	if (task_has_value(t) && task_value_size(t) > sizeof t->u.begin.arg)
		free(t->u.begin.arg);
	t->handle = NULL;
}

/* t, which is new, will call fn(arg). */
static always_inline void
begin(struct task *t, const struct task *parent, co_fn *fn, void *arg,
    struct co_task *handle, void *site)
{
	t->u.begin.fn = fn;
	t->u.begin.arg = arg;
	t->site = site;
	t->parent = parent->id;
	t->handle = handle;
	if (handle)
		join_begin(handle, t);
}

/* t, which has a stack promised, does not begin after all. */
static void
not_begun(struct worker *w, struct task *t)
{
	stack_unreserve_cached(&w->stacks, stack_size_of(t));
	task_free(w, t);
}

/* Idle stacks may keep the memory that a record lacks. */
static noinline struct task *
new_when_short(struct worker *w)
{
	stack_reclaim(&w->stacks);
	worker_recall_stacks(w->rt);
	return task_new(w);
}

static int
launch_checked(const struct launch *l)
{
	struct self *s = self_get();
	struct worker *w;
	struct task *t, *parent;
	struct co_scope *scope;
	struct locals *locals;
	bool late;
	int code;

	if (unlikely(!s->worker || !s->current || !l->fn))
		return -EINVAL;
	w = s->worker;
	parent = s->current;
	scope = parent->scope;
	if (l->options) {
		code = check_options(l->options);
		if (code < 0)
			return code;
		if (l->options->scope)
			scope = l->options->scope;
		if (!is_ours(scope, w->rt))
			return -EINVAL;
	}
	t = task_new(w);
	if (unlikely(!t))
		t = new_when_short(w);
	if (unlikely(!t))
		return -ENOMEM;
	begin(t, parent, l->fn, l->arg, l->handle, l->site);
	if (l->options)
		apply_options(t, l->options, w->rt);
	if (l->value && !value_fits(t, l, w->rt)) {
		task_free(w, t);
		return -EMSGSIZE;
	}
	code = stack_reserve_cached(&w->stacks, stack_size_of(t));
	if (unlikely(code < 0)) {
		worker_recall_stacks(w->rt);
		task_free(w, t);
		return code;
	}
	locals = parent->u.run.ext->locals;
	late = value_waits(l, locals);
	code = late ? keep_value(t, l) : 0;
	if (likely(code == 0))
		code = scope_add(scope, t);
	if (unlikely(code < 0)) {
		drop_value(t);
		not_begun(w, t);
		return code;
	}
	if ((l->value && !late) || locals || (l->options && l->options->name))
		bind_now(w, t, l, locals);
	stat_add(w, spawned, 1);
	sched_start(w, t, l->fn);
	return 0;
}

/* Of a launch that failed there is nothing to join or to cancel. */
static int
launched(struct co_task *handle, int code)
{
	if (unlikely(code < 0) && handle)
		handle->co__id = 0;
	return code;
}

static noinline int
launch(const struct launch *l)
{
	return launched(l->handle, launch_checked(l));
}

static noinline int
launch_unusual(co_fn *fn, void *arg, struct co_task *handle, void *site)
{
	return launch(&(struct launch){ .fn = fn, .arg = arg,
	    .handle = handle, .site = site });
}

/* The rest of launch_plain, where locks and thieves are to be thought of. */
static noinline int
launch_among_others(struct worker *w, struct task *t, struct co_scope *scope)
{
	struct co_task *handle = t->handle;
	co_fn *fn = t->u.begin.fn;
	int code = scope_add(scope, t);

	if (unlikely(code < 0)) {
		not_begun(w, t);
		return launched(handle, code);
	}
	stat_add(w, spawned, 1);
	sched_start(w, t, fn);
	return 0;
}

/*
 * The usual case: no options, no value, no locals to inherit, and all that it
 * takes is at hand.  Calls nothing but what it does last, so that it saves no
 * registers.
 */
static always_inline int
launch_plain(co_fn *fn, void *arg, struct co_task *handle, void *site)
{
	struct self *s = self_get();
	const struct task *parent;
	struct co_scope *scope;
	struct worker *w;
	struct task *t;

	if (unlikely(!s->worker))
		return launch_unusual(fn, arg, handle, site);
	w = worker_of(s);
	parent = w->self.current;
	if (unlikely(!parent) || unlikely(!fn) ||
	    unlikely(parent->u.run.ext->locals != NULL) ||
	    unlikely(!task_at_hand(w)) || unlikely(!stack_at_hand(&w->stacks)))
		return launch_unusual(fn, arg, handle, site);
	stack_reserve_one(&w->stacks);
	t = task_take(w);
	scope = parent->scope;
	begin(t, parent, fn, arg, handle, site);
	if (unlikely(w->runq.shared) || !scope_add_alone(s, scope, t))
		return launch_among_others(w, t, scope);
	stat_add(w, spawned, 1);
	trace_spawn(t, fn);
	runq_push_first(&w->runq, t);
	return 0;
}

EXPORT int
co_spawn(co_fn *fn, void *arg)
{
	return launch_plain(fn, arg, NULL, __builtin_return_address(0));
}

EXPORT int
co_spawn_with(const struct co_spawn_options *options, co_fn *fn, void *arg)
{
	return launch(&(struct launch){ .fn = fn, .arg = arg,
	    .options = options, .site = __builtin_return_address(0) });
}

EXPORT int
co__go(co_fn *fn, const void *value, size_t size, size_t align)
{
	return launch(&(struct launch){ .fn = fn, .value = value,
	    .size = size, .align = align,
	    .site = __builtin_return_address(0) });
}

EXPORT int
co_fork(struct co_task *t, co_fn *fn, void *arg)
{
	if (unlikely(!t))
		return -EINVAL;
	return launch_plain(fn, arg, t, __builtin_return_address(0));
}

/* --- ending --------------------------------------------------------------- */

/* The main task has no home: with it the runtime ends. */
static cold void
end_runtime(struct runtime *rt)
{
	a_store_release(&rt->over, 1);	/* pairs with may_sleep, next_task */
	a_heavy_barrier();
	worker_wake_all(rt);
}

/* Gives whom the end of t wakes, if any. */
static always_inline struct task *
end_of_life(struct worker *w, struct task *t, int ret)
{
	struct co_task *h = t->handle;
	struct task *joiner = NULL, *owner;

	co__locks_none_held("a coroutine ends while it holds a lock");
	bug_if(t->scope != t->home);	/* co_scope_enter without its leave */
	if (unlikely(t->u.run.ext->locals != NULL))
		locals_unref(t->u.run.ext->locals);
	stat_add(w, ended, 1);	/* who has joined it finds it counted */
	if (h)
		joiner = join_deliver(&w->self, t, h, ret);
	if (unlikely(!t->home)) {
		end_runtime(w->rt);
		return NULL;
	}
	owner = scope_remove(&w->self, t, ret);
	if (likely(!owner))
		return joiner;
	if (joiner)
		task_wake(joiner, joiner->wake);
	return owner;
}

/* May `to` go on with the stack of another one? */
static always_inline bool
may_take_over(const struct task *to)
{
	return to && !to->bound && to->size_code == 0;
}

static always_inline struct task *
take_over(struct worker *w, struct task *t, struct task *to)
{
	struct task_ext *e = t->u.run.ext;

	trace_switch(t, to);
	task_free(w, t);
	stack_unreserve_cached(&w->stacks, 0);	/* `to` had a promise too */
	task_settle(w, to, e, e->stack);
	task_take_value(to);
	task_mark_bound(to);
	context_words_default();	/* t may have had others */
	a_store_relaxed(&to->on_cpu, 1);
	a_store_relaxed(&to->worker, w);	/* with is_ours */
	w->self.current = to;
	return to;
}

static always_inline void
leave_for_good(struct worker *w, struct task *t, struct context *to)
{
	w->dead = t;
	context_leave(&t->u.run.ctx, to);
	bug("an ended coroutine was resumed");
}

/*
 * LOOP.  The loop that this is called from stays on the stack for the next one;
 * gives that one.  So of a stack in a cache, stack.loop is NULL or the sp of a
 * context in co__task_main, whose next user is the one that was switched to, on
 * whatever worker, and whose ext is in its place.  While somebody has the stack
 * it says nothing: whoever puts it sets it, here or in stack_put.
 *
 * What t has is put where it belongs while we are on it still: only this worker
 * takes it from there, and we leave first.
 */
#ifdef CONTEXT_REST
static always_inline struct task *
leave_loop(struct worker *w, struct task *t, struct context *to)
{
	struct stack *s = t->u.run.ext->stack;

	if (unlikely(w->free_count >= TASKS_KEPT) ||
	    unlikely(!stack_has_room(&w->stacks)))
		leave_for_good(w, t, to);
	task_put(w, t);
	stack_put_one(&w->stacks, s);
	t = container_of(context_rest(&s->loop, to), struct task, u.run.ctx);
	sched_landed(t->worker);
	return t;
}
#else
static always_inline struct task *
leave_loop(struct worker *w, struct task *t, struct context *to)
{
	leave_for_good(w, t, to);
	return t;
}
#endif

/*
 * t, which has ended, leaves for `to`, which has this worker if `claimed`; else
 * for the thread's own stack, which waits for `to`, if any.  Gives who goes on
 * with the loop later.
 */
static always_inline struct task *
leave(struct worker *w, struct task *t, struct task *to, bool claimed,
    bool leaves_loop)
{
	struct context *at;

	trace_switch(t, to);
	w->prev = NULL;
	if (likely(claimed)) {
		at = &to->u.run.ctx;
	} else {
		at = &w->ctx;
		w->pending = to;
		w->self.current = NULL;
	}
	if (leaves_loop)
		return leave_loop(w, t, at);
	leave_for_good(w, t, at);
	return NULL;
}

/* t runs to its end, and then whoever goes on with its stack. */
static always_inline calls_for_user void
live(struct task *t, bool leaves_loop)
{
	struct worker *w;
	struct task *to, *woken;
	int ret;

	for (;;) {
		ret = t->u.run.ext->fn(t->u.run.ext->arg);
		w = worker_of(self_get());
		woken = end_of_life(w, t, ret);
		if (woken) {
			if (likely(sched_hand_on(w, woken))) {
				t = leave(w, t, woken,
				    sched_reclaim_cpu(w, woken), leaves_loop);
				continue;
			}
			task_wake(woken, woken->wake);
		}
		to = sched_next(w);
		if (leaves_loop && likely(may_take_over(to)))
			t = take_over(w, t, to);
		else
			t = leave(w, t, to, to && sched_claim_cpu(w, to),
			    leaves_loop);
	}
}

static always_inline struct task *
born(void)
{
	struct worker *w;

	context_landed();
	w = worker_of(self_get());
	sched_landed(w);
	return w->self.current;
}

void
co__task_main(void)
{
	live(born(), true);
}

void
co__task_main_once(void)
{
	live(born(), false);
}

/* --- who am I ------------------------------------------------------------- */

static struct task *
inside(void)
{
	struct self *s = self_get();

	return s->worker ? s->current : NULL;
}

EXPORT bool
co_inside(void)
{
	return inside() != NULL;
}

EXPORT uint64_t
co_id(void)
{
	struct task *t = inside();

	return t ? t->id : 0;
}

EXPORT const char *
co_name(void)
{
	struct task *t = inside();

	return t ? t->u.run.ext->name : "";
}

EXPORT void
co_set_name(const char *name)
{
	struct task *t = inside();

	if (t)
		copy_name(t->u.run.ext->name, name);
}

/* SPDX-License-Identifier: MIT */
/*
 * gen.c - generators: a function on a stack of its own that hands out values.
 *
 * Layer 6.  Built on context and stack.  A generator is no coroutine of the
 * scheduler: co_gen_next switches straight into fn, co_gen_yield straight back.
 * In between fn runs as the caller's coroutine: what waits in fn makes the
 * caller wait, and its id, scopes and locals are the caller's.  So are the
 * floating point control words, which a function must leave as it found them:
 * saving them took a third of the time of a value.
 *
 *	I1  running: from the switch into fn until the switch back.
 *	I2  yield only with the caller's scopes: a scope that fn entered must be
 *	    left first, or the caller would go on inside it.
 *	I3  yield only on the generator's own stack: on any other one, such as
 *	    that of a child or of a generator inside, the switch would save that
 *	    stack as fn's.
 *
 * Stacks come from one pool for all generators of the process: a generator may
 * be freed by another worker, or another thread, than the one that made it.
 */
#include <weft/values.h>

#include "os.h"
#include "park.h"

#include <stdlib.h>

enum gen_state { NOT_BEGUN, SUSPENDED, RUNNING, ENDED };

struct gen {
	struct context ctx;	/* of fn, while it is suspended */
	struct context caller;	/* of next, while fn runs */
	void *out;		/* where the value goes */
	size_t size;		/* [const] of a value */
	struct co_scope *scope;	/* the caller's, as fn was entered */
	struct stack *stack;	/* no_stack before the first next */
	int (*fn)(void *, void *);	/* [const] */
	void *arg;		/* [const] */
	int result;		/* what fn returned */
	uint8_t state;		/* enum gen_state */
	bool freeing;		/* yield fails from now on */
};

static struct stack no_stack;		/* of no size: nobody is on it */
static struct os_mutex mutex;
static struct stack_pool *pool;		/* [mutex] made at first use */
static struct stack_cache cache;	/* [mutex] */

static struct stack *
take_stack(void)
{
	struct stack *s = NULL;

	os_mutex_lock(&mutex);
	if (!pool) {
		pool = stack_pool_new(256 * 1024, false);
		if (pool)
			stack_cache_init(&cache, pool);
	}
	if (pool && stack_reserve_cached(&cache, 0) == 0)
		s = stack_get(&cache, 0);
	os_mutex_unlock(&mutex);
	return s;
}

static void
give_stack(struct stack *s)
{
	os_mutex_lock(&mutex);
	stack_put(&cache, s);
	os_mutex_unlock(&mutex);
}

EXPORT void *
co__gen_new(size_t size, int (*fn)(void *g, void *arg), void *arg)
{
	struct gen *g = fn && !chaos_fail() ? calloc(1, sizeof *g) : NULL;

	if (!g)
		return NULL;
	g->size = size;
	g->fn = fn;
	g->arg = arg;
	g->stack = &no_stack;
	return g;
}

/* Never inlined: the thread's self is asked for anew on either side. */
static noinline void
set_entering(struct gen *g)
{
	self_get()->entering = g;
}

static noinline struct gen *
get_entering(void)
{
	return self_get()->entering;
}

static calls_for_user void
gen_main(void)
{
	struct gen *g;

	context_landed();
	g = get_entering();
	g->result = g->fn(g, g->arg);
	g->state = ENDED;
	context_hop_off(&g->ctx, &g->caller);
	bug("an ended generator was resumed");
}

static noinline int
begin(struct gen *g)
{
	struct stack *s = take_stack();

	if (!s)
		return -ENOMEM;
	g->stack = s;
	context_make(&g->ctx, s->lo, s->hi, gen_main);
	set_entering(g);
	return 0;
}

/*
 * What a sanitizer must know of the stack that a task is on lies in the task's
 * context: while fn runs, and may park the task, it is what is in ours.  A
 * stand-in's context is used for nothing else; sp says whether it is known.
 */
#if defined WEFT_ASAN || defined WEFT_TSAN
static void
stack_enter(struct gen *g, struct task *t)
{
	g->caller = t->u.run.ctx;
	if (t->kind == TASK_FOREIGN && !g->caller.sp)
		context_adopt(&g->caller);
	t->u.run.ctx = g->ctx;
}

static void
stack_leave(struct gen *g, struct task *t)
{
	t->u.run.ctx = g->caller;
}
#else
static inline void
stack_enter(struct gen *g, struct task *t)
{
	(void)g, (void)t;
}

static inline void
stack_leave(struct gen *g, struct task *t)
{
	(void)g, (void)t;
}
#endif

static noinline void
end(struct gen *g)
{
	context_drop(&g->ctx);
	give_stack(g->stack);
	g->stack = &no_stack;
}

/*
 * next and yield; or, where asm/ has the usual case of them, the rest of it.
 */
#if defined WEFT_GEN_ASM
#if !defined CONTEXT_HOP
#error "asm/gen_*.S is for builds that switch inline"
#endif
#define co__gen_next	co__gen_enter
#define co__gen_yield	co__gen_leave
#define GEN_API		__attribute__((visibility("hidden")))
_Static_assert(SUSPENDED == 1 && RUNNING == 2 && ENDED == 3, "GEN");
_Static_assert(offsetof(struct gen, ctx) == 0 &&
    offsetof(struct gen, caller) == 0x08 && offsetof(struct gen, out) == 0x10 &&
    offsetof(struct gen, size) == 0x18 && offsetof(struct gen, scope) == 0x20 &&
    offsetof(struct gen, stack) == 0x28 &&
    offsetof(struct gen, state) == 0x44 &&
    offsetof(struct gen, freeing) == 0x45, "GEN");
_Static_assert(offsetof(struct self, current) == 0x08 &&
    offsetof(struct task, scope) == 0x20 && offsetof(struct stack, lo) == 0 &&
    offsetof(struct stack, size) == 0x10 &&
    offsetof(struct stack, owner) == 0x20 && ECANCELED == 125, "GEN");
int co__gen_ended(struct gen *g) GEN_API;
int co__gen_enter(void *gen, void *ret_value) GEN_API;
int co__gen_leave(void *gen, const void *value) GEN_API;
#else
#define GEN_API		EXPORT
#endif

/* Runs fn until it yields or ends.  Inlined, as alone.h says why. */
static always_inline void
resume(struct gen *g, struct task *t)
{
	g->state = RUNNING;
	g->scope = t->scope;
	g->stack->owner = t;	/* for yield, and the overflow report */
	stack_enter(g, t);
	context_hop(&g->caller, &g->ctx);
	stack_leave(g, t);
	if (unlikely(g->state == ENDED))
		end(g);
}

/* What next gives when fn has returned. */
static int
outcome(const struct gen *g, void *ret_value)
{
	int code = g->result < 0 ? g->result : -EPIPE;

	if (code == -EPIPE)
		memset(ret_value, 0, g->size);
	return code;
}

GEN_API int
co__gen_next(void *gen, void *ret_value)
{
	struct gen *g = gen;
	struct task *t = task_self();
	int code;

	if (unlikely(!g))
		return -EINVAL;
	if (unlikely(!t))
		return -ENOMEM;
	if (unlikely(g->state != SUSPENDED)) {
		if (g->state == RUNNING)
			return -EDEADLK;
		if (g->state == ENDED)
			return outcome(g, ret_value);
		code = begin(g);
		if (code < 0)
			return code;
	}
	g->out = ret_value;
	resume(g, t);
	return likely(g->state != ENDED) ? 0 : outcome(g, ret_value);
}

#if defined WEFT_GEN_ASM
int
co__gen_ended(struct gen *g)
{
	end(g);
	return outcome(g, g->out);	/* still where this next put it */
}
#endif

/* On its stack, that is in fn: then it is running, and who runs it owns it. */
static always_inline bool
is_inside(const struct gen *g)
{
	return (uintptr_t)__builtin_frame_address(0) -
	    (uintptr_t)g->stack->lo < g->stack->size;
}

static always_inline bool
in_callers_scope(const struct gen *g)
{
	const struct task *t = g->stack->owner;

	return t->scope == g->scope;
}

GEN_API int
co__gen_yield(void *gen, const void *value)
{
	struct gen *g = gen;

	if (unlikely(!g || !is_inside(g) || !in_callers_scope(g)))
		return -EINVAL;			/* I2, I3 */
	if (unlikely(g->freeing))
		return -ECANCELED;
	if (likely(g->size == 8))
		memcpy(g->out, value, 8);
	else if (g->size)
		memcpy(g->out, value, g->size);
	g->state = SUSPENDED;
	context_hop(&g->ctx, &g->caller);
	return g->freeing ? -ECANCELED : 0;
}

EXPORT void
co_gen_free(void *gen)
{
	struct gen *g = gen;
	struct task *t;

	if (!g)
		return;
	bug_if(g->state == RUNNING);	/* from fn itself, or still in use */
	if (g->state == SUSPENDED) {
		t = task_self();
		if (!t)		/* no memory: nobody can run fn to its end, */
			return;	/* and what it holds stays with it */
		g->freeing = true;
		resume(g, t);
	}
	free(g);
}

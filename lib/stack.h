/* SPDX-License-Identifier: MIT */
/*
 * stack.h - guarded stacks by the thousand.
 *
 * Layer 2.  Uses os.h, lock.h.  Used by the scheduler.
 *
 * A stack is reserved first (a promise of address space, so that a coroutine
 * that was spawned can also start) and got later, when it first runs:
 *
 *	stack_reserve -> stack_get -> ... -> stack_put (also ends the promise)
 *	stack_reserve -> stack_unreserve
 *
 * A struct stack lies at the top of the stack that it describes, in the page
 * that is touched anyway.  A stack whose memory went back to the system is
 * cold: a mere number in its arena; its struct is made anew when it is got.
 * Outside of the stacks a pool keeps at most 8 bytes for each.
 *
 * PROMISES.  "Never fails for a stack that was reserved" is one sum:
 *
 *	got + cached <= promises <= stacks that can be got without asking the
 *	                            system for anything that it may refuse
 *
 * A stack that lies in a cache is covered by a promise too, or another worker
 * could find all stacks in caches that he may not touch.  So a promise moves:
 *
 *	stack_reserve	from the cache's credit to the caller
 *	stack_get	a cached stack was covered: its cover becomes credit
 *	stack_put	from the caller to the stack, as its cover
 *
 * and only credit + count, both bounded, is ever out of the pool's sight.
 */
#ifndef WEFT_STACK_H
#define WEFT_STACK_H

#include "lock.h"

struct stack {
	char *lo;		/* [const] lowest usable byte: the guard ends */
	char *hi;		/* [const] one past the highest usable byte: the
				   address of this struct, a multiple of 64 */
	size_t size;		/* [const] bytes reserved, guard included: what
				   the user asked for; not shape.beyond */
	struct stack *next;	/* [owner] in a cache */
	void *owner;		/* whose stack it is now: set by the user of the
				   stack, read by the overflow report; NULL
				   while nobody's */
	struct stack_arena *arena;	/* [const] */
	void *loop;		/* [owner] set by who puts it, so it says
				   something in a cache only: LOOP in life.c */
	uint32_t index;		/* [const] in the arena */
	bool guarded;		/* [const] the guard is installed */
};
_Static_assert(sizeof(struct stack) <= CACHE_LINE, "one line of the top page");

struct stack_pool;		/* one for each runtime; thread-safe */

/* One for each worker; only its owner touches it. */
struct stack_cache {
	struct stack *top;	/* [owner] default size only, hottest first */
	uint32_t count;		/* [owner; stats read it] stacks in it */
	uint32_t credit;	/* [owner; stats read it] promises in it */
	uint32_t max;		/* [atomic] of count + credit; 0 until the pool
				   knows this cache, and when the system refuses
				   the pool memory */
	bool listed;		/* [LOCK_STACK] the pool knows it */
	size_t size;		/* [const] the default size */
	struct stack_pool *pool;	/* [const] */
	struct stack_cache *link, **back;	/* [LOCK_STACK] */
};

/* WEFT_STACK_GUARD=mprotect in the environment: never use MADV_GUARD. */
struct stack_pool *stack_pool_new(size_t default_size, bool allow_unguarded);
void stack_pool_free(struct stack_pool *p);	/* unmaps everything */

void stack_cache_init(struct stack_cache *c, struct stack_pool *p);
/* Gives all to the pool, which then forgets the cache: it may be freed. */
void stack_cache_flush(struct stack_cache *c);
/* Gives back what cached stacks hold far from their tops: for a worker that
   goes to sleep.  Some 0.3 us for each cached stack; returns nothing. */
void stack_cache_trim(struct stack_cache *c);

/*
 * size 0 is the default size.  -EINVAL: below STACK_MIN or absurd (over
 * STACK_MAX); -ENOMEM.  Where guards are mprotect's, the guard is installed
 * here, so that getting the stack cannot fail later.
 */
#define STACK_MIN	((size_t)16 * 1024)
#define STACK_MAX	((size_t)1 << 30)
int stack_reserve(struct stack_pool *p, size_t size);
void stack_unreserve(struct stack_pool *p, size_t size);

/* The same on a worker: a few instructions for the default size. */
static inline int stack_reserve_cached(struct stack_cache *c, size_t size);
static inline void stack_unreserve_cached(struct stack_cache *c, size_t size);

/* Never fails for a stack that was reserved. */
static inline struct stack *stack_get(struct stack_cache *c, size_t size);
static inline void stack_put(struct stack_cache *c, struct stack *s);

/* A worker lacks memory for something else: gives back what is idle, what is in
   his cache too; other workers share theirs a little later. */
void stack_reclaim(struct stack_cache *c);

/* Gives memory below sp (less a red zone) back; returns bytes given back. */
size_t stack_trim(struct stack *s, const void *sp);

/* Bytes between hi and the lowest page that is resident. */
size_t stack_touched(const struct stack *s);

struct stack_stats {
	uint64_t mapped;	/* stacks' worth of address space */
	uint64_t reserved, in_use, unguarded;
	uint64_t maps;		/* memory maps used, guards included */
};
void stack_stats_get(struct stack_pool *p, struct stack_stats *ret);

/*
 * Overflow.  stack_fault_install() puts in the SIGSEGV and SIGBUS handler of
 * the process, or back on top; stack_fault_thread_init() gives the calling
 * thread an alternate signal stack, and unblocks these two until _fini.  On a
 * fault in the guard of a stack of any pool the handler calls report (with the
 * stack), which writes the line, and the process dies of the signal; other
 * faults go to the handler there before.
 * who_runs gives the owner of the stack that the calling thread is on, if any.
 */
int stack_fault_install(void (*report)(const struct stack *s, const void *sp),
    const void *(*who_runs)(void));
int stack_fault_thread_init(void);
void stack_fault_thread_fini(void);

/* --- the fast side -------------------------------------------------------- */

void co__stack_cache_share(struct stack_cache *c);
int co__stack_reserve_slow(struct stack_cache *c, size_t size);
void co__stack_unreserve_slow(struct stack_cache *c, size_t size);
struct stack *co__stack_get_slow(struct stack_cache *c, size_t size);
void co__stack_put_slow(struct stack_cache *c, struct stack *s);

/* Only the owner writes; a_store_relaxed is a plain store that stats may
   read: it shows a moment of the past, which is all they ask for. */
#define stack_cache_add(field, n) \
	a_store_relaxed(&(field), (field) + (uint32_t)(n))

/* The owner, now and then: while memory is short, what its cache holds is for
   whoever needs it. */
static inline void
stack_cache_share(struct stack_cache *c)
{
	if (unlikely(a_load_relaxed(&c->max) == 0) && (c->count | c->credit))
		co__stack_cache_share(c);
}

/* May stack_reserve_one be called? */
static inline bool
stack_at_hand(const struct stack_cache *c)
{
	return c->credit != 0;
}

/* Room for a promise, or a stack of the default size? */
static inline bool
stack_has_room(const struct stack_cache *c)
{
	return c->count + c->credit < a_load_relaxed(&c->max);
}

static inline void
stack_reserve_one(struct stack_cache *c)
{
	stack_cache_add(c->credit, -1);
}

static inline int
stack_reserve_cached(struct stack_cache *c, size_t size)
{
	if (unlikely(size != 0 || !stack_at_hand(c)))
		return co__stack_reserve_slow(c, size);
	stack_reserve_one(c);
	return 0;
}

static inline void
stack_unreserve_cached(struct stack_cache *c, size_t size)
{
	if (unlikely(size != 0) || unlikely(!stack_has_room(c)))
		co__stack_unreserve_slow(c, size);
	else
		stack_cache_add(c->credit, 1);
}

/* There is a stack in it. */
static inline struct stack *
stack_get_one(struct stack_cache *c)
{
	struct stack *s = c->top;

	c->top = s->next;
	stack_cache_add(c->count, -1);
	stack_cache_add(c->credit, 1);
	return s;
}

static inline struct stack *
stack_get(struct stack_cache *c, size_t size)
{
	if (unlikely(size != 0 || !c->top))
		return co__stack_get_slow(c, size);
	return stack_get_one(c);
}

static inline void
stack_put_one(struct stack_cache *c, struct stack *s)
{
	s->owner = NULL;
	s->next = c->top;
	c->top = s;
	stack_cache_add(c->count, 1);
}

static inline void
stack_put(struct stack_cache *c, struct stack *s)
{
	s->loop = NULL;
	if (likely(s->size == c->size) && likely(stack_has_room(c)))
		stack_put_one(c, s);
	else
		co__stack_put_slow(c, s);
}

#endif

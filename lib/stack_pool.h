/* SPDX-License-Identifier: MIT */
/*
 * stack_pool.h - what a pool is made of: classes, one for each size.
 *
 * Layer 2.  Used by stack.c and stack_class.c only.
 *
 * True for each class whenever p->lock is free:
 *
 *	S1  out <= promised <= limit; PROMISES in stack.h says why that is
 *	    enough for stack_get never to fail
 *	S2  limit is the sum of `ready` of its arenas
 *	S3  out + warm is the sum of `out` of its arenas
 *	S4  an arena is on the free list if it has a cold or fresh stack
 *
 * `out` counts stacks that the pool has given away, be they used or cached.
 * `warm` ones count as neither out nor promised: they are the pool's own.
 *
 * What is kept idle, warm or as empty arenas, is bounded by count and by size.
 * When the system refuses more, all that no promise needs goes back to it, of
 * all classes, but for what lies in caches; then it is asked once more.
 *
 * Locks: p->lock, rank LOCK_STACK, for a few dozen instructions.  p->growing,
 * which sleeps, is held around the system calls that make room; it is taken
 * first.  Memory is given back without p->lock: the stacks are still `out`
 * then, and promised, and nobody else knows them.
 */
#ifndef WEFT_STACK_POOL_H
#define WEFT_STACK_POOL_H

#include "os.h"
#include "stack_arena.h"

enum {
	CACHE_MAX = 64,		/* count + credit of a cache; a guess */
	CACHE_KEEP = 32,	/* stacks left when it gives some away */
	CREDIT_BATCH = 16,	/* promises fetched at once, and kept */
	TIGHT_PUTS = 1024	/* after so many a refusal is forgotten: a
				   guess */
};

struct stack_class {
	size_t size;			/* [const] */
	struct stack_arena *arenas;	/* [p->lock] all */
	struct stack_arena *free;	/* [p->lock] S4, oldest first */
	struct stack *warm;		/* [p->lock] hottest first */
	uint32_t warm_count;		/* [p->lock] */
	uint64_t promised, limit;	/* [p->lock] */
	uint64_t out, out_most;		/* [p->lock] */
	struct stack_class *next;	/* [p->lock] */
};

struct stack_pool {
	struct lock lock;
	bool allow_unguarded;		/* [const] */
	bool tight;			/* [lock] the system refused us */
	uint32_t tight_puts;		/* [lock] what came back since */
	enum guard_mode mode;		/* [atomic] */
	uint64_t ages;			/* [growing] */
	struct stack_cache *caches;	/* [lock] */
	struct os_mutex growing;
	struct stack_class class;	/* of the default size */
};

static inline void
pool_lock(struct stack_pool *p)
{
	lock_take(&p->lock, LOCK_STACK);
}

static inline void
pool_unlock(struct stack_pool *p)
{
	lock_drop(&p->lock, LOCK_STACK);
}

/* p->lock held.  NULL: there has never been a stack of that size. */
struct stack_class *stack_class_find(struct stack_pool *p, size_t size);
/* Makes it if need be.  NULL: no memory. */
struct stack_class *stack_class_of(struct stack_pool *p, size_t size);
void stack_class_unmap(struct stack_class *k);

/* Promises 1 to most stacks; returns how many, or -ENOMEM. */
int stack_class_promise(struct stack_pool *p, struct stack_class *k,
    uint32_t most);

/*
 * n stacks and the promises that cover them, and `credits` more, come back;
 * n is at most CACHE_MAX + 1.
 */
void stack_class_put(struct stack_pool *p, struct stack_class *k,
    struct stack **list, uint32_t n, uint32_t credits);

/* p->lock held.  A warm stack that is then out; NULL: there is none. */
struct stack *stack_class_warm(struct stack_class *k);
/* p->lock held.  Any other: stack_arena_make() is to follow. */
struct stack_place stack_class_cold(struct stack_class *k);

/* p->lock held.  Adds to *ret. */
void stack_class_stats(const struct stack_class *k, struct stack_stats *ret);

/* p->growing held.  Gives all that is idle, but for what lies in caches, back
   to the system; true if there was anything. */
bool stack_pool_reclaim(struct stack_pool *p);

/* p->lock held, in stack.c. */
void stack_pool_tight(struct stack_pool *p, bool tight);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * stack_arena.h - one memory map that holds many stacks, and their guards.
 *
 * Layer 2.  Used by stack.c and stack_fault.c only.
 *
 * SHAPE.  From low to high addresses; a stack's guard is its own low end, and
 * what it has beyond the size that was asked for, on aarch64, lies below that:
 *
 *	base
 *	| guard 0 | stack 0 ... | guard 1 | stack 1 ... |  ... 8 stacks | pad |
 *	| guard 8 | ...
 *
 *	                          ... | struct stack | colour |
 *	                          hi -^              one past the stack's end -^
 *
 * Thousands of stack tops at the same distance from each other fall into few
 * sets of every cache, the one of address translations included.  So a top is
 * moved down by its colour, a number of lines, and one page of padding after
 * each 8 stacks moves all that follows: 1/512 of the default size.
 *
 * An arena moves a stack between these; stack.c holds LOCK_STACK for it:
 *
 *	unready		index >= ready: may not be promised, as its guard is
 *			still to come (mprotect mode only)
 *	fresh		fresh <= index < ready: never got
 *	cold		on the list through link[]: has its guard, no memory
 *	out		got, cached or warm
 */
#ifndef WEFT_STACK_ARENA_H
#define WEFT_STACK_ARENA_H

#include "stack.h"

enum {
	ARENA_GROUP = 8,	/* stacks between two pads */
	ARENA_COLOURS = 32	/* half a page of lines: the other half is what
				   a coroutine with one page lives in */
};

struct stack_shape {		/* all [const]; read by the fault handler */
	uintptr_t base, end;
	size_t size;		/* of a stack, all of its guard included */
	size_t guard;
	size_t beyond;		/* of both, what nobody asked for */
	size_t group;		/* ARENA_GROUP stacks and their pad */
	uint32_t count;
};

enum guard_mode {
	GUARD_UNTRIED,	/* as GUARD_CHEAP, but who knows whether it works */
	GUARD_CHEAP,	/* MADV_GUARD_INSTALL when a stack is first got */
	GUARD_MPROTECT,	/* mprotect when it is first promised */
	GUARD_OFF	/* no more maps, and the user allows it */
};

enum guard_state {		/* of one stack */
	GUARD_MISSING, GUARD_MADVISED, GUARD_PROTECTED, GUARD_WAIVED
};

struct stack_class;

struct stack_arena {
	struct stack_shape shape;
	struct stack_class *class;	/* [const] */
	struct stack_arena *next, **back;	/* [LOCK_STACK] of a class */
	struct stack_arena *free_next, **free_back;	/* [LOCK_STACK] S4 */
	bool free_listed;	/* [LOCK_STACK] */
	uint64_t age;		/* [const] */
	uint32_t out;		/* [LOCK_STACK] */
	uint32_t fresh, ready;	/* [LOCK_STACK] see above */
	uint32_t cold_head;	/* [LOCK_STACK] index + 1; 0: none is cold */
	uint32_t protected, waived;	/* [atomic] stacks in that state */
	unsigned *valgrind;	/* [who got it] ids; NULL: not under valgrind */
	uint8_t *guards;	/* [who got it] enum guard_state of each */
	uint32_t link[];	/* [LOCK_STACK] */
};

static inline uintptr_t
shape_bottom(const struct stack_shape *h, uint32_t i)
{
	return h->base + i / ARENA_GROUP * h->group +
	    i % ARENA_GROUP * h->size;
}

/* Where the struct of stack i lies.  13 is odd: 32 neighbours all differ. */
static inline struct stack *
shape_stack(const struct stack_shape *h, uint32_t i)
{
	return (struct stack *)(shape_bottom(h, i) + h->size -
	    CACHE_LINE * (1 + i * 13 % ARENA_COLOURS));
}

/* The stack that an address of the arena belongs to; count: a pad. */
static inline uint32_t
shape_index(const struct stack_shape *h, uintptr_t at)
{
	size_t in_group = (at - h->base) % h->group / h->size;
	size_t i = (at - h->base) / h->group * ARENA_GROUP + in_group;

	return in_group < ARENA_GROUP && i < h->count ? (uint32_t)i : h->count;
}

/* What a size really takes: whole pages, and room for a guard. */
size_t stack_size_round(size_t size);

/* What to begin with. */
enum guard_mode stack_guard_mode(void);

/*
 * count stacks of a rounded size; tries its luck with half as many again and
 * again.  *mode leaves GUARD_UNTRIED.  NULL: no memory.
 */
struct stack_arena *stack_arena_new(size_t size, uint32_t count,
    enum guard_mode *mode);
/* False: the system refused, as a hole in a map makes two; nothing changed. */
bool stack_arena_free(struct stack_arena *a);

/* Installs n guards from stack `first` on, all or none.  0 or -ENOMEM. */
int stack_arena_protect(struct stack_arena *a, uint32_t first, uint32_t n);

/* Makes the struct of a fresh or cold stack, and its guard if it is missing. */
struct stack *stack_arena_make(struct stack_arena *a, uint32_t i,
    enum guard_mode *mode);

struct stack_place {		/* a stack without its struct */
	struct stack_arena *arena;
	uint32_t index;
};

/* All memory of n stacks goes back, structs included; sorts them in place. */
void stack_arena_cool(struct stack_place *list, uint32_t n);
/* What lies deep in one goes back. */
void stack_arena_tidy(struct stack *s);

/* The table of arenas that the fault handler searches: stack_fault.c. */
int stack_fault_watch(const struct stack_shape *h);	/* 0 or -ENOMEM */
/* Unwatches and unmaps.  False: the system refused, and nothing changed. */
bool stack_fault_unmap(const struct stack_shape *h);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * lock.h - the one kind of lock, its ranks, and how a lone worker goes without.
 *
 * Layer 1.  A lock is a word: 0 free, 1 held.  It is held for a few dozen
 * instructions, never across a switch, never while user code runs.
 *
 * SOLO.  While one worker is the only thread that uses weft, as all others
 * sleep, a lock costs it two plain stores: co__solo points to it, and inside a
 * critical section its self->crit is not 0.  Any other thread ends the solo
 * before it takes a lock, a worker when it wakes:
 *
 *	the solo worker, solo_enter	a newcomer, co__solo_end
 *	crit++				co__solo = NULL
 *	a_light_barrier()		a_heavy_barrier()
 *	co__solo == self ?		wait while crit != 0
 *	  yes: go on, no lock		co__shared = 1
 *	  no: crit--, take the lock
 *
 * Bad outcome: the worker sees itself in co__solo and the newcomer sees
 * crit == 0.  The pair of barriers forbids it.  A section that began without
 * the lock also ends without it: then the word is 0, as nobody can have taken
 * it while crit was not 0.
 *
 * A solo begins (co__solo_begin, at the start of a runtime and now and then)
 * only when no other worker is awake and no thread that is not ours is inside a
 * section or a wait; they count themselves, in co__awake and co__foreign:
 *
 *	co__solo_begin			co__foreign_enter, co__awake_enter
 *	co__shared = 0			count++		(seq_cst)
 *	fence, seq_cst			co__shared == 0 ?
 *	others counted ?		  yes: co__solo_end
 *	  yes: co__shared = 1, no solo
 *
 * A worker that is not counted (between co__awake_leave and co__awake_enter) is
 * in a system call, and holds nothing for which the lone one could wait inside
 * a section.
 */
#ifndef WEFT_LOCK_H
#define WEFT_LOCK_H

#include "self.h"
#include "bug.h"

enum lock_rank {	/* take downwards; each may be skipped */
	LOCK_RUNTIME,	/* runtime.c  list of runtimes, start and end */
	LOCK_TASK,	/* scope.c    a task's scopes, their children; several
			              from the outer to the inner */
	LOCK_FD,	/* fd.c       one descriptor's waiters */
	LOCK_CHAN,	/* chan.c, sync objects: one; several by address */
	LOCK_POOL,	/* blocking.c jobs */
	LOCK_TIMER,	/* timer.c    one worker's heap */
	LOCK_REACTOR,	/* reactor.c  one loop's inbox */
	LOCK_INJECT,	/* sched.c    tasks from other threads */
	LOCK_SLAB,	/* task.c     free task records */
	LOCK_STACK,	/* stack.c    arenas; leaf */
	LOCK_RANKS
};

struct lock {
	uint32_t word;	/* [atomic] 0 free, 1 held */
};

/* The worker that is alone, or NULL.  [atomic; written under a mutex] */
extern struct self *co__solo;
/* 0 while a solo lasts.  [atomic; written under the same mutex] */
extern uint32_t co__shared;
/* Threads that are not ours, inside a section or a wait.  [atomic] */
extern uint32_t co__foreign;
/* Workers that do not sleep in their loop.  [atomic] */
extern uint32_t co__awake;

void co__lock_slow(struct lock *l);
void co__solo_begin(struct self *s);	/* if it may */
void co__solo_end(void);	/* when it returns, nobody elides a lock */
void co__foreign_enter(void);
void co__foreign_leave(void);
void co__awake_enter(uint32_t n);	/* one wakes, or n are about to start */
void co__awake_leave(uint32_t n);	/* one goes to sleep, or n have ended */
/* The same as begin, but not soon after one that was short.  For now and then,
   of a worker that holds no lock. */
void co__solo_try(struct self *s, int64_t now);
#ifdef WEFT_DEBUG
void co__lock_note(enum lock_rank rank);	/* checks the order */
void co__unlock_note(enum lock_rank rank);
void co__locks_none_held(const char *where);
#else
#define co__lock_note(rank)		((void)(rank))
#define co__unlock_note(rank)		((void)(rank))
#define co__locks_none_held(where)	((void)0)
#endif

/* True: the caller is the solo worker and is now inside a section. */
static always_inline bool
solo_enter(struct self *s)
{
	if (unlikely(a_load_relaxed(&co__solo) != s))
		return false;
	a_store_relaxed(&s->crit, s->crit + 1);
	chaos_point();
	a_compiler_barrier();	/* light: no solo begins without membarrier */
	if (likely(a_load_relaxed(&co__solo) == s))
		return true;
	a_store_release(&s->crit, s->crit - 1);
	return false;
}

static always_inline void
solo_leave(struct self *s)
{
	a_compiler_barrier();
	a_store_release(&s->crit, s->crit - 1);	/* pairs with solo_end */
}

static always_inline void
lock_take(struct lock *l, enum lock_rank rank)
{
	struct self *s = self_get();

	co__lock_note(rank);
	if (likely(solo_enter(s)))
		return;
	if (unlikely(!s->worker))
		co__foreign_enter();
	if (unlikely(a_xchg_acquire(&l->word, 1) != 0))
		co__lock_slow(l);
}

static always_inline void
lock_drop(struct lock *l, enum lock_rank rank)
{
	struct self *s = self_get();

	co__unlock_note(rank);
	if (likely(a_load_relaxed(&l->word) == 0)) {
		solo_leave(s);
		return;
	}
	a_store_release(&l->word, 0);	/* pairs with lock_take */
	if (unlikely(!s->worker))
		co__foreign_leave();
}

#endif

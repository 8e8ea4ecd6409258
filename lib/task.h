/* SPDX-License-Identifier: MIT */
/*
 * task.h - a coroutine, or the stand-in of a thread that is not ours.
 *
 * Layer 4.  Used by everything above.
 *
 * A task record is 128 bytes from a slab: type-stable memory, so that a late
 * waker or canceller may still read it and find that the ticket or the id has
 * changed.  A stack is bound to it only when it first runs: a million spawned
 * coroutines that have not begun are 128 MB and no stacks, and a coroutine
 * that ends hands its warm stack to the next one.
 *
 * STATES.  Nobody writes a state as such; it follows from where the record is.
 *
 *	        FREE  (in a slab)
 *	          |  task_new (spawn)
 *	          v
 *	  +-> RUNNABLE <------+------------------+
 *	  |       | sched_run |                  |
 *	  |       v           | co_yield         | task_wake, by who won
 *	  |    RUNNING -------+                  | wait_claim
 *	  |       |                              |
 *	  |       +------ wait_park -------> WAITING
 *	  |       |
 *	  |       |  task_main: fn has returned
 *	  |       v
 *	  |     ENDED --> FREE
 *
 *	FREE      nobody reaches it but by a stale pointer: `id` tells.
 *	RUNNABLE  on exactly one run queue or inbox; park is even.
 *	RUNNING   worker->self.current; on_cpu is 1.
 *	WAITING   park is odd; on no queue.
 *	ENDED     on no queue, in no scope; its result has been delivered.
 *
 * TICKETS.  `park` counts waits.  wait_begin makes it odd: that number is the
 * ticket of this wait.  Whoever moves it on to an even number (wait_claim) has
 * won: it alone wakes the task, once.  A waker from an earlier wait holds
 * an older ticket and fails.
 *
 * ON_CPU.  A waker may win before the task has left its stack.  The task is
 * then on a run queue already, but on_cpu stays 1 until the worker that it ran
 * on has switched away (finish_switch), and whoever picks it waits for that.
 */
#ifndef WEFT_TASK_H
#define WEFT_TASK_H

#include <weft/scope.h>

#include "context.h"
#include "lock.h"
#include "stack.h"

struct runtime;
struct worker;

/* What a task waits for: for dumps, and for who wants to know. */
enum wait_reason {
	WAIT_NONE, WAIT_SLEEP, WAIT_JOIN, WAIT_SCOPE, WAIT_SEND, WAIT_RECV,
	WAIT_SELECT, WAIT_MUTEX, WAIT_RWLOCK, WAIT_COND, WAIT_SEM, WAIT_EVENT,
	WAIT_BARRIER, WAIT_ONCE, WAIT_WAITGROUP, WAIT_FUTURE, WAIT_BCAST,
	WAIT_SUB, WAIT_WATCH, WAIT_READ, WAIT_WRITE, WAIT_BLOCKING, WAIT_SIGNAL,
	WAIT_FOREVER, WAIT_REASONS
};

enum task_kind { TASK_CORO, TASK_FOREIGN };

enum { TASK_NAME = 32, TASK_VALUE = 80 };

/*
 * What only a task that has a stack needs: at the top of that stack.  For a
 * stand-in it is allocated beside it.  What each wait writes is first: there it
 * shares a line with the first frames.  Where these begin decides how many
 * lines a coroutine that waits needs: with 176 bytes the sieve of 1500 primes
 * missed a first-level cache 4.7 and 5.0 million times, with 160, 192 and 208
 * of them 5.6, 5.1 and 5.8 (cachegrind).
 */
struct task_ext {
	const void *wait_obj;	/* [task] where there is a wait_reason: what it
				   waits for, or last did; of a signal the
				   number, of a sleep its end, of a select the
				   struct select */
	co_time wait_since;	/* [task] worker->now of then: coarse */
	uint32_t wait_reason;	/* [task] enum wait_reason */
	struct stack *stack;	/* [const] NULL for a stand-in */
	/* Not side by side, as they are in u.begin: gcc would copy them as one,
	   and that load waits for both stores of the spawn to leave for the
	   cache. */
	co_fn *fn;		/* [const] */
	struct locals *locals;	/* [task] counted; NULL: none */
	void *arg;		/* [const] */
	uint64_t trimmed;	/* [trim.c] the wait it was trimmed in */
	char name[TASK_NAME];	/* [task] "" when none */
	_Alignas(16) char value[TASK_VALUE];	/* [task] what co_go copied */
};

struct task {
	struct task *next, *prev;	/* [who holds it] queue, slab */
	uint64_t park;			/* [atomic] see TICKETS */
	struct worker *worker;		/* [who runs it] last or present one; a
					   stand-in's is NULL */
	struct co_scope *scope;		/* [lock] innermost: own, or home */
	struct co_scope *home;		/* [const] the one it was spawned in */
	struct task *sib_next, *sib_prev;	/* [home's owner's lock] */
	struct co_task *handle;		/* [const] forked: the caller's */
	uint64_t id;			/* [const] changes when reused */
	union {
		struct {		/* before it first runs */
			co_fn *fn;
			void *arg;
		} begin;
		struct {		/* from then on */
			struct context ctx;
			struct task_ext *ext;
		} run;
	} u;
	void *site;			/* [const] where it was spawned */
	uint64_t parent;		/* [const] id of the spawner */
	struct lock lock;		/* its scopes, LOCK_TASK */
	int wake;			/* [who won the claim] */
	/* All that is small, in one word for task_new. */
	union {
	struct {
	int16_t ended;			/* [lock; atomic read by the task] code
					   of its innermost scope */
	uint8_t cancelled;		/* [lock] co_task_cancel was called */
	uint8_t kind;			/* [const] enum task_kind */
	uint8_t on_cpu;			/* [atomic] see ON_CPU */
	uint8_t bound;			/* [atomic] it has its stack: u.run */
	uint8_t band;			/* [const] of the run queue */
	uint8_t size_code;		/* [const] its stack; 0: the default.
					   See task_stack_size */
	};
	uint64_t small;			/* [who makes it] */
	};
};

/*
 * A small value of co_go waits for the stack that it is to be copied to: up to
 * a pointer's size in begin.arg itself, else in memory that begin.arg points
 * to.  Meanwhile `handle`, which such a task has no use for, says so.
 */
static inline bool
task_has_value(const struct task *t)
{
	return (uintptr_t)t->handle & 1;
}

static inline size_t
task_value_size(const struct task *t)
{
	return (uintptr_t)t->handle >> 1;
}

/* 16 sizes to each power of two, from 16 KiB on: n is 1 ... 255. */
static inline size_t
task_stack_size(unsigned n)
{
	return n ? (size_t)(16 + ((n - 1) & 15)) * 1024 << ((n - 1) >> 4) : 0;
}

#endif

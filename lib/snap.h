/* SPDX-License-Identifier: MIT */
/*
 * snap.h - one coroutine as it was at one moment, seen from another thread.
 *
 * Layer 10.
 */
#ifndef WEFT_SNAP_H
#define WEFT_SNAP_H

#include "backtrace.h"
#include "worker.h"

enum snap_state { SNAP_NEW, SNAP_RUNNABLE, SNAP_RUNNING, SNAP_WAITING };

struct snap {
	struct task *task;	/* it may be another's by now: see `id` */
	uint64_t id, park;
	enum snap_state state;
	uint32_t worker;	/* running: the index of whose it is */
	bool pinned;
	bool ended;		/* its waits are being ended */
	uint8_t priority;	/* enum co_priority */
	char name[TASK_NAME];	/* "": none */
	const void *site;	/* NULL: nobody spawned it */
	uint64_t parent;
	enum wait_reason why;	/* waiting: */
	const void *obj;
	co_time since;		/* on the clock of co_now, coarse */
	co_time until;		/* the deadline of its scopes; CO_FOREVER */
	const void *home;	/* the scope that it was spawned in */
	const void *sp;		/* of one that is off its stack, or NULL */
	uintptr_t lo, hi;	/* of what it uses of its stack; 0: none */
	const void *stack;	/* its struct stack: not to be read */
	size_t stack_size;
};

/* False: there is nobody in that record. */
bool snap_take(struct snap *ret, struct runtime *rt, struct task *t);

/* Does it still wait in the wait that was seen?  Then what the caller has read
   since is of that wait. */
bool snap_holds(const struct snap *s);

/* Its frames; none for one that runs, has not begun, or has gone on since. */
void snap_backtrace(const struct snap *s, struct backtrace *ret);

/* Whose record a pointer in an object of the user's names: the id of a
   coroutine; 0: nobody, or *ret_thread: a plain thread. */
uint64_t snap_who(const void *task, bool *ret_thread);

#endif

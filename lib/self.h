/* SPDX-License-Identifier: MIT */
/*
 * self.h - who is running here: the calling thread, as weft sees it.
 *
 * Layer 1.
 *
 * The thread-local pointer is read by an assembly statement that the compiler
 * may neither repeat, nor skip, nor move across a switch: after a park the
 * same code may be running on another thread, and a cached address of a
 * thread-local would belong to the old one.
 */
#ifndef WEFT_SELF_H
#define WEFT_SELF_H

#include "atomic.h"

struct task;
struct worker;

enum { SELF_RANKS = 16 };

struct self {
	uint32_t crit;		/* [atomic] depth of elided locks; written by
				   this thread, read by who ends the solo */
	uint32_t held;		/* [this thread] locks held: debug build */
	struct task *current;	/* [this thread] the coroutine or stand-in;
				   NULL on a worker's own stack */
	struct worker *worker;	/* [const] NULL: a thread that is not ours */
	void *entering;		/* [this thread] gen.c: whose the stack is */
	uint64_t turn_end;	/* [this thread] worker: runq.ticks, when the
				   next pick is a sched_turn; 0: at once */
	int64_t contended_at;	/* [this thread; read by all] worker: when it
				   last had met QUARREL locks that were held */
	uint32_t contended;	/* [this thread] so many since */
	bool quarrels;		/* [this thread] QUARREL of them came in
				   QUARREL_TIME: its next turn gathers */
	uint8_t ranks[SELF_RANKS];	/* [this thread] debug build */
	uint32_t mutexes;	/* [this thread] debug build: pthread mutexes
				   that the coroutine holds; os_hold.c */
};

/* Of a thread that weft has no record of: all zero, and never written. */
extern struct self co__nobody;
extern _Thread_local struct self *co__self;	/* never NULL */

#if (defined __x86_64__ || defined __aarch64__) && !defined WEFT_NO_ASM_TLS
static always_inline struct self *
self_get(void)
{
	struct self *s;

#if defined __x86_64__
	__asm__ volatile("movq co__self@gottpoff(%%rip), %0\n\t"
	    "movq %%fs:(%0), %0" : "=r"(s) : : "memory");
#else
	uint64_t at;

	__asm__ volatile("mrs %1, tpidr_el0\n\t"
	    "adrp %0, :gottprel:co__self\n\t"
	    "ldr %0, [%0, #:gottprel_lo12:co__self]\n\t"
	    "ldr %0, [%1, %0]" : "=&r"(s), "=&r"(at) : : "memory");
#endif
	return s;
}
#else
struct self *co__self_get(void);	/* never inlined */
#define self_get()	co__self_get()
#endif

#endif

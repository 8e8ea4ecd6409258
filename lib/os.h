/* SPDX-License-Identifier: MIT */
/*
 * os.h - what we ask of the operating system: clock, threads, futex, memory.
 *
 * Layer 1.  Every call takes errno in here and gives it back as -errno.
 */
#ifndef WEFT_OS_H
#define WEFT_OS_H

#include "atomic.h"

#include <signal.h>

#include <weft/co.h>

co_time os_now(void);		/* CLOCK_MONOTONIC */

/* All but those that a fault raises.  *ret_old: the mask before. */
void os_signals_block(sigset_t *ret_old);

/* Threads that weft makes.  All signals are blocked in them but those that a
   fault raises. */
struct os_thread {
	unsigned long handle;
};
int os_thread_start(struct os_thread *t, void (*fn)(void *), void *arg);
void os_thread_join(struct os_thread *t);

/*
 * Sleeps while *word == value.  0: woken, or it was not, or for no reason;
 * -ETIMEDOUT: `until` came.  until may be CO_FOREVER.
 */
int os_futex_wait(uint32_t *word, uint32_t value, co_time until);
void os_futex_wake(uint32_t *word, int n);

void os_give_way(void);		/* sched_yield */
void os_nap(co_time duration);

int os_cpus(void);		/* that this process may use; at least 1 */
int os_threads(void);		/* of this process; -errno */
size_t os_page(void);
uint64_t os_faults(void);	/* pages that this process has faulted in */

/* Zeroed pages, or NULL. */
void *os_map(size_t size);

/*
 * The same, where the number of the first page leaves `colour` when it is
 * divided by COLOURS, unless there is no room for that.  What is used all the
 * time has another colour than what it is used with.
 *
 * AMD's processors look in the first-level cache for a hash of bits 12 to 27 of
 * the address (12 xor 27, 13 xor 26, 14 xor 25, 15 xor 20, ... 19 xor 24), and
 * two lines of one set whose hashes agree are never both found: each access to
 * one throws the other out.  Maps that lie near each other differ in none of
 * bits 25 to 27, as a rule, and therefore in their hash where the three lowest
 * bits of their page numbers differ.  Measured on Zen 4, 60 processes: a yield
 * took 18.5 to 24 ns in the 27 of them where the hashes of the worker and of
 * the tasks agreed, 7.5 to 13 in the others.
 */
enum {
	COLOUR_WORKER = 0,
	COLOUR_TASKS = 1,	/* a chunk has others as well */
	COLOUR_STACKS = 4,	/* of the first page of an arena */
	COLOURS = 8
};
void *os_map_coloured(size_t size, unsigned colour);
void os_unmap(void *at, size_t size);

/* fn(arg).  The thread must not end in the midst of it: that is a bug, which
   is told.  Threads that weft makes do all their work so. */
void os_to_the_end(void (*fn)(void *), void *arg);

/* Calls fn(value) when the calling thread ends.  0 or -EAGAIN, -ENOMEM. */
int os_at_thread_end(void (*fn)(void *), void *value);

/* Once in the process: membarrier, fork handlers. */
void os_init(void);
/* True in a child that was forked from a process that had used weft. */
bool os_forked(void);

/* A lock that sleeps: for the cold paths of layers that may block a thread. */
struct os_mutex {
	uint32_t word;
};
void os_mutex_lock(struct os_mutex *m);
void os_mutex_unlock(struct os_mutex *m);

#endif

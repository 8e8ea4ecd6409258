/* SPDX-License-Identifier: MIT */
/*
 * <weft/inspect.h> - seeing inside.  Full text: co_inspect(3).
 */
#ifndef WEFT_INSPECT_H
#define WEFT_INSPECT_H

#include <stdio.h>

#include <weft/co.h>

#ifdef __cplusplus
extern "C" {
#endif

struct co_worker_stats {	/* since the runtime began */
	uint64_t spawned, ended;	/* coroutines */
	uint64_t picks;			/* times one was chosen to run, and
					   times there was none left */
	uint64_t steals, stolen;	/* raids, and what they took */
	uint64_t sleeps, polls;		/* of the worker thread */
	uint64_t timers;		/* that fired */
	uint64_t gathers;		/* quarrels about locks that it ended,
					   taking all from another worker */
};

struct co_stats {
	unsigned workers;		/* of the runtime */
	uint64_t coroutines;		/* that live now */
	uint64_t stacks_in_use, stacks_mapped, stacks_unguarded;
	struct co_worker_stats all;	/* the sum of all workers */
	struct co_worker_stats worker[64];	/* of the first 64 */
};

/*
 * The counters of the runtime that the caller is in; from another thread, of
 * the one that began last.  They are read while others count: each is true for
 * a moment of its own.  0; -EINVAL: ret is NULL; -ESRCH: no runtime runs.
 */
int co_stats_get(struct co_stats *ret);

/*
 * Writes what each coroutine of every runtime does: id, name, state; what it
 * waits for, who holds it, since when and how long at most; where it was
 * spawned and by whom; where it stands, frame by frame; then the cycles.  From
 * any thread, at any time; does not wait for a coroutine, runs no user code,
 * never calls the allocator, and takes no lock that a coroutine needs.
 * 0; -EINVAL: to is NULL; -EIO: it could not be written.
 */
int co_dump(FILE *to);
int co_dump_json(FILE *to);	/* the same as one object of JSON */

/*
 * Looks for coroutines that wait for each other in a circle: mutexes, rwlocks
 * held for writing, onces, joins, and scopes that wait for their children.
 * Writes a line for each circle (to may be NULL) and gives their number.  They
 * are found while the rest of the program runs; a wait with a deadline is in
 * none.  -EIO: it could not be written; -ENOMEM.
 */
int co_find_cycles(FILE *to);

/*
 * With CO_STACK_CENSUS: a line for each place where coroutines were spawned,
 * the hungriest first: how many have ended and how many wait, how much of their
 * stacks they have touched at most, and a stack_size that would do.  From any
 * thread, also when the runtime has ended.  How many lines; -EINVAL: to is
 * NULL; -ESRCH: there was no census; -EIO: it could not be written.
 */
int co_stack_report(FILE *to);

#ifdef __cplusplus
}
#endif

#endif

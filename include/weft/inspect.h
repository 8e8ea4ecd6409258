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
	uint64_t picks;			/* times one was chosen to run */
	uint64_t steals, stolen;	/* raids, and what they took */
	uint64_t sleeps, polls;		/* of the worker thread */
	uint64_t timers;		/* that fired */
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
 * Writes a line or two for each coroutine of every runtime: id, name, state,
 * what it waits for and since when, where it was spawned and by whom.  From
 * any thread; does not wait; runs no user code, allocates nothing, and takes no
 * lock that a coroutine needs.
 * 0; -EINVAL: to is NULL; -EIO: it could not be written.
 */
int co_dump(FILE *to);

#ifdef __cplusplus
}
#endif

#endif

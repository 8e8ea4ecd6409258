/* SPDX-License-Identifier: MIT */
/*
 * machine.h - what the real code stands on in a model: workers, tasks, and a
 * scheduler that only knows how to wait.
 *
 * Thread n of a model is worker n, on which task n runs.  Or it is a thread
 * that is not weft's, with a stand-in; or one that is new to weft and has
 * nothing.  A task that parks spins until somebody has made it ready: all that
 * lies between is the real park.c.
 */
#ifndef WEFT_EXPLORE_MACHINE_H
#define WEFT_EXPLORE_MACHINE_H

#include "explore.h"

#include "foreign.h"
#include "harness.h"
#include "park.h"

enum machine_kind { WORKER, STAND_IN, NEWCOMER };

extern struct machine {
	struct runtime rt;
	struct worker worker[EXPLORE_THREADS];
	struct task task[EXPLORE_THREADS];	/* of workers */
	struct task_ext ext[EXPLORE_THREADS];
	struct foreign foreign[EXPLORE_THREADS];
	uint32_t ready[EXPLORE_THREADS];	/* [atomic] made so */
} machine;

/* In a model's setup, first.  Shares what every model has; workers are
   awake. */
void machine_setup(enum machine_kind a, enum machine_kind b,
    enum machine_kind c);
/* For .enter. */
void machine_enter(int thread);

struct task *machine_task(int thread);
/* A thread: ends the wait of task 0, as wake_ended in scope_end.c. */
void machine_cancel_wait(void);
/*
 * In setup, and then by who has left a frame that others knew of: it is written
 * over with the address of a task that is gone, and whose use is a violation.
 */
void machine_forbid_gone(void);
void machine_write_over_frames(void);
/* For .end: nobody was woken who did not wait. */
void machine_end(void);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * join.h - handing a forked task's result to its joiner.
 *
 * Layer 6.
 */
#ifndef WEFT_JOIN_H
#define WEFT_JOIN_H

#include "task.h"

/* Before t can run. */
void join_begin(struct co_task *h, struct task *t);
/* t, which was forked with handle h, returned ret.  h may be gone after it. */
void join_deliver(struct co_task *h, int ret);
/* All tasks of a runtime have ended: when it returns, no co_task_cancel looks
   at a record of theirs any more. */
void join_settle(void);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * foreign.h - threads that are not ours: a stand-in waits for each.
 *
 * Layer 5.
 */
#ifndef WEFT_FOREIGN_H
#define WEFT_FOREIGN_H

#include "task.h"

struct foreign {
	struct self self;
	struct task task;
	struct task_ext ext;
	struct foreign *next;		/* [mutex of foreign.c] free list */
	uint32_t woken;			/* [atomic] futex: 1: the wait ends */
};

static inline struct foreign *
foreign_of(struct task *t)
{
	return container_of(t, struct foreign, task);
}

#endif

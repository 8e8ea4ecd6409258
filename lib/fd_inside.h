/* SPDX-License-Identifier: MIT */
/*
 * fd_inside.h - what fd.c and fd_wait.c share.
 *
 * Layer 7.
 */
#ifndef WEFT_FD_INSIDE_H
#define WEFT_FD_INSIDE_H

#include "fd.h"

static always_inline void
fd_take(struct fd *f)
{
	lock_take(&f->lock, LOCK_FD);
}

static always_inline void
fd_drop(struct fd *f)
{
	lock_drop(&f->lock, LOCK_FD);
}

/* Takes the lock when no close(2) is running. */
void fd_take_settled(struct fd *f);

/* What is waited for.  The lock is held. */
static inline unsigned
fd_wanted(const struct fd *f)
{
	return (waitq_empty(&f->q[FD_READ]) ? 0 : WATCH_READ) |
	    (waitq_empty(&f->q[FD_WRITE]) ? 0 : WATCH_WRITE);
}

/* The queues have changed.  The lock is held. */
static inline void
fd_note_waiters(struct fd *f)
{
	a_store_relaxed(&f->awaited, (uint8_t)fd_wanted(f));
}

/* Takes off the queues all who wait, as a list by next: being claimed, they
   stay where they are until they are woken.  The lock is held. */
struct waiter *fd_claim_all(struct fd *f, int status);
/* No lock is held. */
void fd_wake_list(struct waiter *list);

/* The watch goes.  The lock is held. */
void fd_unwatch(struct fd *f);

#endif

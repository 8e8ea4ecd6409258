/* SPDX-License-Identifier: MIT */
/*
 * select.h - what makes a thing a case of a select.
 *
 * Layer 6.  Used by everything that has a co_on_...().
 *
 * A kind of case is a table of functions, and a public function that makes a
 * struct co_case with co__case((uintptr_t)&table, obj, slot, status) (and
 * co__arg and co__own as it likes) and does nothing else: the case may be made
 * long before the select, and may be used again.  There are two sorts.
 *
 * LOCKED kinds have `lock`: the select takes the locks, all at once where that
 * matters, in the order of rank and address.  Channels, events, futures: what
 * has one lock of rank LOCK_CHAN.
 *
 * SELF-LOCKING kinds have none: their functions are called while the select
 * holds no lock, and take what they need.  Joins, descriptors, signals.
 *
 * A select does this:
 *
 *	open		for each case that has it
 *	maybe		in random order; where it says yes, or is absent:
 *	take		under that one lock.  If true: unlock,
 *	finish		and the select is over
 *	-- nobody was ready: the locks of all locked kinds are taken
 *	take		for each locked kind again.  If true: unlock all,
 *	finish		and the select is over
 *	enqueue		for each locked kind; then unlock all
 *	enqueue		for each self-locking kind.  If 1, that became ready in
 *			the meantime: dequeue all, begin anew
 *	-- the task sleeps
 *	dequeue		for each that was queued, under its lock
 *	chosen		for the one whose waiter was claimed, no lock held
 *	shut		for each that was opened
 *
 * For the functions under a lock: the locks of other cases may be held as
 * well, so take no lock of a rank up to LOCK_CHAN, wake nobody, call nobody,
 * make no system call.
 *
 * THE WAITER.  The select fills in the case's waiter but for the queue: task,
 * ticket, slot (co__slot), index, status 0, multi.  Who takes it off the
 * object's queue and wins its claim (waitq_claim) writes the value through
 * slot, if any, and status, and then wakes the task, after unlocking, with
 * waiter_wake().  As the claim may be lost to another case at any moment,
 * effects that cannot be undone come after it.  With the status WAIT_AGAIN the
 * select begins anew.
 */
#ifndef WEFT_SELECT_H
#define WEFT_SELECT_H

#include <weft/chan.h>

#include "waiter.h"

/* What take hands to finish, in the select's frame. */
struct case_taken {
	int status;		/* goes to *co__status, where that is given;
				   -ENOMEM: nothing has taken effect, and the
				   select returns it */
	struct waiter *peer;	/* claimed by take: finish wakes it */
	void *more;		/* as the kind likes */
};

struct case_ops {
	enum wait_reason why;		/* for dumps */

	/*
	 * Optional.  Finds and pins the object (a descriptor's record, say) or
	 * does what needs a system call.  0, or a negative errno, which the
	 * select then returns; shut follows only where open gave 0.
	 */
	int (*open)(struct co_case *c);
	void (*shut)(struct co_case *c);

	/*
	 * Gives the lock that guards the object's state and queue; or NULL:
	 * there is no object, the case is never ready.  The function itself is
	 * NULL for a self-locking kind.
	 */
	struct lock *(*lock)(struct co_case *c);
	enum lock_rank rank;	/* of that lock: LOCK_CHAN */

	/*
	 * Optional.  Could take be true?  Asked without the lock: no more than
	 * a hint, wrong either way.  Absent: perhaps.
	 */
	bool (*maybe)(struct co_case *c);

	/*
	 * Lock held.  True: the case was ready and has taken effect now;
	 * *taken (zeroed before) is for finish.  False: nothing has happened.
	 */
	bool (*take)(struct co_case *c, struct case_taken *taken);

	/* Optional.  No lock held: copies what is large, wakes the peer. */
	void (*finish)(struct co_case *c, struct case_taken *taken);

	/*
	 * Lock held.  Links w: 0.  Not linked: a negative errno, with which
	 * the select ends; or 1 by a self-locking kind that is ready now (a
	 * locked one has just been asked by take).
	 */
	int (*enqueue)(struct co_case *c, struct waiter *w);
	/* Lock held.  Unlinks w, if it is still queued. */
	void (*dequeue)(struct co_case *c, struct waiter *w);

	/*
	 * Optional.  No lock held: a waker has claimed w, and set w->status,
	 * which is what *co__status gets unless chosen returns another.
	 */
	int (*chosen)(struct co_case *c, struct waiter *w);

	/*
	 * Those who would wake a plain thread may have no time, or be gone with
	 * their runtime: it looks by itself now and then.
	 */
	bool polled;
};

/* The tables of kinds whose makers are in select.c. */
extern const struct case_ops co__case_join;	/* join.c; co__slot: result */
extern const struct case_ops co__case_event;	/* event.c */

/* Wakes the task of a claimed waiter; w may be gone when it returns. */
static always_inline void
waiter_wake(struct waiter *w)
{
	task_wake(w->task, w->index);
}

#endif

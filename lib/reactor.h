/* SPDX-License-Identifier: MIT */
/*
 * reactor.h - one libev loop of one worker: waiting for descriptors and time.
 *
 * Layer 7.  Uses worker.h.  The scheduler calls it through a table of functions
 * that is handed down to it; fd.c, blocking.c and signal.c use it directly.
 *
 * The loop runs on a worker's own stack, never on a coroutine's.  It belongs
 * to one worker; another may run it for a moment while the owner is busy.
 *
 * Going to sleep, and the wake-up that must not be lost:
 *
 *	the owner			who has work for it
 *	say "I sleep"			publish the work
 *	barrier				barrier
 *	look for work once more		does it say "I sleep"?
 *	poll (blocks)			reactor_wake
 *	look for work
 *
 * reactor_wake makes the owner's poll that runs, or its next one, return.  It
 * is forgotten only inside the owner's own poll, before that returns, and so
 * before the owner looks for work: a poll that another worker makes eats no
 * wake-up.
 */
#ifndef WEFT_REACTOR_H
#define WEFT_REACTOR_H

#include "worker.h"

struct fd;
struct reactor;
struct watch;

/*
 * For runtime.c.
 *
 * make	0, -ENOMEM, -EMFILE, ...: no loop could be made.
 * free	When no poll runs and none will, and no task lives.  The first also ends
 *	the runtime's blocking pool and its interest in signals.
 * poll	Runs the loop once.  wait < 0: until something happens; 0: does not
 *	wait; else at most so many nanoseconds.  Makes the tasks runnable that
 *	waited for what has happened.  How many events, or -EBUSY: somebody is
 *	running the loop this moment.  Only its owner may wait.
 * wake	Any thread, and signal handlers too.
 * waits	Could anything outside still wake a task through this loop: a
 *	descriptor or signal that is waited for, a blocking job?
 */
extern const struct reactor_ops co__reactor_ops;

/* The loop of the worker that the caller is on; NULL on other threads.  Not
   to be kept across a wait. */
static inline struct reactor *
reactor_here(void)
{
	struct worker *w = worker_self();

	return w ? w->reactor : NULL;
}

void reactor_wake(struct reactor *r);

/*
 * Counts what comes from outside by other ways than a descriptor (a job, a
 * signal that is waited for), so that no deadlock is reported.  Any thread.
 */
void reactor_hold(struct reactor *r);
void reactor_release(struct reactor *r);

/*
 * Something to be done by whoever runs the loop next, posted by any thread;
 * no lock of weft is taken.  p is free again when run() is called.
 */
struct reactor_post {
	struct reactor_post *next;
	void (*run)(struct reactor_post *p);
};
void reactor_post(struct reactor *r, struct reactor_post *p);

/*
 * Watches, for fd.c alone.  A watch is one registration of one descriptor with
 * one loop.  Every call comes under the descriptor's lock, from any thread, and
 * waits for nobody but a loop that is busy with its own bookkeeping.
 *
 * watch_new	in the loop r, or, when that is NULL, in that of any runtime:
 *		-EINVAL: there is none.
 * watch_set	what to look for from now on; level-triggered.
 * watch_renew	the number may stand for another file now: tells the kernel.
 * watch_drop	ends it.  The descriptor may be closed at once.
 */
enum { WATCH_READ = 1, WATCH_WRITE = 2, WATCH_FAILED = 4,
	WATCH_BOTH = 3 };

int watch_new(struct watch **ret, struct reactor *r, struct fd *f, int num,
    uint32_t gen, unsigned events);
void watch_set(struct watch *w, unsigned events);
void watch_renew(struct watch *w);
void watch_drop(struct watch *w);

struct reactor *watch_home(const struct watch *w);

/* The last round of its loop that is back from the kernel. */
uint64_t watch_round(const struct watch *w);

/* Has co__fd_recheck(f, gen) called in a while.  False: no memory for it. */
bool watch_doubt(struct watch *w, struct fd *f, uint32_t gen);

/* In fd.c, called by the one who runs the loop; no lock is held.  round: which
   told of the events.  Gives the number of those that it woke. */
int co__fd_event(struct fd *f, uint32_t gen, unsigned events, uint64_t round);
void co__fd_recheck(struct fd *f, uint32_t gen);
/* The loop of w ends: w is to be dropped, if f still has it. */
void co__fd_unwatch(struct fd *f, struct watch *w);
/* Does anybody wait for it?  No more than a hint while others run. */
bool co__fd_waited_for(struct fd *f);

#endif

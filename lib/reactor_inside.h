/* SPDX-License-Identifier: MIT */
/*
 * reactor_inside.h - what the reactor's files share.
 *
 * Layer 7.
 */
#ifndef WEFT_REACTOR_INSIDE_H
#define WEFT_REACTOR_INSIDE_H

#include <ev.h>

#include "reactor.h"

enum { WATCHES_FIRST = 64 };	/* room for so many is made with the reactor */

struct fired {
	struct fd *f;
	uint32_t gen;
	uint32_t events;
};

struct doubt {
	struct fd *f;
	uint32_t gen;
};

struct reactor {
	struct worker *owner;		/* [const] */
	struct ev_loop *loop;		/* [const pointer; lock] */
	int event_fd, timer_fd;		/* [const] timer_fd -1: there is none */
	ev_io wake_io, timer_io;	/* [lock] */
	ev_timer plain_timer;		/* [lock] instead of a timerfd */
	ev_fork anew_event;		/* [lock] a new set is about to be made
					   of all that is watched */
	bool polls;			/* [const] the backend is poll(2) */
	bool keeps;			/* [const] ... or select(2): what is
					   closed meanwhile it keeps */
	bool lost;			/* [lock] libev has dropped one of the
					   three above */
	struct spare *spare;		/* [lock] see reactor_spare.c */
	size_t nwatches;		/* [lock] */
	size_t assured, highest;	/* [lock] what the spare is for */
	struct reactor *next_listed;	/* [reactor_watch.c] */

	uint32_t turn cache_aligned;	/* [atomic] 1: somebody runs the loop */
	uint32_t woken;			/* [atomic] see reactor_wake */
	uint32_t held;			/* [atomic] reactor_hold less release */
	struct reactor_post *posts;	/* [atomic] newest first */
	struct os_mutex lock;		/* LOCK order: after LOCK_FD */
	uint32_t waiting;		/* [lock] inside the system call */
	uint32_t droppers;		/* [atomic] wait in watch_drop */
	uint64_t rounds;		/* [atomic; written under lock] how
					   often that returned */
	struct watch *watches;		/* [lock] all */
	struct watch *fresh;		/* [lock] not yet told to the kernel */
	struct doubt *doubts;		/* [lock] */
	size_t ndoubts, doubts_room;	/* [lock] */
	co_time recheck_at;		/* [lock] CO_FOREVER: nothing is */

	co_time armed;			/* [turn] what the timer is set for */
	bool expired;			/* [turn] it went off: still readable */
	bool own_turn;			/* [turn] the owner runs the loop */
	bool may_doze;			/* [turn] it is the owner, who waits */
	uint64_t served_at;		/* [turn] when the owner has taken so
					   many tasks, all woken have run */
	co_time patience;		/* [turn] but no later than this */
	size_t nfired, room;		/* [turn] */
	struct fired *fired;		/* [turn] `room` of them, used from the
					   start */
	struct fired *fired_next;	/* [lock] takes its place in the next
					   round, when there are more watches */
	size_t room_next;		/* [lock] */
};

struct watch {
	ev_io io;			/* [home->lock] */
	struct reactor *home;		/* [const] */
	struct fd *f;			/* [const] */
	uint32_t gen;			/* [const] of f when this was made */
	bool is_fresh;			/* [home->lock] */
	struct watch *next, *prev;	/* [home->lock] */
	struct watch *fresh_next;	/* [home->lock] */
};

/* --- reactor_spare.c ------------------------------------------------------ */

/* r->lock.  Only in between is libev called, for this loop. */
void loop_lock(struct reactor *r);
void loop_unlock(struct reactor *r);

/* The rest: r->lock is held, or r is being made or freed. */
void spare_install(void);		/* before a loop is made */
/* There will be so many watches, and numbers below `numbers`: 0 or -ENOMEM. */
int spare_assure(struct reactor *r, size_t watches, size_t numbers);
bool spare_is_cut(const struct reactor *r);	/* some of it is used */
void spare_free(struct reactor *r);	/* after the loop */

/* --- reactor_watch.c; r->lock is held where not said otherwise ------------ */

/* Room for so many notes from the next round on: 0 or -ENOMEM. */
int reactor_assure_fired(struct reactor *r, size_t room);
/* An event, for who runs the loop. */
void reactor_note(struct reactor *r, const struct watch *w, unsigned events);
/* I4: those that are new; all. */
void reactor_check_fresh(struct reactor *r);
void reactor_check_all(struct reactor *r);
/* Looks at what is in doubt.  The turn is held, the lock is not. */
void reactor_recheck(struct reactor *r);
/* To be found by watch_new, and no more.  The lock is not held. */
void reactor_list(struct reactor *r);
void reactor_unlist(struct reactor *r);
/* The loop ends.  The lock is not held. */
void reactor_drop_watches(struct reactor *r);

#endif

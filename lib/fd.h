/* SPDX-License-Identifier: MIT */
/*
 * fd.h - what weft knows about a descriptor, by its number.
 *
 * Layer 7.  Uses waiter.h, reactor.h.  Used by io.c and what is above it.
 *
 * A call on a descriptor is: fd_enter, try, perhaps fd_wait and try again,
 * fd_leave.  Between enter and leave the number is not given back to the
 * kernel: co_close marks the record, wakes who waits, and the last to leave
 * closes.
 */
#ifndef WEFT_FD_H
#define WEFT_FD_H

#include "reactor.h"
#include "waiter.h"

/*
 * STATES of a record; all under its lock.
 *
 *	FREE ----> OPEN ---> CLOSING ---> GONE ---> FREE
 *	            ^ |         ^           fd_leave, by the last user, or
 *	  fd_enter  | v         |           co_close, when there is none
 *	          STALE --------+ co_close
 *
 *	FREE	the number means nothing to us.
 *	OPEN	kind and the like are true, unless the file was changed behind
 *		our back (fd.c).
 *	STALE	it was closed behind our back: to be looked at anew.
 *	CLOSING	nobody may enter; users > 0.
 *	GONE	close(2) is running.  Who comes waits for its end: the number
 *		may be a new owner's already, or the old one's still.
 */
enum fd_state { FD_FREE, FD_OPEN, FD_STALE, FD_CLOSING, FD_GONE };

enum fd_kind {
	FD_STREAM,		/* a socket of bytes */
	FD_SOCKET,		/* any other socket */
	FD_PIPE,
	FD_FILE,		/* always "ready", and slow: the pool's */
	FD_CHAR,		/* a device: terminal, /dev/null, ... */
	FD_OTHER		/* eventfd, timerfd, pidfd, ... */
};

/* The queues of waiters.  1 << FD_READ is WATCH_READ, and so on. */
enum { FD_READ, FD_WRITE, FD_PAUSE, FD_QUEUES };

/* Waits that went well before the hint `dry` is followed: a guess. */
enum { FD_TRUST = 8 };

struct fd {
	struct lock lock;	/* LOCK_FD */
	int num;		/* [const once it was used] */
	uint32_t gen;		/* [lock] one more for each file that the number
				   has stood for */
	uint32_t closes;	/* [atomic] how often closed or forgotten;
				   written under the lock, read by users */
	uint32_t users;		/* [lock] between enter and leave */
	uint8_t state;		/* [lock] enum fd_state */
	uint8_t kind;		/* [atomic] enum fd_kind; set under the lock,
				   read by users */
	bool shared;		/* [like kind] 0, 1, 2 that blocks: as it was */
	uint8_t awaited;	/* [atomic] copy of what the queues say, for
				   reactor_waits */
	uint8_t lit;		/* [lock] what the watch looks for */
	uint8_t dry;		/* [atomic hint] 1 << direction: a call would
				   find nothing.  Set by users, cleared by
				   events */
	uint8_t trust;		/* [atomic hint] events waited for and come */
	uint8_t strikes;	/* [lock] events that nobody waited for */
	bool doubted;		/* [lock] a recheck is ordered */
	uint8_t hints;		/* [lock] how often the hint was followed */
	uint8_t hints_then;	/* [lock] when the recheck was ordered */
	uint16_t streak;	/* [atomic] calls since somebody waited */
	struct watch *watch;	/* [lock] NULL: nobody has waited yet */
	uint64_t ident;		/* [lock] of the file; 0: not known */
	struct waitq q[FD_QUEUES];	/* [lock] */
};

/* 0; -EBADF: not open, or being closed; -EMFILE: a number beyond reason;
   -ENOMEM.  Afterwards the caller is a user of *ret. */
int fd_enter(int num, struct fd **ret);
void fd_leave(struct fd *f);

/*
 * The library itself has just made this descriptor, nonblocking, of this kind:
 * so that its first use needs no system calls.  Failing does no harm.
 */
void fd_adopt(int num, enum fd_kind kind);

/*
 * Waits until one of the events (WATCH_READ, WATCH_WRITE) may be there: 0.  Or
 * -EBADF: it was closed; -ENOMEM; the code of a scope that ended.  sure: a
 * call has just found nothing; else the caller follows the hint `dry`.  other:
 * NULL, or a second descriptor whose co_close ends the wait as well.
 */
int fd_wait_both(struct fd *f, struct task *t, unsigned events, bool sure,
    struct fd *other);

/*
 * F6: a wait ends the call, with -EBADF, when the number was closed or
 * forgotten since the call began: `closes` is what fd_closes gave then.
 */
static inline uint32_t
fd_closes(const struct fd *f)
{
	return a_load_relaxed(&f->closes);
}

static inline int
fd_same(const struct fd *f, uint32_t closes)
{
	return likely(fd_closes(f) == closes) ? 0 : -EBADF;
}

static inline int
fd_wait(struct fd *f, struct task *t, unsigned events, bool sure,
    uint32_t closes)
{
	int code = fd_wait_both(f, t, events, sure, NULL);

	return code < 0 ? code : fd_same(f, closes);
}

/* Waits for the duration, or for co_close: 0, -EBADF or a scope's code.  See
   F6. */
int fd_pause(struct fd *f, struct task *t, co_time duration);

/*
 * For the cases of a select; direction is FD_READ or FD_WRITE.  enqueue: 0;
 * 1: it is closed; -ENOMEM.  A plain thread may get 0 and not be queued, when
 * there is no loop: it looks by itself (`polled` in select.h).
 */
bool fd_is_closed(struct fd *f);
int fd_enqueue(struct fd *f, struct waiter *w, int direction);
void fd_dequeue(struct fd *f, struct waiter *w, int direction);

/* Which of the events are there now; < 0: -EBADF. */
int fd_poll(struct fd *f, unsigned events);

/* The number may stand for another file: looks.  0 or -EBADF. */
int fd_renew(struct fd *f);

/* Which file it is taken for; 0: unknown.  Is it open, and that file? */
uint64_t fd_ident(struct fd *f);
bool fd_is_file(int num, uint64_t ident);

/* May a call be left out, as it would find nothing? */
static inline bool
fd_is_dry(const struct fd *f, unsigned event)
{
	return (a_load_relaxed(&f->dry) & event) != 0 &&
	    a_load_relaxed(&f->trust) >= FD_TRUST;
}

static inline enum fd_kind
fd_kind(const struct fd *f)
{
	return (enum fd_kind)a_load_relaxed(&f->kind);
}

static inline bool
fd_is_shared(const struct fd *f)
{
	return a_load_relaxed(&f->shared);
}

static inline void
fd_set_dry(struct fd *f, unsigned event)
{
	a_store_relaxed(&f->dry, (uint8_t)(a_load_relaxed(&f->dry) | event));
}

#endif

/* SPDX-License-Identifier: MIT */
/*
 * io.h - the shape of every call on a descriptor.
 *
 * Layer 7.  Uses fd.h.  Used by io.c, io_pause.c, message.c, accept.c,
 * transfer.c.
 */
#ifndef WEFT_IO_INSIDE_H
#define WEFT_IO_INSIDE_H

#include <sys/types.h>

#include "fd.h"

/*
 * One attempt, which does not wait: >= 0, or -errno.  For FD_FILE it is made
 * on a pool thread and may take its time.
 */
typedef ssize_t io_try(struct fd *f, void *arg);

struct io_call {
	io_try *attempt;
	void *arg;
	unsigned event;		/* what to wait for: WATCH_READ, WATCH_WRITE */
	bool no_wait;		/* -EAGAIN instead, and no cancellation point */
	bool at_once;		/* no wait before an attempt: it is for no
				   bytes, or for what no event tells of */
	bool may_block;		/* has no MSG_DONTWAIT for sockets either */
};

/* Attempts until there is a result other than -EAGAIN and -EINTR. */
ssize_t io_do(int num, const struct io_call *call);

/* The same within fd_enter and fd_leave; `closes` is of then, F6 of fd.c. */
ssize_t io_loop(struct fd *f, struct task *t, const struct io_call *call,
    uint32_t closes);

/* Runs one attempt on the pool: 0, and *ret is what it gave; 1, f has become
   another file, begin anew; or a code below 0.  Then it never ran. */
int io_on_pool(struct fd *f, struct task *t, uint32_t closes, io_try *attempt,
    void *arg, ssize_t *ret);

/* A call has succeeded: now and then lets the others of this worker go first,
   so that one descriptor that is always ready does not starve them. */
void io_breathe(struct fd *f, struct task *t);

/*
 * For what tells nobody when to try again: pauses for `first`, and each time
 * for twice as long as the last time, `most` at most.  *pause is 0 at first,
 * and the caller's to keep.  0, or what the call must give.
 */
struct io_pauses {
	co_time first, most;
};
int io_pause(struct fd *f, struct task *t, uint32_t closes, co_time *pause,
    struct io_pauses how);

/*
 * Some are "ready" for what a call then refuses with -EAGAIN: who has an unread
 * queue of errors, or sends to a Unix datagram socket that is full.  To be
 * asked at each -EAGAIN, before the wait: when they come in a row and hardly
 * any time passes between two, this pauses.  0, or what the call must give.
 */
enum { IO_VAIN = 8 };	/* a guess: a reader among many, for whom others leave
			   nothing, is not to be slowed */
#define IO_VAIN_PAUSES	((struct io_pauses){ CO_MS(1), CO_MS(16) })

struct io_vain {	/* in the caller's frame */
	unsigned n;		/* in a row; 0 at first, and nothing else set */
	co_time since;		/* the last one */
	co_time pause;
};
int io_in_vain(struct fd *f, struct task *t, uint32_t closes,
    struct io_vain *v);

/* 0: calls on it will not block the thread.  For what has no MSG_DONTWAIT. */
int io_assure_nonblocking(struct fd *f);

/* Around a call that could raise SIGPIPE. */
struct io_pipe_guard {
	uint64_t old_mask[16];	/* a sigset_t */
	bool was_pending;
};
void io_guard_pipe(struct io_pipe_guard *g);
void io_unguard_pipe(struct io_pipe_guard *g, bool got_epipe);

static inline bool
io_is_socket(const struct fd *f)
{
	return fd_kind(f) <= FD_SOCKET;
}

#endif

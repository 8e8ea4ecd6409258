/* SPDX-License-Identifier: MIT */
/*
 * fd_wait.c - waiting for descriptors, and being woken by the loop.
 *
 * Layer 7.  The rules, F1 to F5, are at the top of fd.c.
 */
#include "fd_inside.h"

#include <fcntl.h>
#include <poll.h>

enum {
	STRIKES = 2,		/* events that nobody wants, F2 */
	PATIENCE = 32		/* the same while somebody is in a call: most
				   likely he was woken and has not run yet: with
				   a thousand busy connections that is the rule,
				   and took 2 epoll_ctl for each request */
};

/* --- what the loop calls -------------------------------------------------- */

/* It cannot be watched any longer: closed behind our back, or no memory. */
static cold int
watch_failed(struct fd *f)
{
	int status = fcntl(f->num, F_GETFD) < 0 ? -EBADF : -ENOMEM;
	struct waiter *list;

	fd_unwatch(f);
	f->gen++;
	f->state = FD_STALE;
	list = fd_claim_all(f, status);
	fd_drop(f);
	fd_wake_list(list);
	return list != NULL;
}

/* One direction of an event, F1, F2 and F5.  The lock is held. */
static struct waiter *
take_event(struct fd *f, int direction, uint64_t round)
{
	struct waitq *q = &f->q[direction];
	struct waiter *w;

	do {
		w = q->head;
		if (unlikely(w && w->round >= round))
			return NULL;
	} while (w && !waitq_take(q, w));
	if (w) {
		f->strikes = 0;
		if (f->trust < FD_TRUST)
			a_store_relaxed(&f->trust, (uint8_t)(f->trust + 1));
		if (direction == FD_READ || !waitq_empty(q))
			return w;
	} else if (direction == FD_READ &&
	    ++f->strikes < (f->users ? PATIENCE : STRIKES)) {
		return NULL;
	}
	f->lit &= (uint8_t)~(1u << direction);
	return w;
}

int
co__fd_event(struct fd *f, uint32_t gen, unsigned events, uint64_t round)
{
	struct waiter *r = NULL, *w = NULL;
	uint8_t lit;

	fd_take(f);
	if (f->gen != gen || f->state != FD_OPEN || !f->watch) {
		fd_drop(f);
		return 0;
	}
	if (unlikely(events & WATCH_FAILED))
		return watch_failed(f);
	a_store_relaxed(&f->dry,
	    (uint8_t)(a_load_relaxed(&f->dry) & ~events));
	lit = f->lit;
	if (events & WATCH_READ)
		r = take_event(f, FD_READ, round);
	if (events & WATCH_WRITE)
		w = take_event(f, FD_WRITE, round);
	if (f->lit != lit)
		watch_set(f->watch, f->lit);
	fd_note_waiters(f);
	fd_drop(f);
	if (r)
		task_wake(r->task, r->index);
	if (w)
		task_wake(w->task, w->index);
	return (r != NULL) + (w != NULL);
}

/*
 * Somebody has followed the hint again, and so had been woken: the watch is
 * good, and asked about once more later.  Else the file is looked at.
 */
void
co__fd_recheck(struct fd *f, uint32_t gen)
{
	uint64_t ident = 0;
	bool ask = false;

	fd_take(f);
	if (f->gen == gen && f->doubted && fd_wanted(f)) {
		ask = f->hints == f->hints_then || !f->watch;
		ident = f->ident;
		f->hints_then = f->hints;
		f->doubted = !ask && watch_doubt(f->watch, f, gen);
		f->users += ask;
	} else if (f->gen == gen) {
		f->doubted = false;
	}
	fd_drop(f);
	if (!ask)
		return;
	if (!fd_is_file(f->num, ident))
		fd_renew(f);
	fd_leave(f);
}

void
co__fd_unwatch(struct fd *f, struct watch *w)
{
	struct waiter *list = NULL;

	fd_take(f);
	if (f->watch == w) {
		fd_unwatch(f);
		f->gen++;
		f->doubted = false;
		list = fd_claim_all(f, WAIT_AGAIN);
	}
	fd_drop(f);
	fd_wake_list(list);
}

bool
co__fd_waited_for(struct fd *f)
{
	return a_load_relaxed(&f->awaited) != 0;
}

/* --- waiting -------------------------------------------------------------- */

/* A call has found nothing.  Is what is being watched still the file that was
   called? */
static int
same_file(struct fd *f, bool *ret_watched)
{
	uint64_t ident;
	bool unknown;

	fd_take(f);
	*ret_watched = f->watch != NULL;
	ident = f->ident;
	unknown = *ret_watched && ident == 0;
	if (unknown)
		watch_renew(f->watch);
	fd_drop(f);
	if (!*ret_watched || unknown)
		return 0;
	return fd_is_file(f->num, ident) ? 0 : fd_renew(f);
}

int
fd_poll(struct fd *f, unsigned events)
{
	struct pollfd p = { .fd = f->num };
	unsigned ready = 0;

	if (events & WATCH_READ)
		p.events |= POLLIN;
	if (events & WATCH_WRITE)
		p.events |= POLLOUT;
	while (poll(&p, 1, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	if (p.revents & POLLNVAL)
		return -EBADF;
	if (p.revents & (POLLIN | POLLERR | POLLHUP))
		ready |= WATCH_READ;
	if (p.revents & (POLLOUT | POLLERR | POLLHUP))
		ready |= WATCH_WRITE;
	return (int)(ready & events);
}

/*
 * A thread that is not ours has no loop: it waits in poll(2), and looks up now
 * and then whether its scope has ended or the descriptor was closed or
 * forgotten.
 */
static int
foreign_wait(struct fd *f, struct task *t, unsigned events, struct fd *other)
{
	struct pollfd p = { .fd = f->num };
	int ms = 1, n, code;
	uint32_t closes;
	bool gone;

	if (events & WATCH_READ)
		p.events |= POLLIN;
	if (events & WATCH_WRITE)
		p.events |= POLLOUT;
	fd_take(f);
	closes = f->closes;
	fd_drop(f);
	for (;;) {
		wait_begin(t, events & WATCH_READ ? WAIT_READ : WAIT_WRITE, f);
		code = wait_park_raw(t, os_now());
		if (code != WAIT_UNTIL)
			return code;
		fd_take(f);
		gone = f->state == FD_CLOSING || f->closes != closes;
		fd_drop(f);
		if (gone || (other && fd_is_closed(other)))
			return -EBADF;
		n = poll(&p, 1, ms);
		if (n > 0)
			return p.revents & POLLNVAL ? -EBADF : 0;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (ms < 16)
			ms *= 2;
	}
}

/* Sees to it that the loop looks for the events.  The lock is held. */
static int
light(struct fd *f, unsigned events, bool sure)
{
	int code;

	if (unlikely(!f->watch)) {
		code = watch_new(&f->watch, reactor_here(), f, f->num, f->gen,
		    events);
		if (code < 0)
			return code;
		f->lit = (uint8_t)events;
		return 0;
	}
	if (unlikely(events & ~(unsigned)f->lit)) {
		f->lit |= (uint8_t)events;
		watch_set(f->watch, f->lit);
	}
	if (!sure) {
		f->hints++;
		if (!f->doubted) {
			f->hints_then = f->hints;
			f->doubted = watch_doubt(f->watch, f, f->gen);
		}
	}
	return 0;
}

/* A wait for events begins, F5.  The lock is held. */
static void
join_queue(struct fd *f, struct waiter *w, int direction)
{
	w->round = watch_round(f->watch);
	waitq_push(&f->q[direction], w);
}

/* Enters the queues of the events: the ticket.  The lock is held. */
static uint64_t
enqueue(struct fd *f, struct task *t, struct waiter *w, unsigned events)
{
	uint64_t ticket = wait_begin(t,
	    events & WATCH_READ ? WAIT_READ : WAIT_WRITE, f);
	int i;

	for (i = 0; i <= FD_WRITE; i++) {
		w[i].queued = false;
		if (!(events & 1u << i))
			continue;
		w[i].task = t;
		w[i].ticket = ticket;
		w[i].index = 0;
		w[i].status = 0;
		join_queue(f, &w[i], i);
	}
	fd_note_waiters(f);
	return ticket;
}

/* Has its close end the wait that was begun, too.  If that has won or wins its
   claim meanwhile, wait_park gives w->status.  False: it is closed. */
static bool
heed(struct fd *f, struct task *t, uint64_t ticket, struct waiter *w)
{
	bool open;

	*w = (struct waiter){ .task = t, .ticket = ticket };
	fd_take(f);
	open = f->state != FD_CLOSING;
	if (open)
		waitq_push(&f->q[FD_PAUSE], w);
	fd_drop(f);
	return open;
}

static void
leave_queue(struct fd *f, struct waiter *w, int direction)
{
	fd_take(f);
	waitq_remove(&f->q[direction], w);
	fd_drop(f);
}

/* Who is to wait anew looks first, as all who wait for a descriptor do. */
static int
outcome(const struct waiter *w)
{
	return w->status == WAIT_AGAIN ? 0 : w->status;
}

int
fd_wait_both(struct fd *f, struct task *t, unsigned events, bool sure,
    struct fd *other)
{
	struct waiter w[2], also;
	uint64_t ticket;
	bool watched;
	int code;

	if (unlikely(t->kind == TASK_FOREIGN))
		return foreign_wait(f, t, events, other);
	if (sure && (code = same_file(f, &watched)) < 0)
		return code;
	fd_take(f);
	if (unlikely(f->state != FD_OPEN)) {
		bool stale = f->state == FD_STALE;

		fd_drop(f);
		return stale ? fd_renew(f) : -EBADF;
	}
	code = light(f, events, sure);
	if (unlikely(code < 0)) {
		fd_drop(f);
		return code;
	}
	a_store_relaxed(&f->streak, 0);
	ticket = enqueue(f, t, w, events);
	fd_drop(f);
	if (unlikely(other) && !heed(other, t, ticket, &also) &&
	    wait_cancel(t, ticket))
		code = -EBADF;
	else
		code = wait_park(t, CO_FOREVER);
	if (unlikely(other)) {
		leave_queue(other, &also, FD_PAUSE);
		code = code < 0 ? code : outcome(&also);
	}
	/* Whoever has woken us was on one queue. */
	if (code < 0 || other || events == WATCH_BOTH) {
		fd_take(f);
		if (events & WATCH_READ)
			waitq_remove(&f->q[FD_READ], &w[FD_READ]);
		if (events & WATCH_WRITE)
			waitq_remove(&f->q[FD_WRITE], &w[FD_WRITE]);
		fd_note_waiters(f);
		fd_drop(f);
	}
	if (code < 0)
		return code;
	code = events & WATCH_READ ? outcome(&w[FD_READ]) : 0;
	return code == 0 && events & WATCH_WRITE ? outcome(&w[FD_WRITE]) : code;
}

bool
fd_is_closed(struct fd *f)
{
	bool closed;

	fd_take(f);
	closed = f->state == FD_CLOSING;
	fd_drop(f);
	return closed;
}

int
fd_enqueue(struct fd *f, struct waiter *w, int direction)
{
	bool watched, stale;
	int code = same_file(f, &watched);

	if (code < 0)
		return code == -EBADF ? 1 : code;
	fd_take(f);
	stale = f->state == FD_STALE;
	if (f->state == FD_OPEN)
		code = light(f, 1u << direction, true);
	else
		code = 1;
	if (code == 0)
		join_queue(f, w, direction);
	else if (code == -EINVAL && w->task->kind == TASK_FOREIGN)
		code = 0;	/* no loop: the thread looks by itself */
	fd_note_waiters(f);
	fd_drop(f);
	if (likely(!stale))
		return code;
	code = fd_renew(f);	/* the next look finds it open, or no file */
	return code < 0 && code != -EBADF ? code : 1;
}

void
fd_dequeue(struct fd *f, struct waiter *w, int direction)
{
	fd_take(f);
	waitq_remove(&f->q[direction], w);
	fd_note_waiters(f);
	fd_drop(f);
}

int
fd_pause(struct fd *f, struct task *t, co_time duration)
{
	struct waiter w = { .task = t };
	int code;

	fd_take(f);
	if (f->state == FD_CLOSING) {
		fd_drop(f);
		return -EBADF;
	}
	w.ticket = wait_begin(t, WAIT_READ, f);
	waitq_push(&f->q[FD_PAUSE], &w);
	fd_drop(f);
	code = wait_park_raw(t, os_now() + duration);
	if (code >= 0)
		return outcome(&w);
	leave_queue(f, &w, FD_PAUSE);
	return code == WAIT_UNTIL ? 0 : code;
}

/* SPDX-License-Identifier: MIT */
/*
 * fd.c - who waits for which descriptor.
 *
 * Layer 7.  Built on reactor, park, waiter.  The states are in fd.h.
 *
 * A record for each number, in chunks that are made when first needed and live
 * for ever: a pointer to one is always good, and found without a lock.
 *
 * Waiting.  The first wait on a descriptor makes a watch in the loop of the
 * worker that the waiter is on, and leaves it there: the next wait, from any
 * worker, is a waiter in the queue and nothing else.  Events are
 * level-triggered, so whoever waits while there is something to read is woken
 * by the next turn of the loop.  That allows to leave out a call that would
 * most likely find nothing (f->dry): after a short read from a stream the next
 * read waits at once.  A request on a busy connection is then one recv, one
 * send, and a share of an epoll_wait.
 *
 *	F1  an event wakes the first waiter of its direction.  What that one
 *	    leaves is an event again in the next turn, for the next one.
 *	F2  the watch looks for an event (lit) whenever somebody waits for it.
 *	    It goes on looking for reads for a while when nobody does, as
 *	    somebody will, until some events in a row were wanted by nobody
 *	    (STRIKES).  For writes, mostly possible, it ends at once.
 *	F3  a note from the loop counts only if its generation is f->gen.  Every
 *	    change of the file moves the generation on.
 *	F4  closing: the record is CLOSING, the watch gone and every waiter
 *	    claimed, under one lock.  The number goes back to the kernel when
 *	    the last user has left: nobody ever calls with a number that has
 *	    another owner by now.
 *
 * Behind our back.  Libraries close with close(2), and the number comes back as
 * another file.  co_close is the right way, but the other must not hang anybody
 * or block a worker:
 *
 *	- a socket is called with MSG_DONTWAIT, others after a look at
 *	  O_NONBLOCK (io.c);
 *	- who found nothing and is about to rely on a watch that is there asks
 *	  first whether the file is still the same (same_file);
 *	- who followed the hint and made no call at all has the file looked at
 *	  a little later (watch_doubt), if he sleeps still: a busy connection
 *	  pays nothing.  The hint is followed only after FD_TRUST waits that
 *	  went well.
 *
 * Locks: f->lock, rank LOCK_FD, and under it the loop's own.
 */
#include "fd.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <weft/io.h>

enum {
	CHUNK = 1024,		/* records */
	CHUNKS = 8192,		/* eight million descriptors: the kernel's own
				   default limit is one million */
	STRIKES = 2,		/* events that nobody wants, F2 */
	PATIENCE = 32		/* the same while somebody is in a call: most
				   likely he was woken and has not run yet.  With
				   a thousand busy connections that is the rule;
				   counting them took 2 epoll_ctl a request */
};

static struct fd *chunks[CHUNKS];	/* [atomic] each is written once */

/* What a look at a descriptor gives. */
struct facts {
	enum fd_kind kind;
	bool shared;
	uint64_t ident;
};

/* --- finding -------------------------------------------------------------- */

static struct fd *
find(int num)
{
	struct fd *chunk;

	if (num < 0 || num >= CHUNKS * CHUNK)
		return NULL;
	chunk = a_load_acquire(&chunks[num / CHUNK]); /* pairs with find_new */
	return chunk ? &chunk[num % CHUNK] : NULL;
}

static cold int
find_new(int num, struct fd **ret)
{
	struct fd *chunk;

	if (num < 0)
		return -EBADF;
	if (num >= CHUNKS * CHUNK)
		return -EMFILE;
	chunk = chaos_fail() ? NULL : calloc(CHUNK, sizeof *chunk);
	if (!chunk)
		return -ENOMEM;
	if (!a_cas_acqrel(&chunks[num / CHUNK], NULL, chunk))
		free(chunk);		/* somebody else was faster */
	*ret = find(num);
	return 0;
}

static void
take(struct fd *f)
{
	lock_take(&f->lock, LOCK_FD);
}

static void
drop(struct fd *f)
{
	lock_drop(&f->lock, LOCK_FD);
}

/* --- looking at a file ---------------------------------------------------- */

static uint64_t
ident_of(const struct stat *st)
{
	uint64_t id = (uint64_t)st->st_ino * 0x9e3779b97f4a7c15u +
	    (uint64_t)st->st_dev;

	/* Those without a type share one inode: no identity. */
	return st->st_mode & S_IFMT ? id | 1 : 0;
}

static enum fd_kind
socket_kind(int num)
{
	int type = 0;
	socklen_t len = sizeof type;

	if (getsockopt(num, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
	    type == SOCK_STREAM)
		return FD_STREAM;
	return FD_SOCKET;
}

static enum fd_kind
kind_of(int num, const struct stat *st)
{
	switch (st->st_mode & S_IFMT) {
	case S_IFSOCK:
		return socket_kind(num);
	case S_IFIFO:
		return FD_PIPE;
	case S_IFCHR:
		return FD_CHAR;
	case 0:
		return FD_OTHER;
	default:
		return FD_FILE;
	}
}

static bool
is_file(int num, uint64_t ident)
{
	struct stat st;

	return ident && fstat(num, &st) == 0 && ident_of(&st) == ident;
}

/* The first use: makes it nonblocking, unless it is one that is shared. */
static int
look(int num, struct facts *ret)
{
	struct stat st;
	int flags;

	if (fstat(num, &st) < 0)
		return -errno;
	ret->kind = kind_of(num, &st);
	ret->ident = ident_of(&st);
	ret->shared = false;
	if (ret->kind == FD_FILE)
		return 0;
	flags = fcntl(num, F_GETFL);
	if (flags < 0)
		return -errno;
	if (flags & (O_NONBLOCK | O_PATH))
		return 0;
	if (num <= STDERR_FILENO)
		ret->shared = true;
	else if (fcntl(num, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

/* The lock is held. */
static void
install(struct fd *f, int num, const struct facts *facts)
{
	if (f->num != num)
		f->num = num;
	f->gen++;
	f->state = FD_OPEN;
	a_store_relaxed(&f->kind, (uint8_t)facts->kind);
	a_store_relaxed(&f->shared, facts->shared);
	f->ident = facts->ident;
	a_store_relaxed(&f->trust, 0);
	f->strikes = 0;
	f->doubted = false;
	a_store_relaxed(&f->dry, 0);
	a_store_relaxed(&f->streak, 0);
}

/* --- waking --------------------------------------------------------------- */

static void
wake_list(struct waiter *list)
{
	struct waiter *w;

	while ((w = list) != NULL) {
		list = w->next;
		task_wake(w->task, w->index);
	}
}

/* Takes off the queues all who wait, as a list by next: being claimed, they
   stay where they are until they are woken.  The lock is held. */
static struct waiter *
claim_all(struct fd *f, int status)
{
	struct waiter *w, *list = NULL, **end = &list;
	int i;

	for (i = 0; i < FD_QUEUES; i++) {
		while ((w = waitq_claim(&f->q[i])) != NULL) {
			w->status = status;
			w->next = NULL;
			*end = w;
			end = &w->next;
		}
	}
	return list;
}

static void
unwatch(struct fd *f)
{
	if (f->watch)
		watch_drop(f->watch);
	f->watch = NULL;
	f->lit = 0;
}

static unsigned
wanted(const struct fd *f)
{
	return (waitq_empty(&f->q[FD_READ]) ? 0 : WATCH_READ) |
	    (waitq_empty(&f->q[FD_WRITE]) ? 0 : WATCH_WRITE);
}

/* --- what the loop calls -------------------------------------------------- */

/* It cannot be watched any longer: closed behind our back, or no memory. */
static cold int
watch_failed(struct fd *f)
{
	int status = fcntl(f->num, F_GETFD) < 0 ? -EBADF : -ENOMEM;
	struct waiter *list;

	unwatch(f);
	f->gen++;
	f->state = FD_STALE;
	list = claim_all(f, status);
	drop(f);
	wake_list(list);
	return list != NULL;
}

/* One direction of an event, F1 and F2.  The lock is held. */
static struct waiter *
take_event(struct fd *f, int direction)
{
	struct waiter *w = waitq_claim(&f->q[direction]);

	if (w) {
		f->strikes = 0;
		if (f->trust < FD_TRUST)
			a_store_relaxed(&f->trust, (uint8_t)(f->trust + 1));
		if (direction == FD_READ || !waitq_empty(&f->q[direction]))
			return w;
	} else if (direction == FD_READ &&
	    ++f->strikes < (f->users ? PATIENCE : STRIKES)) {
		return NULL;
	}
	f->lit &= (uint8_t)~(1u << direction);
	return w;
}

int
co__fd_event(struct fd *f, uint32_t gen, unsigned events)
{
	struct waiter *r = NULL, *w = NULL;
	uint8_t lit;

	take(f);
	if (f->gen != gen || f->state != FD_OPEN || !f->watch) {
		drop(f);
		return 0;
	}
	if (unlikely(events & WATCH_FAILED))
		return watch_failed(f);
	a_store_relaxed(&f->dry,
	    (uint8_t)(a_load_relaxed(&f->dry) & ~events));
	lit = f->lit;
	if (events & WATCH_READ)
		r = take_event(f, FD_READ);
	if (events & WATCH_WRITE)
		w = take_event(f, FD_WRITE);
	if (f->lit != lit)
		watch_set(f->watch, f->lit);
	drop(f);
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

	take(f);
	if (f->gen == gen && f->doubted && wanted(f)) {
		ask = f->hints == f->hints_then || !f->watch;
		ident = f->ident;
		f->hints_then = f->hints;
		f->doubted = !ask && watch_doubt(f->watch, f, gen);
	} else if (f->gen == gen) {
		f->doubted = false;
	}
	drop(f);
	if (ask && !is_file(f->num, ident))
		fd_renew(f);
}

void
co__fd_unwatch(struct fd *f, struct watch *w)
{
	struct waiter *list = NULL;

	take(f);
	if (f->watch == w) {
		unwatch(f);
		f->gen++;
		f->doubted = false;
		list = claim_all(f, 0);
	}
	drop(f);
	wake_list(list);
}

bool
co__fd_waited_for(struct fd *f)
{
	return a_load_relaxed(&f->q[FD_READ].head) != NULL ||
	    a_load_relaxed(&f->q[FD_WRITE].head) != NULL;
}

/* --- entering and leaving ------------------------------------------------- */

static cold int
first_use(struct fd *f, int num)
{
	struct facts facts;
	int code = look(num, &facts);

	if (code < 0)
		return code;
	take(f);
	if (f->state == FD_CLOSING) {
		drop(f);
		return -EBADF;
	}
	if (f->state != FD_OPEN)
		install(f, num, &facts);
	f->users++;
	drop(f);
	return 0;
}

int
fd_enter(int num, struct fd **ret)
{
	struct fd *f = find(num);
	int code;

	if (unlikely(!f)) {
		code = find_new(num, &f);
		if (code < 0)
			return code;
	}
	*ret = f;
	take(f);
	if (unlikely(f->state != FD_OPEN)) {
		bool closing = f->state == FD_CLOSING;

		drop(f);
		return closing ? -EBADF : first_use(f, num);
	}
	f->users++;
	drop(f);
	return 0;
}

static int
close_num(int num)
{
	/* The number is free again even when it says EINTR. */
	return close(num) < 0 && errno != EINTR ? -errno : 0;
}

/* The last one out; drops the lock.  FREE first: once close(2) has begun, the
   number may be somebody's new descriptor. */
static int
close_free(struct fd *f)
{
	int num = f->num;

	f->state = FD_FREE;
	drop(f);
	return close_num(num);
}

void
fd_leave(struct fd *f)
{
	take(f);
	debug_assert(f->users > 0);
	if (unlikely(--f->users == 0 && f->state == FD_CLOSING))
		close_free(f);
	else
		drop(f);
}

EXPORT int
co_close(int num)
{
	struct waiter *list;
	struct fd *f;

	if (unlikely(!task_self()))
		return -ENOMEM;
	f = find(num);
	if (!f)
		return close_num(num);
	take(f);
	if (f->state == FD_FREE || f->state == FD_CLOSING) {
		bool closing = f->state == FD_CLOSING;

		drop(f);
		return closing ? -EBADF : close_num(num);
	}
	f->state = FD_CLOSING;
	f->gen++;
	unwatch(f);
	list = claim_all(f, -EBADF);
	if (f->users == 0)
		return close_free(f);
	drop(f);
	wake_list(list);
	return 0;
}

EXPORT int
co_forget(int num)
{
	struct waiter *list = NULL;
	struct fd *f;
	bool closing;

	if (unlikely(!task_self()))
		return -ENOMEM;
	f = find(num);
	if (!f)
		return 0;
	take(f);
	closing = f->state == FD_CLOSING;
	if (f->state == FD_OPEN) {
		unwatch(f);
		f->gen++;
		f->state = FD_STALE;
		list = claim_all(f, -EBADF);
	}
	drop(f);
	wake_list(list);
	return closing ? -EBADF : 0;
}

void
fd_adopt(int num, enum fd_kind kind)
{
	const struct facts facts = { .kind = kind };
	struct waiter *list = NULL;
	struct fd *f = find(num);

	if (!f && find_new(num, &f) < 0)
		return;
	take(f);
	if (f->state != FD_CLOSING) {
		unwatch(f);	/* of one that was closed behind our back */
		list = claim_all(f, -EBADF);
		install(f, num, &facts);
	}
	drop(f);
	wake_list(list);
}

/* --- another file by the same number -------------------------------------- */

int
fd_renew(struct fd *f)
{
	struct reactor *home;
	struct waiter *list = NULL;
	struct facts facts;
	unsigned events;
	int code = look(f->num, &facts);

	take(f);
	if (f->state != FD_OPEN && f->state != FD_STALE) {
		drop(f);
		return -EBADF;
	}
	home = f->watch ? watch_home(f->watch) : NULL;
	if (code == 0 && home && facts.ident && facts.ident == f->ident) {
		drop(f);
		return 0;
	}
	events = wanted(f);
	unwatch(f);
	if (code < 0) {
		f->gen++;
		f->state = FD_STALE;
		list = claim_all(f, code);
	} else {
		install(f, f->num, &facts);
		if (events && home && watch_new(&f->watch, home, f, f->num,
		    f->gen, events) == 0)
			f->lit = (uint8_t)events;
		else if (events)
			list = claim_all(f, home ? -ENOMEM : 0);
	}
	drop(f);
	wake_list(list);
	return code;
}

/* A call has found nothing.  Is what is being watched still the file that was
   called? */
static int
same_file(struct fd *f, bool *ret_watched)
{
	uint64_t ident;
	bool unknown;

	take(f);
	*ret_watched = f->watch != NULL;
	ident = f->ident;
	unknown = *ret_watched && ident == 0;
	if (unknown)
		watch_renew(f->watch);
	drop(f);
	if (!*ret_watched || unknown)
		return 0;
	return is_file(f->num, ident) ? 0 : fd_renew(f);
}

/* --- waiting -------------------------------------------------------------- */

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
 * and then whether its scope has ended or the descriptor was closed.
 */
static int
foreign_wait(struct fd *f, struct task *t, unsigned events)
{
	struct pollfd p = { .fd = f->num };
	int ms = 1, n, code;

	if (events & WATCH_READ)
		p.events |= POLLIN;
	if (events & WATCH_WRITE)
		p.events |= POLLOUT;
	for (;;) {
		wait_begin(t, events & WATCH_READ ? WAIT_READ : WAIT_WRITE, f);
		code = wait_park_raw(t, os_now());
		if (code != WAIT_UNTIL)
			return code;
		take(f);
		n = f->state == FD_CLOSING ? -EBADF : 0;
		drop(f);
		if (n < 0)
			return n;
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

/* Enters the queues of the events.  The lock is held. */
static void
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
		waitq_push(&f->q[i], &w[i]);
	}
}

int
fd_wait(struct fd *f, struct task *t, unsigned events, bool sure)
{
	struct waiter w[2];
	bool watched;
	int code;

	if (unlikely(t->kind == TASK_FOREIGN))
		return foreign_wait(f, t, events);
	if (sure && (code = same_file(f, &watched)) < 0)
		return code;
	take(f);
	if (unlikely(f->state != FD_OPEN)) {
		bool stale = f->state == FD_STALE;

		drop(f);
		return stale ? fd_renew(f) : -EBADF;
	}
	code = light(f, events, sure);
	if (unlikely(code < 0)) {
		drop(f);
		return code;
	}
	a_store_relaxed(&f->streak, 0);
	enqueue(f, t, w, events);
	drop(f);
	code = wait_park(t, CO_FOREVER);
	if (code < 0 || events == WATCH_BOTH) {
		take(f);
		if (events & WATCH_READ)
			waitq_remove(&f->q[FD_READ], &w[FD_READ]);
		if (events & WATCH_WRITE)
			waitq_remove(&f->q[FD_WRITE], &w[FD_WRITE]);
		drop(f);
	}
	if (code < 0)
		return code;
	code = events & WATCH_READ ? w[FD_READ].status : 0;
	return code == 0 && events & WATCH_WRITE ? w[FD_WRITE].status : code;
}

bool
fd_is_closed(struct fd *f)
{
	bool closed;

	take(f);
	closed = f->state == FD_CLOSING;
	drop(f);
	return closed;
}

int
fd_enqueue(struct fd *f, struct waiter *w, int direction)
{
	bool watched;
	int code = same_file(f, &watched);

	if (code < 0)
		return 1;
	take(f);
	if (f->state == FD_OPEN)
		code = light(f, 1u << direction, true);
	else
		code = 1;
	if (code == 0)
		waitq_push(&f->q[direction], w);
	drop(f);
	return code;
}

void
fd_dequeue(struct fd *f, struct waiter *w, int direction)
{
	take(f);
	waitq_remove(&f->q[direction], w);
	drop(f);
}

int
fd_pause(struct fd *f, struct task *t, co_time duration)
{
	struct waiter w = { .task = t };
	int code;

	take(f);
	if (f->state == FD_CLOSING) {
		drop(f);
		return -EBADF;
	}
	w.ticket = wait_begin(t, WAIT_READ, f);
	waitq_push(&f->q[FD_PAUSE], &w);
	drop(f);
	code = wait_park_raw(t, os_now() + duration);
	if (code < 0) {
		take(f);
		waitq_remove(&f->q[FD_PAUSE], &w);
		drop(f);
	}
	return code == WAIT_UNTIL ? 0 : code < 0 ? code : w.status;
}

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
 *	F5  a note may have lain for a while (reactor.c, I2), and what it told
 *	    of been read.  Who began to wait after the round that it is from is
 *	    not woken by it: if there is still something, the next tells
 *	    (tests/models/fd_round.pml).
 *	F6  who was woken may run only after the number was forgotten, closed,
 *	    and given to a stranger: after each wait f->closes is compared with
 *	    what it was when the call began.  It is read without the lock: who
 *	    forgets a number at the same time as others begin calls on it has
 *	    the race with or without us.
 *
 * Behind our back.  Libraries close with close(2), and the number comes back as
 * another file.  co_close is the right way, but the other must not hang anybody
 * or block a worker:
 *
 *	- a socket is called with MSG_DONTWAIT, others after a look at
 *	  O_NONBLOCK (io.c);
 *	- who found nothing and is about to rely on a watch that is there asks
 *	  first whether the file is still the same (same_file), or where no
 *	  number tells that (is_unique) has the kernel told anew;
 *	- who followed the hint and made no call at all has the file looked at
 *	  a little later (watch_doubt), if he sleeps still: a busy connection
 *	  pays nothing.  The hint is followed only after FD_TRUST waits that
 *	  went well.
 *
 * Locks: f->lock, rank LOCK_FD, and under it the loop's own.
 */
#include "fd_inside.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <weft/io.h>

enum {
	CHUNK = 1024,		/* records */
	CHUNKS = 8192,		/* eight million descriptors: the kernel's own
				   default limit is one million */
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
		return fcntl(num, F_GETFD) < 0 ? -EBADF : -EMFILE;
	chunk = chaos_fail() ? NULL : calloc(CHUNK, sizeof *chunk);
	if (!chunk)
		return -ENOMEM;
	if (!a_cas_acqrel(&chunks[num / CHUNK], NULL, chunk)) {
		free(chunk);		/* somebody else was faster */
		chunk = a_load_acquire(&chunks[num / CHUNK]);
	}
	*ret = &chunk[num % CHUNK];
	return 0;
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

bool
fd_is_file(int num, uint64_t ident)
{
	struct stat st;

	return ident && fstat(num, &st) == 0 && ident_of(&st) == ident;
}

/* A terminal or a FIFO with a name may be opened anew, and the kernel then
   tells no more of its old self: same_file asks it again each time. */
static bool
is_unique(int num, const struct stat *st)
{
	struct statfs fs;

	if (S_ISFIFO(st->st_mode))
		return fstatfs(num, &fs) == 0 && fs.f_type == PIPEFS_MAGIC;
	return !S_ISCHR(st->st_mode);
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
	ret->ident = is_unique(num, &st) ? ident_of(&st) : 0;
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

void
fd_wake_list(struct waiter *list)
{
	struct waiter *w;

	while ((w = list) != NULL) {
		list = w->next;
		task_wake(w->task, w->index);
	}
}

/* Takes off the queues all who wait, as a list by next: being claimed, they
   stay where they are until they are woken.  The lock is held. */
struct waiter *
fd_claim_all(struct fd *f, int status)
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
	fd_note_waiters(f);
	return list;
}

void
fd_unwatch(struct fd *f)
{
	if (f->watch)
		watch_drop(f->watch);
	f->watch = NULL;
	f->lit = 0;
}

/* --- entering and leaving ------------------------------------------------- */

void
fd_take_settled(struct fd *f)
{
	for (;;) {
		fd_take(f);
		if (likely(f->state != FD_GONE))
			return;
		fd_drop(f);
		os_give_way();
	}
}

/* The lock is not held; `closes` is of before it was dropped. */
static cold int
first_use(struct fd *f, int num, uint32_t closes)
{
	struct facts facts;
	int code = look(num, &facts);

	if (code < 0)
		return code;
	fd_take_settled(f);
	if (f->closes != closes) {	/* what was looked at is no more */
		fd_drop(f);
		return -EBADF;
	}
	if (f->state != FD_OPEN)
		install(f, num, &facts);
	f->users++;
	fd_drop(f);
	return 0;
}

static cold int
enter_slow(struct fd *f, int num)
{
	uint32_t closes;
	bool closing;

	fd_take_settled(f);
	closes = f->closes;
	closing = f->state == FD_CLOSING;
	fd_drop(f);
	return closing ? -EBADF : first_use(f, num, closes);
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
	fd_take(f);
	if (unlikely(f->state != FD_OPEN)) {
		fd_drop(f);
		return enter_slow(f, num);
	}
	f->users++;
	fd_drop(f);
	return 0;
}

/*
 * A loop that fetched an event of num before it was unwatched still takes num
 * out of its own set (epoll_ctl, in libev), in no order with this close: what
 * it meets is the old file, none, or a new one that is not in that set.
 */
static int
close_num(int num)
{
	/* The number is free again even when it says EINTR. */
	return close(num) < 0 && errno != EINTR ? -errno : 0;
}

/* Nobody uses it.  The lock is held; dropped. */
static int
close_now(struct fd *f, int num)
{
	int code;

	f->state = FD_GONE;
	fd_drop(f);
	code = close_num(num);
	fd_take(f);
	f->state = FD_FREE;
	fd_drop(f);
	return code;
}

void
fd_leave(struct fd *f)
{
	fd_take(f);
	debug_assert(f->users > 0);
	if (unlikely(--f->users == 0 && f->state == FD_CLOSING))
		close_now(f, f->num);
	else
		fd_drop(f);
}

/* F6.  The lock is held. */
static void
count_close(struct fd *f)
{
	a_store_relaxed(&f->closes, f->closes + 1);
}

EXPORT int
co_close(int num)
{
	struct waiter *list;
	struct fd *f;

	if (unlikely(!task_self()))
		return -ENOMEM;
	f = find(num);
	if (!f && find_new(num, &f) < 0)
		return close_num(num);
	fd_take_settled(f);
	if (f->state == FD_CLOSING) {
		fd_drop(f);
		return -EBADF;
	}
	f->gen++;
	count_close(f);
	fd_unwatch(f);
	list = fd_claim_all(f, -EBADF);
	if (f->users == 0)
		return close_now(f, num);
	f->state = FD_CLOSING;
	fd_drop(f);
	fd_wake_list(list);
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
	fd_take_settled(f);
	closing = f->state == FD_CLOSING;
	if (!closing)
		count_close(f);
	if (f->state == FD_OPEN) {
		fd_unwatch(f);
		f->gen++;
		f->state = FD_STALE;
		list = fd_claim_all(f, -EBADF);
	}
	fd_drop(f);
	fd_wake_list(list);
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
	fd_take_settled(f);
	if (f->state != FD_CLOSING) {
		fd_unwatch(f);	/* of one that was closed behind our back */
		list = fd_claim_all(f, -EBADF);
		install(f, num, &facts);
	}
	fd_drop(f);
	fd_wake_list(list);
}

/* --- another file by the same number -------------------------------------- */

uint64_t
fd_ident(struct fd *f)
{
	uint64_t ident;

	fd_take(f);
	ident = f->ident;
	fd_drop(f);
	return ident;
}

/*
 * Who waits goes on in the same loop, which lives as long as it has a watch: so
 * the old one goes last.  Returns whom to wake.  The lock is held.
 */
static struct waiter *
watch_anew(struct fd *f)
{
	struct watch *old = f->watch;
	unsigned events = fd_wanted(f);

	if (!events || !old) {
		fd_unwatch(f);
		return events ? fd_claim_all(f, WAIT_AGAIN) : NULL;
	}
	if (watch_new(&f->watch, watch_home(old), f, f->num, f->gen,
	    events) < 0) {
		fd_unwatch(f);
		return fd_claim_all(f, -ENOMEM);
	}
	watch_drop(old);
	f->lit = (uint8_t)events;
	return NULL;
}

int
fd_renew(struct fd *f)
{
	struct waiter *list;
	struct facts facts;
	int code = look(f->num, &facts);

	fd_take(f);
	if (f->state != FD_OPEN && f->state != FD_STALE) {
		fd_drop(f);
		return -EBADF;
	}
	if (code == 0 && f->watch && facts.ident && facts.ident == f->ident) {
		fd_drop(f);
		return 0;
	}
	if (code < 0) {
		fd_unwatch(f);
		f->gen++;
		f->state = FD_STALE;
		list = fd_claim_all(f, code);
	} else {
		install(f, f->num, &facts);
		list = watch_anew(f);
	}
	fd_drop(f);
	fd_wake_list(list);
	return code;
}

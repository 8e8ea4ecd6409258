/* SPDX-License-Identifier: MIT */
/*
 * accept.c - accepting and making connections.
 *
 * Layer 7.  Built on io.
 */
#include "io.h"

#include <sys/socket.h>
#include <unistd.h>

#include <weft/io.h>

enum { LOST = 64 };	/* connections in a row: a guess, not measured */

/* When the process or the system has run out of something: tens of attempts in
   a second. */
static const struct io_pauses on_shortage = { CO_MS(10), CO_MS(100) };
/* When so many connections in a row were lost, it may be no connection's error
   but for ever: less than a hundredth of a processor, and still thousands in a
   second. */
static const struct io_pauses on_losses = { CO_MS(10), CO_MS(10) };
/* When a Unix socket's queue is full. */
static const struct io_pauses on_full_queue = { CO_MS(1), CO_MS(100) };

struct accepting {
	struct sockaddr *from;
	socklen_t *fromlen;
	socklen_t room;
};

static ssize_t
try_accept(struct fd *f, void *arg)
{
	struct accepting *a = arg;
	int n = io_assure_nonblocking(f);

	if (n < 0)
		return n;
	if (a->fromlen)
		*a->fromlen = a->room;
	n = accept4(f->num, a->from, a->fromlen, SOCK_NONBLOCK | SOCK_CLOEXEC);
	return n < 0 ? -errno : n;
}

/* accept(2): errors of the new connection, which is gone; another may wait. */
static bool
is_of_the_peer(int code)
{
	switch (-code) {
	case ECONNABORTED:
	case ENETDOWN:
	case EPROTO:
	case ENOPROTOOPT:
	case EHOSTDOWN:
	case ENONET:
	case EHOSTUNREACH:
	case ENETUNREACH:
	case EPERM:
		return true;
	default:
		return false;
	}
}

static bool
is_shortage(int code)
{
	return code == -EMFILE || code == -ENFILE || code == -ENOBUFS ||
	    code == -ENOMEM;
}

static int
accept_loop(struct fd *f, struct task *t, struct accepting *a)
{
	const struct io_call call = { .attempt = try_accept, .arg = a,
	    .event = WATCH_READ, .may_block = true };
	uint32_t closes = fd_closes(f);
	co_time pause = 0, rest = 0;
	int n, code, lost = 0;

	for (;;) {
		n = (int)io_loop(f, t, &call, closes);
		if (n >= 0)
			return n;
		if (is_shortage(n))
			code = io_pause(f, t, closes, &pause, on_shortage);
		else if (!is_of_the_peer(n))
			return n;
		else if (++lost % LOST == 0)
			code = io_pause(f, t, closes, &rest, on_losses);
		else
			code = wait_check(t);	/* or n is a scope's */
		if (code < 0)
			return code;
	}
}

EXPORT int
co_accept(int fd, struct sockaddr *from, socklen_t *fromlen)
{
	struct accepting a = { .from = from, .fromlen = fromlen,
	    .room = fromlen ? *fromlen : 0 };
	struct task *t;
	struct fd *f;
	int n;

	n = wait_enter(&t);
	if (n)
		return n;
	n = fd_enter(fd, &f);
	if (n < 0)
		return n;
	n = accept_loop(f, t, &a);
	if (n >= 0) {
		fd_adopt(n, fd_kind(f));
		io_breathe(f, t);
	}
	fd_leave(f);
	return n;
}

/* --- connecting ----------------------------------------------------------- */

/*
 * 1: connected; 0: not yet.  A wake-up proves nothing: the error may be 0
 * because nothing has been decided.  Only a socket with a peer is connected.
 *
 * This and try_connect are never inlined: gcc would use one address of errno
 * for both, and in between we may have moved to another thread.
 */
static noinline int
connected(int num)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(int);
	int error = 0;

	if (getsockopt(num, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return -errno;
	if (error)
		return -error;
	len = sizeof peer;
	if (getpeername(num, (struct sockaddr *)&peer, &len) == 0)
		return 1;
	return errno == ENOTCONN ? 0 : -errno;
}

struct connecting {
	const struct sockaddr *to;
	socklen_t tolen;
};

static noinline ssize_t
try_connect(struct fd *f, void *arg)
{
	const struct connecting *c = arg;

	return connect(f->num, c->to, c->tolen) < 0 ? -errno : 0;
}

/* One of 0, 1 and 2 that blocks does so on the pool: there is no MSG_DONTWAIT
   for this. */
static int
connect_once(struct fd *f, struct task *t, uint32_t closes,
    struct connecting *c)
{
	ssize_t n;
	int code;

	while (unlikely(fd_is_shared(f))) {
		code = io_on_pool(f, t, closes, try_connect, c, &n);
		if (code <= 0)
			return code < 0 ? code : (int)n;
	}
	return (int)try_connect(f, c);
}

static int
await_connection(struct fd *f, struct task *t, uint32_t closes)
{
	struct io_vain vain;
	int code;

	vain.n = 0;
	do {
		code = io_in_vain(f, t, closes, &vain);
		if (code == 0)
			code = fd_wait(f, t, WATCH_WRITE, true, closes);
		if (code < 0)
			return code;
		code = connected(f->num);
	} while (code == 0);
	return code < 0 ? code : 0;
}

static int
connect_loop(struct fd *f, struct task *t, struct connecting *c)
{
	uint32_t closes = fd_closes(f);
	co_time pause = 0;
	int code;

	for (;;) {
		code = io_assure_nonblocking(f);
		if (code < 0)
			return code;
		code = connect_once(f, t, closes, c);
		if (code == 0)
			return 0;
		if (code == -EINPROGRESS || code == -EINTR ||
		    code == -EALREADY)
			return await_connection(f, t, closes);
		if (code != -EAGAIN)
			return code;
		/* A Unix socket's queue is full; nobody tells when it has
		   room again. */
		code = io_pause(f, t, closes, &pause, on_full_queue);
		if (code < 0)
			return code;
	}
}

EXPORT int
co_connect(int fd, const struct sockaddr *to, socklen_t tolen)
{
	struct connecting c = { .to = to, .tolen = tolen };
	struct task *t;
	struct fd *f;
	int code;

	code = wait_enter(&t);
	if (code)
		return code;
	code = fd_enter(fd, &f);
	if (code < 0)
		return code;
	code = connect_loop(f, t, &c);
	fd_leave(f);
	return code;
}

EXPORT int
co_socket(int domain, int type, int protocol)
{
	int fd = socket(domain, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);

	if (fd < 0)
		return -errno;
	if (task_self())
		fd_adopt(fd, (type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) ==
		    SOCK_STREAM ? FD_STREAM : FD_SOCKET);
	return fd;
}

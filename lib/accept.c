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

/* Pauses when the process or the system has run out of something: tens of
   attempts in a second, as nothing tells when to try again. */
#define PAUSE_FIRST	CO_MS(10)
#define PAUSE_MOST	CO_MS(100)

static co_time
longer(co_time pause)
{
	return pause == 0 ? PAUSE_FIRST :
	    2 * pause < PAUSE_MOST ? 2 * pause : PAUSE_MOST;
}

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
	co_time pause = 0;
	int n, code;

	for (;;) {
		n = (int)io_loop(f, t, &call, closes);
		if (n >= 0)
			return n;
		if (is_of_the_peer(n)) {
			io_breathe(f, t);
			code = wait_check(t);	/* or n is a scope's */
			if (code == 0)
				code = fd_same(f, closes);
			if (code < 0)
				return code;
			continue;
		}
		if (!is_shortage(n))
			return n;
		pause = longer(pause);
		code = fd_pause(f, t, pause);
		if (code == 0)
			code = fd_same(f, closes);
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

static noinline int
try_connect(int num, const struct sockaddr *to, socklen_t tolen)
{
	return connect(num, to, tolen) < 0 ? -errno : 0;
}

static int
await_connection(struct fd *f, struct task *t, uint32_t closes)
{
	int code;

	do {
		code = fd_wait(f, t, WATCH_WRITE, true, closes);
		if (code < 0)
			return code;
		code = connected(f->num);
	} while (code == 0);
	return code < 0 ? code : 0;
}

static int
connect_loop(struct fd *f, struct task *t, const struct sockaddr *to,
    socklen_t tolen)
{
	uint32_t closes = fd_closes(f);
	co_time pause = 0;
	int code;

	for (;;) {
		code = io_assure_nonblocking(f);
		if (code < 0)
			return code;
		code = try_connect(f->num, to, tolen);
		if (code == 0)
			return 0;
		if (code == -EINPROGRESS || code == -EINTR ||
		    code == -EALREADY)
			return await_connection(f, t, closes);
		if (code != -EAGAIN)
			return code;
		/* A Unix socket's queue is full; nobody tells when it has
		   room again. */
		pause = pause ? longer(pause) : CO_MS(1);
		code = fd_pause(f, t, pause);
		if (code == 0)
			code = fd_same(f, closes);
		if (code < 0)
			return code;
	}
}

EXPORT int
co_connect(int fd, const struct sockaddr *to, socklen_t tolen)
{
	struct task *t;
	struct fd *f;
	int code;

	code = wait_enter(&t);
	if (code)
		return code;
	code = fd_enter(fd, &f);
	if (code < 0)
		return code;
	code = connect_loop(f, t, to, tolen);
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

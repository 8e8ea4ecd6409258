/* SPDX-License-Identifier: MIT */
/*
 * message.c - sending and receiving on sockets.
 *
 * Layer 7.  Built on io.
 */
#include "io.h"

#include <poll.h>
#include <sys/socket.h>

#include <weft/io.h>

/* What the calls of this file have in common; each uses some of it. */
struct message {
	void *buf;
	size_t n;
	int flags;
	struct sockaddr *from;
	socklen_t *fromlen;
	const struct sockaddr *to;
	socklen_t tolen;
	struct msghdr *m;
	bool stream;		/* set by try_recv */
	bool part;		/* of what is asked for has come already */
};

/* An urgent byte alone says nothing of the others. */
static ssize_t
result(struct fd *f, ssize_t n, size_t wanted, int flags)
{
	if (n < 0)
		return -errno;
	if (n > 0 && (size_t)n < wanted && fd_kind(f) == FD_STREAM &&
	    !(flags & MSG_OOB))
		fd_set_dry(f, WATCH_READ);
	return n;
}

/* Is there one?  It stays. */
static bool
has_error(int num)
{
	struct pollfd p = { .fd = num };

	return poll(&p, 1, 0) > 0 && p.revents & POLLERR;
}

static ssize_t
try_recv(struct fd *f, void *arg)
{
	struct message *m = arg;

	m->stream = fd_kind(f) == FD_STREAM;
	if (m->n == 0 && m->stream)
		return 0;
	if (m->part && has_error(f->num))
		return 0;
	return result(f, recv(f->num, m->buf, m->n, m->flags | MSG_DONTWAIT),
	    m->n, m->flags);
}

static ssize_t
try_recvfrom(struct fd *f, void *arg)
{
	const struct message *m = arg;

	return result(f, recvfrom(f->num, m->buf, m->n,
	    m->flags | MSG_DONTWAIT, m->from, m->fromlen), m->n, m->flags);
}

static ssize_t
try_send(struct fd *f, void *arg)
{
	const struct message *m = arg;

	return result(f, sendto(f->num, m->buf, m->n,
	    m->flags | MSG_DONTWAIT | MSG_NOSIGNAL, m->to, m->tolen), 0, 0);
}

static ssize_t
try_recvmsg(struct fd *f, void *arg)
{
	const struct message *m = arg;

	return result(f, recvmsg(f->num, m->m,
	    m->flags | MSG_DONTWAIT | MSG_CMSG_CLOEXEC), 0, 0);
}

static ssize_t
try_sendmsg(struct fd *f, void *arg)
{
	const struct message *m = arg;

	return result(f, sendmsg(f->num, m->m,
	    m->flags | MSG_DONTWAIT | MSG_NOSIGNAL), 0, 0);
}

static ssize_t
do_message(int num, unsigned event, io_try *attempt, struct message *m)
{
	const struct io_call call = { .attempt = attempt, .arg = m,
	    .event = event,
	    .at_once = (m->flags & MSG_OOB) != 0,
	    .no_wait = (m->flags & (MSG_DONTWAIT | MSG_ERRQUEUE)) != 0 };

	return io_do(num, &call);
}

/* As POSIX has it: what came before an error is given, and the error to the
   next call. */
static ssize_t
recv_all(int num, struct message *m)
{
	size_t got = 0, all = m->n;
	char *buf = m->buf;
	ssize_t k;

	do {
		m->buf = buf + got;
		m->n = all - got;
		k = do_message(num, WATCH_READ, try_recv, m);
		if (k < 0)
			return got ? (ssize_t)got : k;
		got += (size_t)k;
		m->part = true;
	} while (k > 0 && got < all && m->stream);
	return (ssize_t)got;
}

EXPORT ssize_t
co_recv(int fd, void *buf, size_t n, int flags)
{
	struct message m = { .buf = buf, .n = n, .flags = flags };

	if (unlikely(flags & MSG_WAITALL)) {
		m.flags &= ~MSG_WAITALL;
		if (!(flags & (MSG_PEEK | MSG_DONTWAIT | MSG_ERRQUEUE)))
			return recv_all(fd, &m);
	}
	return do_message(fd, WATCH_READ, try_recv, &m);
}

EXPORT ssize_t
co_send(int fd, const void *buf, size_t n, int flags)
{
	return co_sendto(fd, buf, n, flags, NULL, 0);
}

EXPORT ssize_t
co_recvfrom(int fd, void *buf, size_t n, int flags, struct sockaddr *from,
    socklen_t *fromlen)
{
	struct message m = { .buf = buf, .n = n, .flags = flags & ~MSG_WAITALL,
	    .from = from, .fromlen = fromlen };

	return do_message(fd, WATCH_READ, try_recvfrom, &m);
}

EXPORT ssize_t
co_sendto(int fd, const void *buf, size_t n, int flags,
    const struct sockaddr *to, socklen_t tolen)
{
	struct message m = { .buf = (void *)(uintptr_t)buf, .n = n,
	    .flags = flags, .to = to, .tolen = tolen };

	return do_message(fd, WATCH_WRITE, try_send, &m);
}

EXPORT ssize_t
co_recvmsg(int fd, struct msghdr *msg, int flags)
{
	struct message m = { .m = msg, .flags = flags & ~MSG_WAITALL };

	return do_message(fd, WATCH_READ, try_recvmsg, &m);
}

EXPORT ssize_t
co_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	struct message m = { .m = (struct msghdr *)(uintptr_t)msg,
	    .flags = flags };

	return do_message(fd, WATCH_WRITE, try_sendmsg, &m);
}

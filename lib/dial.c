/* SPDX-License-Identifier: MIT */
/*
 * dial.c - connecting to an address as text.
 *
 * Layer 8.  Built on addr, io, and the public select.
 *
 * Happy eyeballs (RFC 8305): the addresses of a name are tried one after the
 * other, the next one when the last has failed or has not answered for a
 * quarter of a second, and all that were begun go on.  The first that connects
 * wins; the others are closed.  One coroutine does it: the attempts are
 * cases of a select.
 */
#include "addr.h"
#include "park.h"

#include <weft/io.h>

enum { ADDRESSES = 16 };

#define STAGGER	CO_MS(250)	/* what RFC 8305 recommends */

enum { UNDECIDED = INT_MIN };

struct dial {
	const struct addr *addr;
	struct addr_sock list[ADDRESSES];
	int n, next;			/* addresses; the next to try */
	int fd[ADDRESSES];		/* attempts under way */
	int under_way;
	int error;			/* of the first that failed */
};

static void
note_error(struct dial *d, int code)
{
	if (!d->error)
		d->error = code;
}

static void
forget(struct dial *d, int i)
{
	d->fd[i] = d->fd[--d->under_way];
}

/*
 * A descriptor: connected; UNDECIDED; or the error, and the attempt is over.
 */
static int
decided(struct dial *d, int i)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(int);
	int fd = d->fd[i], error = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	len = sizeof peer;
	if (!error && getpeername(fd, (struct sockaddr *)&peer, &len) == 0) {
		forget(d, i);
		return fd;
	}
	if (!error && errno == ENOTCONN)
		return UNDECIDED;
	forget(d, i);
	co_close(fd);
	return error ? -error : -ENOTCONN;
}

/* Begins the next attempt: a descriptor that is connected already, or
   UNDECIDED. */
static int
begin(struct dial *d)
{
	const struct addr_sock *s = &d->list[d->next++];
	int code, fd = addr_socket(d->addr, s);

	if (fd < 0) {
		note_error(d, fd);
		return UNDECIDED;
	}
	if (connect(fd, &s->u.any, s->len) == 0)
		return fd;
	code = -errno;
	if (code == -EINPROGRESS || code == -EINTR) {
		d->fd[d->under_way++] = fd;
		return UNDECIDED;
	}
	note_error(d, code);
	co_close(fd);
	return UNDECIDED;
}

/* Waits for one of the attempts, or for the time to begin another: a
   descriptor, UNDECIDED, or the code of a scope. */
static int
await(struct dial *d)
{
	struct co_case cases[ADDRESSES + 1];
	int i, n = d->under_way, code;

	for (i = 0; i < n; i++)
		cases[i] = co__on_writable(d->fd[i], NULL);
	if (d->next < d->n)
		cases[n++] = co_on_timeout(STAGGER);
	i = co_select_v(cases, n);
	if (i < 0)
		return i;
	if (i == d->under_way)
		return begin(d);
	code = decided(d, i);
	if (code >= 0 || code == UNDECIDED)
		return code;
	note_error(d, code);
	return d->next < d->n ? begin(d) : UNDECIDED;
}

static int
race(struct dial *d)
{
	int fd = UNDECIDED;

	while (fd == UNDECIDED) {
		if (d->under_way > 0)
			fd = await(d);
		else if (d->next < d->n)
			fd = begin(d);
		else
			fd = d->error;
	}
	while (d->under_way > 0)
		co_close(d->fd[--d->under_way]);
	return fd;
}

/* What a plain thread can do: one after the other.  Also for what is decided
   at once, or has only one address. */
static int
try_each(struct dial *d)
{
	int i, fd, code;

	for (i = 0; i < d->n; i++) {
		fd = addr_socket(d->addr, &d->list[i]);
		code = fd < 0 ? fd : co_connect(fd, &d->list[i].u.any,
		    d->list[i].len);
		if (code == 0)
			return fd;
		if (fd >= 0)
			co_close(fd);
		if (code == -ECANCELED || co_cancelled())
			return code;
		note_error(d, code);
	}
	return d->error;
}

EXPORT int
co_dial(const char *address)
{
	struct task *t;
	struct dial d;
	struct addr a;
	int code;

	code = addr_parse(address, &a);
	if (code < 0)
		return code;
	code = wait_enter(&t);
	if (code)
		return code;
	d.addr = &a;
	d.next = d.under_way = d.error = 0;
	d.n = addr_resolve(&a, false, d.list, ADDRESSES);
	if (d.n < 0)
		return d.n;
	if (d.n == 1 || a.kind != ADDR_TCP || !co_inside())
		return try_each(&d);
	return race(&d);
}

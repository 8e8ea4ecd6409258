/* SPDX-License-Identifier: MIT */
/*
 * fd_case.c - co_on_readable, co_on_writable.
 *
 * Layer 7.  Built on fd, select.h.
 *
 * A self-locking kind.  It is asked by poll(2) on entry; from then on it is a
 * waiter like any other: F1 of fd.c.  co__own[0] holds the record, or 0 when
 * the descriptor was not open to begin with.
 */
#include "fd.h"
#include "select.h"

#include <weft/io.h>

static struct fd *
case_fd(const struct co_case *c)
{
	return (struct fd *)c->co__own[0];
}

static int
case_open(struct co_case *c)
{
	struct fd *f = NULL;
	int code = fd_enter((int)c->co__arg, &f);

	if (code < 0 && code != -EBADF)
		return code;
	c->co__own[0] = code == 0 ? (uintptr_t)f : 0;
	return 0;
}

static void
case_shut(struct co_case *c)
{
	if (case_fd(c))
		fd_leave(case_fd(c));
}

static bool
take(struct fd *f, int direction, struct case_taken *taken)
{
	int n = -EBADF;

	if (f && !fd_is_closed(f))
		n = fd_poll(f, 1u << direction);
	taken->status = n < 0 ? n : 0;
	return n != 0;
}

static bool
take_readable(struct co_case *c, struct case_taken *taken)
{
	return take(case_fd(c), FD_READ, taken);
}

static bool
take_writable(struct co_case *c, struct case_taken *taken)
{
	return take(case_fd(c), FD_WRITE, taken);
}

static int
enqueue_readable(struct co_case *c, struct waiter *w)
{
	return fd_enqueue(case_fd(c), w, FD_READ);
}

static int
enqueue_writable(struct co_case *c, struct waiter *w)
{
	return fd_enqueue(case_fd(c), w, FD_WRITE);
}

static void
dequeue_readable(struct co_case *c, struct waiter *w)
{
	fd_dequeue(case_fd(c), w, FD_READ);
}

static void
dequeue_writable(struct co_case *c, struct waiter *w)
{
	fd_dequeue(case_fd(c), w, FD_WRITE);
}

static const struct case_ops case_readable = {
	.why = WAIT_READ,
	.open = case_open,
	.shut = case_shut,
	.take = take_readable,
	.enqueue = enqueue_readable,
	.dequeue = dequeue_readable,
	.polled = true,
};

static const struct case_ops case_writable = {
	.why = WAIT_WRITE,
	.open = case_open,
	.shut = case_shut,
	.take = take_writable,
	.enqueue = enqueue_writable,
	.dequeue = dequeue_writable,
	.polled = true,
};

EXPORT struct co_case
co__on_readable(int fd, int *status)
{
	struct co_case c = co__case((uintptr_t)&case_readable, NULL, NULL,
	    status);

	c.co__arg = fd;
	return c;
}

EXPORT struct co_case
co__on_writable(int fd, int *status)
{
	struct co_case c = co__case((uintptr_t)&case_writable, NULL, NULL,
	    status);

	c.co__arg = fd;
	return c;
}

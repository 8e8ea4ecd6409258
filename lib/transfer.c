/* SPDX-License-Identifier: MIT */
/*
 * transfer.c - from one descriptor to another: sendfile, splice.
 *
 * Layer 7.  Built on io.
 *
 * Two descriptors take part, and -EAGAIN does not say which of them was not
 * ready: poll(2) is asked, and the wait is for the first that is not.
 */
#include "io.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include <weft/io.h>

struct transfer {
	struct fd *in, *out;
	uint32_t in_closes, out_closes;	/* F6 of fd.c */
	off_t *in_at, *out_at;
	size_t n;
	unsigned flags;
	unsigned vain;		/* both were ready, in a row */
	co_time pause;
};

static ssize_t
guarded(ssize_t (*call)(struct transfer *), struct transfer *x)
{
	struct io_pipe_guard g;
	ssize_t n;

	io_guard_pipe(&g);
	n = call(x);
	io_unguard_pipe(&g, n == -EPIPE);
	return n;
}

static ssize_t
call_sendfile(struct transfer *x)
{
	ssize_t n = sendfile(x->out->num, x->in->num, x->in_at, x->n);

	return n < 0 ? -errno : n;
}

static ssize_t
call_splice(struct transfer *x)
{
	ssize_t n = splice(x->in->num, x->in_at, x->out->num, x->out_at, x->n,
	    x->flags | SPLICE_F_NONBLOCK);

	return n < 0 ? -errno : n;
}

static ssize_t
try_sendfile(struct fd *f, void *arg)
{
	(void)f;
	return guarded(call_sendfile, arg);
}

static ssize_t
try_splice(struct fd *f, void *arg)
{
	(void)f;
	return guarded(call_splice, arg);
}

/* 1: it is ready for some bytes; 0: there was a wait; or why there will be
   none. */
static int
end_ready(struct transfer *x, struct task *t, struct fd *f, unsigned event)
{
	int n = fd_poll(f, event);

	if (n != 0)
		return n < 0 ? n : 1;
	if (x->flags & SPLICE_F_NONBLOCK)
		return -EAGAIN;
	return fd_wait_both(f, t, event, true, f == x->in ? x->out : x->in);
}

/* The same of both, or only of those that may block: 0 to 2. */
static int
ends_ready(struct transfer *x, struct task *t, bool both)
{
	int n = 1;

	if (both || fd_is_shared(x->in))
		n = end_ready(x, t, x->in, WATCH_READ);
	if (n == 1 && (both || fd_is_shared(x->out)))
		n = end_ready(x, t, x->out, WATCH_WRITE);
	return n;
}

/* One of them was not ready: 0, or why there will be nothing. */
static int
wait_for_either(struct transfer *x, struct task *t)
{
	int n = ends_ready(x, t, true);

	if (n != 1) {
		x->vain = 0;
		x->pause = 0;
		return n;
	}
	if (++x->vain > IO_VAIN)
		return io_pause(x->out, t, x->out_closes, &x->pause,
		    IO_VAIN_PAUSES);
	co_yield_now();		/* somebody else was faster */
	return wait_check(t);
}

static int
still_both(const struct transfer *x)
{
	int code = fd_same(x->in, x->in_closes);

	return code < 0 ? code : fd_same(x->out, x->out_closes);
}

/* As io_on_pool; there only if one of them is a file. */
static int
try_once(struct transfer *x, struct task *t, io_try *attempt, ssize_t *ret)
{
	if (fd_kind(x->in) == FD_FILE)
		return io_on_pool(x->in, t, x->in_closes, attempt, x, ret);
	if (fd_kind(x->out) == FD_FILE)
		return io_on_pool(x->out, t, x->out_closes, attempt, x, ret);
	*ret = attempt(x->out, x);
	return 0;
}

static ssize_t
transfer_loop(struct transfer *x, struct task *t, io_try *attempt)
{
	ssize_t n;
	int code;

	for (;;) {
		if ((code = still_both(x)) < 0 ||
		    (code = io_assure_nonblocking(x->in)) < 0 ||
		    (code = io_assure_nonblocking(x->out)) < 0 ||
		    (code = ends_ready(x, t, false)) < 0)
			return code;
		if (code == 0)
			continue;
		if (fd_is_shared(x->out) && x->n > PIPE_BUF)
			x->n = PIPE_BUF;
		code = try_once(x, t, attempt, &n);
		if (code < 0)
			return code;
		if (code > 0)
			continue;
		if (n != -EINTR &&
		    (n != -EAGAIN || x->flags & SPLICE_F_NONBLOCK))
			return n;
		code = n == -EAGAIN ? wait_for_either(x, t) : 0;
		if (code < 0)
			return code;
	}
}

static ssize_t
transfer(int out, int in, struct transfer *x, io_try *attempt)
{
	struct task *t = task_self();
	ssize_t n;
	int code;

	if (!t)
		return -ENOMEM;
	code = x->flags & SPLICE_F_NONBLOCK ? 0 : wait_check(t);
	if (code)
		return code;
	code = fd_enter(in, &x->in);
	if (code < 0)
		return code;
	code = fd_enter(out, &x->out);
	if (code < 0) {
		fd_leave(x->in);
		return code;
	}
	x->in_closes = fd_closes(x->in);
	x->out_closes = fd_closes(x->out);
	n = transfer_loop(x, t, attempt);
	if (n > 0)
		io_breathe(x->out, t);
	fd_leave(x->out);
	fd_leave(x->in);
	return n;
}

EXPORT ssize_t
co_sendfile(int out, int in, off_t *at, size_t n)
{
	struct transfer x = { .in_at = at, .n = n };

	return transfer(out, in, &x, try_sendfile);
}

EXPORT ssize_t
co_splice(int in, off_t *in_at, int out, off_t *out_at, size_t n,
    unsigned flags)
{
	struct transfer x = { .in_at = in_at, .out_at = out_at, .n = n,
	    .flags = flags };

	return transfer(out, in, &x, try_splice);
}

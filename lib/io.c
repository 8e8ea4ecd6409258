/* SPDX-License-Identifier: MIT */
/*
 * io.c - reading and writing descriptors.
 *
 * Layer 7.  Built on fd, blocking.
 *
 * Every call is a loop of attempts and waits, io_loop.  An attempt never
 * blocks the thread: sockets are called with MSG_DONTWAIT; of pipes and
 * devices O_NONBLOCK is looked at before each call, as their number may have
 * become another file behind our back; regular files are the pool's.
 *
 * 0, 1 and 2 stay blocking when they are: there poll(2) is asked first, and a
 * pipe gets no more than PIPE_BUF bytes, for which it then has room.  If
 * another process takes the bytes or the room in between, the thread waits.
 *
 * errno is read in the attempts alone, right after the system call.
 */
#include "io.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <weft/io.h>

#include "blocking.h"

enum { STREAK = 64 };	/* a guess: 64 reads of 64 bytes are some 30 us */

#ifndef RWF_NOSIGNAL
#define RWF_NOSIGNAL	0x00000100	/* Linux 6.18 */
#endif

/* --- the loop ------------------------------------------------------------- */

struct pool_call {
	io_try *attempt;
	struct fd *f;
	void *arg;
	ssize_t result;
	uint64_t ident;		/* of f; 0: unknown */
};

/* What is never waited for would not be found out otherwise: here, as even to
   ask may take long. */
static int
run_on_pool(void *arg)
{
	struct pool_call *c = arg;

	if (c->ident && !fd_is_file(c->f->num, c->ident))
		return 1;
	do
		c->result = c->attempt(c->f, c->arg);
	while (c->result == -EINTR);
	return 0;
}

int
io_on_pool(struct fd *f, struct task *t, uint32_t closes, io_try *attempt,
    void *arg, ssize_t *ret)
{
	struct pool_call c = { .attempt = attempt, .f = f, .arg = arg,
	    .ident = fd_ident(f) };
	int changed, code = blocking_run(t, run_on_pool, &c, &changed);

	if (code < 0)
		return code;
	if (changed) {
		code = fd_renew(f);
		if (code == 0)
			code = fd_same(f, closes);
		return code < 0 ? code : 1;
	}
	*ret = c.result;
	return 0;
}

/* Blocking, and none of ours: a thing to ask before each call. */
static int
wait_for_shared(struct fd *f, struct task *t, const struct io_call *call,
    uint32_t closes)
{
	int n;

	while ((n = fd_poll(f, call->event)) == 0) {
		if (call->no_wait)
			return -EAGAIN;
		n = fd_wait(f, t, call->event, true, closes);
		if (n < 0)
			return n;
	}
	return n < 0 ? n : 0;
}

/* An attempt failed.  0: make another one; 1: after a wait. */
static int
failed(struct fd *f, const struct io_call *call, int code)
{
	switch (-code) {
	case EINTR:
		return 0;
	case EAGAIN:
		return call->no_wait ? code : 1;
	case ENOTSOCK:
		/* Has it become something else behind our back? */
		if (!io_is_socket(f) || fd_renew(f) < 0 || io_is_socket(f))
			return code;
		return 0;
	case EBADF:
		fd_renew(f);
		return code;
	default:
		return code;
	}
}

static int
wait_again(struct fd *f, struct task *t, const struct io_call *call,
    uint32_t closes, struct io_vain *vain)
{
	int code;

	fd_set_dry(f, call->event);
	code = io_in_vain(f, t, closes, vain);
	return code < 0 ? code : fd_wait(f, t, call->event, true, closes);
}

ssize_t
io_loop(struct fd *f, struct task *t, const struct io_call *call,
    uint32_t closes)
{
	struct io_vain vain;
	ssize_t n;
	int code;

	vain.n = 0;
	if (fd_is_dry(f, call->event) && !call->no_wait && !call->at_once) {
		code = fd_wait(f, t, call->event, false, closes);
		if (unlikely(code < 0))
			return code;
	}
	for (;;) {
		if (unlikely(fd_kind(f) == FD_FILE)) {
			code = io_on_pool(f, t, closes, call->attempt,
			    call->arg, &n);
			if (code > 0)
				continue;
			return code < 0 ? code : n;
		}
		if (unlikely(fd_is_shared(f)) && !call->at_once &&
		    (call->may_block || !io_is_socket(f))) {
			code = wait_for_shared(f, t, call, closes);
			if (code < 0)
				return code;
		}
		n = call->attempt(f, call->arg);
		if (likely(n >= 0))
			return n;
		code = failed(f, call, (int)n);
		if (code > 0)
			code = wait_again(f, t, call, closes, &vain);
		if (code < 0)
			return code;
	}
}

void
io_breathe(struct fd *f, struct task *t)
{
	uint16_t n = (uint16_t)(a_load_relaxed(&f->streak) + 1);

	a_store_relaxed(&f->streak, n < STREAK ? n : (uint16_t)0);
	if (unlikely(n >= STREAK) && t->kind == TASK_CORO)
		co_yield_now();
}

ssize_t
io_do(int num, const struct io_call *call)
{
	struct task *t = task_self();
	struct fd *f;
	ssize_t n;
	int code;

	if (unlikely(!t))
		return -ENOMEM;
	if (!call->no_wait && unlikely((code = wait_check(t)) != 0))
		return code;
	code = fd_enter(num, &f);
	if (unlikely(code < 0))
		return code;
	n = io_loop(f, t, call, fd_closes(f));
	if (likely(n >= 0))
		io_breathe(f, t);
	fd_leave(f);
	return n;
}

/* --- what must not block, and must not kill ------------------------------- */

int
io_assure_nonblocking(struct fd *f)
{
	int flags;

	if (fd_is_shared(f) || fd_kind(f) == FD_FILE)
		return 0;
	flags = fcntl(f->num, F_GETFL);
	if (flags < 0)
		return -errno;
	return flags & O_NONBLOCK ? 0 : fd_renew(f);
}

_Static_assert(sizeof(sigset_t) <= sizeof((struct io_pipe_guard){
    .was_pending = false }.old_mask), "a sigset_t has room");

static void
only_sigpipe(sigset_t *ret)
{
	sigemptyset(ret);
	sigaddset(ret, SIGPIPE);
}

/* A signal that was pending before is not ours to take. */
void
io_guard_pipe(struct io_pipe_guard *g)
{
	sigset_t set, pending;

	sigpending(&pending);
	g->was_pending = sigismember(&pending, SIGPIPE) == 1;
	only_sigpipe(&set);
	pthread_sigmask(SIG_BLOCK, &set, (sigset_t *)(void *)g->old_mask);
}

void
io_unguard_pipe(struct io_pipe_guard *g, bool got_epipe)
{
	static const struct timespec now = { 0, 0 };
	sigset_t set;

	only_sigpipe(&set);
	if (got_epipe && !g->was_pending) {
		while (sigtimedwait(&set, NULL, &now) < 0 && errno == EINTR)
			continue;
	}
	pthread_sigmask(SIG_SETMASK, (sigset_t *)(void *)g->old_mask, NULL);
}

static ssize_t
guarded_writev(int num, const struct iovec *v, int nv)
{
	struct io_pipe_guard g;
	ssize_t n;

	io_guard_pipe(&g);
	n = writev(num, v, nv);
	if (n < 0)
		n = -errno;
	io_unguard_pipe(&g, n == -EPIPE);
	return n;
}

static ssize_t
write_pipe(int num, const struct iovec *v, int nv)
{
	static bool too_old;	/* [atomic] the kernel has no RWF_NOSIGNAL */
	ssize_t n;

	if (!a_load_relaxed(&too_old)) {
		n = pwritev2(num, v, nv, -1, RWF_NOSIGNAL);
		if (n >= 0)
			return n;
		if (errno != EOPNOTSUPP && errno != EINVAL && errno != ENOSYS)
			return -errno;
		a_store_relaxed(&too_old, true);
	}
	return guarded_writev(num, v, nv);
}

/* Eventfds, devices and the like raise no SIGPIPE; but the number may have
   become a pipe or a socket.  -EINTR: so it has, begin anew. */
static int
assure_harmless(struct fd *f)
{
	struct stat st;
	int code;

	if (fd_kind(f) == FD_FILE)
		return 0;	/* the pool has looked */
	if (fstat(f->num, &st) < 0)
		return -errno;
	if (!S_ISFIFO(st.st_mode) && !S_ISSOCK(st.st_mode))
		return 0;
	code = fd_renew(f);
	return code < 0 ? code : -EINTR;
}

/* --- attempts ------------------------------------------------------------- */

/* For the vectors, `one` serves as a vector of one. */
struct bytes {
	const struct iovec *v;
	int nv;
	size_t n;		/* in all */
	off_t at;
};

/* After a short read a stream is empty. */
static ssize_t
note_short(struct fd *f, ssize_t n, size_t wanted)
{
	if (n > 0 && (size_t)n < wanted && fd_kind(f) == FD_STREAM)
		fd_set_dry(f, WATCH_READ);
	return n < 0 ? -errno : n;
}

static ssize_t
recv_vector(int num, const struct bytes *b)
{
	struct msghdr m = { .msg_iov = (struct iovec *)(uintptr_t)b->v,
	    .msg_iovlen = (size_t)b->nv };

	if (likely(b->nv == 1))
		return recv(num, b->v->iov_base, b->v->iov_len, MSG_DONTWAIT);
	return recvmsg(num, &m, MSG_DONTWAIT);
}

static ssize_t
send_vector(int num, const struct bytes *b)
{
	const struct msghdr m = { .msg_iov = (struct iovec *)(uintptr_t)b->v,
	    .msg_iovlen = (size_t)b->nv };

	if (likely(b->nv == 1))
		return send(num, b->v->iov_base, b->v->iov_len,
		    MSG_DONTWAIT | MSG_NOSIGNAL);
	return sendmsg(num, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static ssize_t
try_read(struct fd *f, void *arg)
{
	const struct bytes *b = arg;
	ssize_t n;
	int code;

	if (b->n == 0)
		return 0;	/* as read(2): a datagram stays */
	if (likely(io_is_socket(f)))
		return note_short(f, recv_vector(f->num, b), b->n);
	if ((code = io_assure_nonblocking(f)) < 0)
		return code;
	n = readv(f->num, b->v, b->nv);
	return n < 0 ? -errno : n;
}

/* A blocking pipe that is ready has room for PIPE_BUF bytes, and so has a
   terminal but for the last of its room. */
static ssize_t
write_shared(struct fd *f, const struct bytes *b)
{
	struct iovec v = b->v[0];
	int i;

	for (i = 1; v.iov_len == 0 && i < b->nv; i++)
		v = b->v[i];
	if (v.iov_len > PIPE_BUF)
		v.iov_len = PIPE_BUF;
	return write_pipe(f->num, &v, 1);
}

static ssize_t
try_write(struct fd *f, void *arg)
{
	const struct bytes *b = arg;
	ssize_t n;
	int code;

	if (b->n == 0 && fd_kind(f) != FD_SOCKET)
		return 0;
	if (likely(io_is_socket(f))) {
		n = send_vector(f->num, b);
		return n < 0 ? -errno : n;
	}
	if ((code = io_assure_nonblocking(f)) < 0)
		return code;
	if (fd_is_shared(f))
		return write_shared(f, b);
	if (fd_kind(f) == FD_PIPE)
		return write_pipe(f->num, b->v, b->nv);
	if ((code = assure_harmless(f)) < 0)
		return code;
	n = writev(f->num, b->v, b->nv);
	return n < 0 ? -errno : n;
}

static ssize_t
try_pread(struct fd *f, void *arg)
{
	const struct bytes *b = arg;
	ssize_t n = preadv(f->num, b->v, b->nv, b->at);

	return n < 0 ? -errno : n;
}

static ssize_t
try_pwrite(struct fd *f, void *arg)
{
	const struct bytes *b = arg;
	ssize_t n = pwritev(f->num, b->v, b->nv, b->at);

	return n < 0 ? -errno : n;
}

/* --- the calls ------------------------------------------------------------ */

static ssize_t
do_bytes(int num, unsigned event, io_try *attempt, struct bytes *b)
{
	const struct io_call call = { .attempt = attempt, .arg = b,
	    .event = event, .at_once = b->n == 0 };

	return io_do(num, &call);
}

static ssize_t
do_one(int num, unsigned event, io_try *attempt, const void *buf, size_t n,
    off_t at)
{
	const struct iovec v = { .iov_base = (void *)(uintptr_t)buf,
	    .iov_len = n };
	struct bytes b = { .v = &v, .nv = 1, .n = n, .at = at };

	return do_bytes(num, event, attempt, &b);
}

static ssize_t
do_vector(int num, unsigned event, io_try *attempt, const struct iovec *v,
    int nv)
{
	struct bytes b = { .v = v, .nv = nv };
	int i;

	if (nv < 0 || nv > IOV_MAX)
		return -EINVAL;
	if (unlikely(!v && nv > 0))
		return -EFAULT;
	for (i = 0; i < nv; i++) {
		if (__builtin_add_overflow(b.n, v[i].iov_len, &b.n) ||
		    b.n > SSIZE_MAX)
			return -EINVAL;
	}
	return do_bytes(num, event, attempt, &b);
}

EXPORT ssize_t
co_read(int fd, void *buf, size_t n)
{
	return do_one(fd, WATCH_READ, try_read, buf, n, 0);
}

EXPORT ssize_t
co_write(int fd, const void *buf, size_t n)
{
	return do_one(fd, WATCH_WRITE, try_write, buf, n, 0);
}

EXPORT ssize_t
co_readv(int fd, const struct iovec *v, int n)
{
	return do_vector(fd, WATCH_READ, try_read, v, n);
}

EXPORT ssize_t
co_writev(int fd, const struct iovec *v, int n)
{
	return do_vector(fd, WATCH_WRITE, try_write, v, n);
}

EXPORT ssize_t
co_pread(int fd, void *buf, size_t n, off_t at)
{
	return do_one(fd, WATCH_READ, try_pread, buf, n, at);
}

EXPORT ssize_t
co_pwrite(int fd, const void *buf, size_t n, off_t at)
{
	return do_one(fd, WATCH_WRITE, try_pwrite, buf, n, at);
}

EXPORT ssize_t
co_read_full(int fd, void *buf, size_t n)
{
	size_t got = 0;
	ssize_t k;

	do {
		k = co_read(fd, (char *)buf + got, n - got);
		if (k < 0)
			return k;
		got += (size_t)k;
	} while (k > 0 && got < n);
	return (ssize_t)got;
}

EXPORT ssize_t
co_write_full(int fd, const void *buf, size_t n)
{
	size_t put = 0;
	ssize_t k;

	do {
		k = co_write(fd, (const char *)buf + put, n - put);
		if (k < 0)
			return k;
		if (k == 0 && n > 0)
			return -EIO;	/* for ever, most likely */
		put += (size_t)k;
	} while (put < n);
	return (ssize_t)put;
}

/* --- waiting for no call in particular ------------------------------------ */

static int
wait_loop(struct fd *f, struct task *t, unsigned events)
{
	uint32_t closes = fd_closes(f);
	int n;

	for (;;) {
		n = fd_poll(f, events);
		if (n == -EBADF)
			fd_renew(f);
		if (n != 0)
			return n;
		n = fd_wait(f, t, events, true, closes);
		if (n < 0)
			return n;
	}
}

EXPORT int
co_wait_fd(int fd, unsigned events)
{
	struct task *t;
	struct fd *f;
	int code;

	_Static_assert(CO_READ == WATCH_READ && CO_WRITE == WATCH_WRITE,
	    "one set of names for the other");
	if (events == 0 || events & ~(CO_READ | CO_WRITE))
		return -EINVAL;
	code = wait_enter(&t);
	if (code)
		return code;
	code = fd_enter(fd, &f);
	if (code < 0)
		return code;
	code = wait_loop(f, t, events);
	if (code > 0)
		io_breathe(f, t);
	fd_leave(f);
	return code;
}

/* SPDX-License-Identifier: MIT */
/*
 * stream.c - buffered reading and writing.
 *
 * Layer 8.  Public functions of io.c only, and park.h: all calls that may wait
 * are cancellation points, also when the buffer has what they want.
 *
 * The two halves share nothing that changes, so that a reader and a writer
 * need no lock.  Input is kept in one piece, from `at` to `end`: what the
 * caller asks for is looked for there, and taken only when it is complete.
 *
 *	S1  in.at <= in.end <= in.room
 *	S2  out.at <= out.end <= out.room; from at to end is to be sent
 *	S3  beyond FIRST bytes the input grows only to what the caller's limit
 *	    asks for
 */
#include "park.h"

#include <stdio.h>
#include <stdlib.h>

#include <weft/io.h>
#include <weft/stream.h>

enum {
	FIRST = 4096,		/* bytes: an idle connection should be small */
	OUT_ROOM = 16384	/* about what one send takes at best: beyond it
				   the copying costs as much as the call */
};

struct half {
	char *buf;
	size_t at, end, room;
};

struct co_stream {
	const struct co_stream_ops *ops;
	void *arg;
	int fd;			/* -1: ops */
	bool at_end;		/* [reader] */
	struct half in;		/* [reader] */
	struct half out;	/* [writer] */
	int broken;		/* [writer] part of a write was sent */
};

/* --- making --------------------------------------------------------------- */

static ssize_t
fd_read(void *arg, void *buf, size_t n)
{
	return co_read(((struct co_stream *)arg)->fd, buf, n);
}

static ssize_t
fd_write(void *arg, const void *buf, size_t n)
{
	return co_write(((struct co_stream *)arg)->fd, buf, n);
}

static int
fd_close(void *arg)
{
	return co_close(((struct co_stream *)arg)->fd);
}

static const struct co_stream_ops fd_ops = {
	.read = fd_read, .write = fd_write, .close = fd_close
};

EXPORT struct co_stream *
co_stream_new_ops(const struct co_stream_ops *ops, void *arg)
{
	struct co_stream *s = calloc(1, sizeof *s);

	if (!s)
		return NULL;
	s->ops = ops;
	s->arg = arg;
	s->fd = -1;
	return s;
}

EXPORT struct co_stream *
co_stream_new(int fd)
{
	struct co_stream *s = co_stream_new_ops(&fd_ops, NULL);

	if (s) {
		s->arg = s;
		s->fd = fd;
	}
	return s;
}

EXPORT void
co_stream_free(struct co_stream *s)
{
	if (!s)
		return;
	free(s->in.buf);
	free(s->out.buf);
	free(s);
}

EXPORT int
co_stream_fd(const struct co_stream *s)
{
	return s->fd;
}

/* Of each call: 0, or why there will be nothing. */
static int
enter(void)
{
	struct task *t;

	return wait_enter(&t);
}

/* --- reading -------------------------------------------------------------- */

static size_t
held(const struct half *h)
{
	return h->end - h->at;
}

/* Enlarges it, to `most` at most; but by a byte at least. */
static int
grow(struct half *h, size_t most)
{
	size_t room = h->room ? 2 * h->room : FIRST;
	char *buf;

	if (room > most && room > FIRST)
		room = most > h->room ? most : h->room + 1;
	buf = realloc(h->buf, room);
	if (!buf)
		return -ENOMEM;
	h->buf = buf;
	h->room = room;
	return 0;
}

/* Room for at least one byte more, and for `most` bytes in all at most. */
static int
make_room(struct half *h, size_t most)
{
	if (h->at > 0) {
		memmove(h->buf, h->buf + h->at, held(h));
		h->end -= h->at;
		h->at = 0;
	}
	return h->end < h->room ? 0 : grow(h, most);
}

/* One read into the buffer: 1, 0 at the end, or an error. */
static int
fill(struct co_stream *s, size_t limit)
{
	struct half *h = &s->in;
	ssize_t n;
	int code;

	if (s->at_end)
		return 0;
	if (h->at == h->end)
		h->at = h->end = 0;
	if (h->end == h->room) {
		code = make_room(h, limit);
		if (code < 0)
			return code;
	}
	n = s->ops->read(s->arg, h->buf + h->end, h->room - h->end);
	if (n < 0)
		return (int)n;
	s->at_end = n == 0;
	h->end += (size_t)n;
	return n > 0;
}

/* Until n bytes are there: 1; 0: the end came before; or an error. */
static int
fill_to(struct co_stream *s, size_t n)
{
	int code;

	while (held(&s->in) < n) {
		code = fill(s, n);
		if (code <= 0)
			return code;
	}
	return 1;
}

static ssize_t
take(struct half *h, void *buf, size_t n)
{
	if (n > 0)
		memcpy(buf, h->buf + h->at, n);
	h->at += n;
	if (h->at == h->end && h->room > OUT_ROOM) {
		/* One large thing is no reason to stay large. */
		free(h->buf);
		*h = (struct half){ NULL, 0, 0, 0 };
	}
	return (ssize_t)n;
}

static size_t
less(size_t a, size_t b)
{
	return a < b ? a : b;
}

EXPORT ssize_t
co_stream_read(struct co_stream *s, void *buf, size_t n)
{
	ssize_t k = enter();

	if (k < 0)
		return k;
	if (held(&s->in) == 0) {
		if (s->at_end)
			return 0;
		k = s->ops->read(s->arg, buf, n);
		s->at_end = k == 0 && n > 0;
		return k;
	}
	return take(&s->in, buf, less(n, held(&s->in)));
}

EXPORT ssize_t
co_stream_read_exact(struct co_stream *s, void *buf, size_t n)
{
	int code = enter();

	if (code == 0)
		code = fill_to(s, n);
	if (code < 0)
		return code;
	return take(&s->in, buf, less(n, held(&s->in)));
}

/* Where the delimiter ends, counted from `at`; 0: not there.  The first
   `known` bytes have been looked through. */
static size_t
find(const struct half *h, size_t known, const void *d, size_t dn)
{
	size_t from = known >= dn ? known - dn + 1 : 0;
	const char *start, *hit;

	if (held(h) < dn || !h->buf)
		return 0;
	start = h->buf + h->at;
	hit = memmem(start + from, held(h) - from, d, dn);
	return hit ? (size_t)(hit - start) + dn : 0;
}

static ssize_t
read_until(struct co_stream *s, void *buf, size_t limit, const void *d,
    size_t dn)
{
	size_t known = 0, n = 0;
	int code = enter();

	if (code < 0)
		return code;
	do {
		n = find(&s->in, known, d, dn);
		if (n > limit || (n == 0 && held(&s->in) > limit))
			return -EMSGSIZE;
		if (n > 0)
			return take(&s->in, buf, n);
		known = held(&s->in);
		/* One byte more tells a line that is too long from one that
		   just fits and is the last. */
		code = fill(s, limit < SIZE_MAX ? limit + 1 : limit);
	} while (code > 0);
	if (code < 0)
		return code;
	return take(&s->in, buf, held(&s->in));
}

EXPORT ssize_t
co_stream_read_until(struct co_stream *s, void *buf, size_t size,
    const void *delimiter, size_t delimiter_size)
{
	if (delimiter_size == 0)
		return -EINVAL;
	return read_until(s, buf, size, delimiter, delimiter_size);
}

EXPORT ssize_t
co_stream_read_line(struct co_stream *s, char *buf, size_t size)
{
	ssize_t n;

	if (size == 0)
		return -EMSGSIZE;
	n = read_until(s, buf, size - 1, "\n", 1);
	if (n >= 0)
		buf[n] = '\0';
	return n;
}

EXPORT int
co_stream_read_frame(struct co_stream *s, void *buf, size_t size,
    size_t *ret_n)
{
	const unsigned char *p;
	size_t n;
	int code = enter();

	if (code == 0)
		code = fill_to(s, 4);
	if (code <= 0)
		return code < 0 ? code : held(&s->in) ? -EBADMSG : 0;
	p = (const unsigned char *)s->in.buf + s->in.at;
	n = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
	if (n > size) {
		*ret_n = n;
		return -EMSGSIZE;
	}
	code = fill_to(s, 4 + n);
	if (code <= 0)
		return code < 0 ? code : -EBADMSG;
	s->in.at += 4;
	take(&s->in, buf, n);
	*ret_n = n;
	return 1;
}

EXPORT ssize_t
co_stream_skip(struct co_stream *s, size_t n)
{
	size_t left = n, k;
	int code = enter();

	if (code < 0)
		return code;
	while (left > 0) {
		if (held(&s->in) == 0) {
			code = fill(s, FIRST);
			if (code < 0)
				return left < n ? (ssize_t)(n - left) : code;
			if (code == 0)
				break;
		}
		k = less(left, held(&s->in));
		s->in.at += k;
		left -= k;
	}
	return (ssize_t)(n - left);
}

EXPORT size_t
co_stream_buffered(const struct co_stream *s)
{
	return held(&s->in);
}

/* --- writing -------------------------------------------------------------- */

/* One that writes nothing and says no why would be asked for ever. */
static ssize_t
write_some(struct co_stream *s, const char *buf, size_t n)
{
	ssize_t k = s->ops->write(s->arg, buf, n);

	return k != 0 ? k : -EIO;
}

static int
flush(struct co_stream *s)
{
	struct half *h = &s->out;
	ssize_t n;

	if (s->broken)
		return s->broken;
	while (h->at < h->end) {
		n = write_some(s, h->buf + h->at, held(h));
		if (n < 0)
			return (int)n;
		h->at += (size_t)n;
	}
	h->at = h->end = 0;
	return 0;
}

EXPORT int
co_stream_flush(struct co_stream *s)
{
	int code = enter();

	return code < 0 ? code : flush(s);
}

/* What does not fit the buffer goes out at once. */
static ssize_t
write_large(struct co_stream *s, const char *buf, size_t n)
{
	size_t put = 0;
	ssize_t k;

	while (put < n) {
		k = write_some(s, buf + put, n - put);
		if (k < 0) {
			if (put > 0)
				s->broken = (int)k;
			return k;
		}
		put += (size_t)k;
	}
	return (ssize_t)n;
}

/* Makes room for n bytes, n <= OUT_ROOM. */
static int
out_room(struct co_stream *s, size_t n)
{
	struct half *h = &s->out;
	int code = 0;

	while (h->room - h->end < n && code == 0) {
		if (h->room == OUT_ROOM)
			return flush(s);
		code = grow(h, OUT_ROOM);
	}
	return code;
}

static ssize_t
put(struct co_stream *s, const void *buf, size_t n)
{
	int code;

	if (s->broken)
		return s->broken;
	if (n == 0)
		return 0;
	code = n < OUT_ROOM ? out_room(s, n) : flush(s);
	if (code < 0)
		return code;
	if (n >= OUT_ROOM)
		return write_large(s, buf, n);
	memcpy(s->out.buf + s->out.end, buf, n);
	s->out.end += n;
	return (ssize_t)n;
}

EXPORT ssize_t
co_stream_write(struct co_stream *s, const void *buf, size_t n)
{
	int code = enter();

	return code < 0 ? code : put(s, buf, n);
}

EXPORT ssize_t
co_stream_vprintf(struct co_stream *s, const char *format, va_list ap)
{
	struct half *h = &s->out;
	va_list again;
	ssize_t k;
	char *text;
	int n = enter();

	if (n < 0)
		return n;
	if (s->broken)
		return s->broken;
	va_copy(again, ap);
	n = vsnprintf(h->buf ? h->buf + h->end : NULL, h->room - h->end, format,
	    ap);
	if (n < 0) {
		k = -errno;
	} else if ((size_t)n < h->room - h->end) {
		h->end += (size_t)n;
		k = n;
	} else {
		text = malloc((size_t)n + 1);
		k = -ENOMEM;
		if (text) {
			vsnprintf(text, (size_t)n + 1, format, again);
			k = put(s, text, (size_t)n);
		}
		free(text);
	}
	va_end(again);
	return k;
}

EXPORT ssize_t
co_stream_printf(struct co_stream *s, const char *format, ...)
{
	va_list ap;
	ssize_t n;

	va_start(ap, format);
	n = co_stream_vprintf(s, format, ap);
	va_end(ap);
	return n;
}

/*
 * It does not fit the buffer.  While nothing of it has been sent its head is
 * alone in there, and can be taken out again.
 */
static int
write_large_frame(struct co_stream *s, const unsigned char *head,
    const void *buf, size_t n)
{
	struct half *h = &s->out;
	ssize_t k = flush(s);

	if (k < 0)
		return (int)k;
	k = put(s, head, 4);
	if (k < 0)
		return (int)k;
	k = put(s, buf, n);
	if (k >= 0)
		return 0;
	if (h->at == 0 && h->end == 4)
		h->end = 0;
	else
		s->broken = (int)k;
	return (int)k;
}

EXPORT int
co_stream_write_frame(struct co_stream *s, const void *buf, size_t n)
{
	const unsigned char head[4] = { (unsigned char)(n >> 24),
	    (unsigned char)(n >> 16), (unsigned char)(n >> 8),
	    (unsigned char)n };
	ssize_t k = enter();

	if (k < 0)
		return (int)k;
	if (n > UINT32_MAX)
		return -EMSGSIZE;
	/* The two parts go together or not at all. */
	if (4 + n >= OUT_ROOM)
		return write_large_frame(s, head, buf, n);
	k = out_room(s, 4 + n);
	if (k < 0)
		return (int)k;
	k = put(s, head, sizeof head);
	if (k >= 0)
		k = put(s, buf, n);
	return k < 0 ? (int)k : 0;
}

/* --- the end -------------------------------------------------------------- */

EXPORT int
co_stream_close(struct co_stream *s)
{
	int code, closed = 0;

	if (!s)
		return 0;
	code = flush(s);
	if (s->ops->close)
		closed = s->ops->close(s->arg);
	co_stream_free(s);
	return code < 0 ? code : closed;
}

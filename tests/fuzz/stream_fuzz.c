/* SPDX-License-Identifier: MIT */
/*
 * stream_fuzz.c - streams over a source that gives the rest of the input in
 * pieces and fails now and then, and over a sink that does likewise.
 *
 * A read gives just what the whole of the data says, or fails because the
 * source did, and has then taken nothing.  What was written with success comes
 * out, once and in order.
 */
#include "fuzz.h"

#include <weft/stream.h>

enum { MOST = 40000 };		/* more than an output buffer and a half */

struct pipe_end {
	struct bytes *script;
	const uint8_t *data;	/* source: all of it */
	size_t size, at;
	bool failed;		/* since it was cleared */
	uint8_t *out;		/* sink: what has come */
	size_t n_out, room;
};

static const int codes[] = { -ECANCELED, -ETIMEDOUT, -EIO };

static ssize_t
source(void *arg, void *buf, size_t n)
{
	struct pipe_end *e = arg;
	unsigned dice = byte(e->script);
	size_t k = e->size - e->at;

	if (dice % 8 == 7) {
		e->failed = true;
		return codes[dice / 8 % 3];
	}
	if (k > n)
		k = n;
	if (k > dice + 1u)
		k = dice + 1u;
	if (k > 0)
		memcpy(buf, e->data + e->at, k);
	e->at += k;
	return (ssize_t)k;
}

static ssize_t
sink(void *arg, const void *buf, size_t n)
{
	struct pipe_end *e = arg;
	unsigned dice = byte(e->script);
	size_t k = n;

	must(n > 0);
	if (dice % 8 == 7) {
		e->failed = true;
		return codes[dice / 8 % 3];
	}
	if (dice % 8 && k > dice * 64u)
		k = dice * 64u;
	must(e->n_out + k <= e->room);
	memcpy(e->out + e->n_out, buf, k);
	e->n_out += k;
	return (ssize_t)k;
}

static const struct co_stream_ops ops = { .read = source, .write = sink };

/* --- reading -------------------------------------------------------------- */

struct reader {
	struct co_stream *s;
	struct pipe_end *e;
	size_t pos;		/* what has been taken */
	uint8_t *buf;
};

static size_t
rest(const struct reader *r)
{
	return r->e->size - r->pos;
}

/* n bytes were to come, or all that there is. */
static void
got(struct reader *r, ssize_t n, size_t want)
{
	if (n < 0) {
		must(r->e->failed);
		return;
	}
	must((size_t)n == want);
	must(n == 0 || memcmp(r->buf, r->e->data + r->pos, (size_t)n) == 0);
	r->pos += (size_t)n;
}

static void
read_some(struct reader *r, size_t n)
{
	size_t held = co_stream_buffered(r->s);
	ssize_t k = co_stream_read(r->s, r->buf, n);

	if (k >= 0)
		must((size_t)k <= n && (k > 0 || n == 0 || rest(r) == 0));
	else
		must(held == 0);
	got(r, k, k < 0 ? 0 : (size_t)k);
}

static void
read_until(struct reader *r, size_t limit, const uint8_t *d, size_t dn,
    ssize_t n)
{
	const uint8_t *from = r->e->data + r->pos;
	const uint8_t *hit = rest(r) ? memmem(from, rest(r), d, dn) : NULL;
	size_t want = hit ? (size_t)(hit - from) + dn : rest(r);

	if (want > limit)
		must(n == -EMSGSIZE || r->e->failed);
	else
		got(r, n, want);
}

static void
read_line(struct reader *r, size_t size)
{
	ssize_t n = co_stream_read_line(r->s, (char *)r->buf, size);

	if (size == 0) {
		must(n == -EMSGSIZE);
		return;
	}
	if (n >= 0)
		must(r->buf[n] == '\0');
	read_until(r, size - 1, (const uint8_t *)"\n", 1, n);
}

static void
read_frame(struct reader *r, size_t size)
{
	const uint8_t *p = r->e->data + r->pos;
	size_t n = 0, want = 0;
	int code = co_stream_read_frame(r->s, r->buf, size, &n);

	if (rest(r) >= 4)
		want = (size_t)p[0] << 24 | (size_t)p[1] << 16 |
		    (size_t)p[2] << 8 | p[3];
	if (r->e->failed && code < 0 && code != -EMSGSIZE && code != -EBADMSG)
		return;
	if (rest(r) == 0) {
		must(code == 0);
	} else if (rest(r) < 4) {
		must(code == -EBADMSG);
	} else if (want > size) {
		must(code == -EMSGSIZE && n == want);
	} else if (rest(r) < 4 + want) {
		must(code == -EBADMSG);
	} else {
		must(code == 1 && n == want);
		must(n == 0 || memcmp(r->buf, p + 4, n) == 0);
		r->pos += 4 + n;
	}
}

static void
skip(struct reader *r, size_t n)
{
	ssize_t k = co_stream_skip(r->s, n);
	size_t want = n < rest(r) ? n : rest(r);

	must(r->e->failed || k == (ssize_t)want);
	must(k <= (ssize_t)want);
	r->pos += k < 0 ? 0 : (size_t)k;
}

static void
one_read(struct reader *r, struct bytes *script)
{
	size_t n = below(script, MOST);
	uint8_t d[3];

	if (byte(script) % 4)
		n %= 64;
	r->e->failed = false;
	switch (byte(script) % 6) {
	case 0:
		read_some(r, n);
		break;
	case 1:
		got(r, co_stream_read_exact(r->s, r->buf, n),
		    n < rest(r) ? n : rest(r));
		break;
	case 2:
		d[0] = d[1] = byte(script);
		d[2] = byte(script);
		read_until(r, n, d, 1 + d[2] % 3,
		    co_stream_read_until(r->s, r->buf, n, d, 1 + d[2] % 3));
		break;
	case 3:
		read_line(r, n);
		break;
	case 4:
		read_frame(r, n);
		break;
	default:
		skip(r, n);
	}
	must(r->pos <= r->e->at);
	must(co_stream_buffered(r->s) == r->e->at - r->pos);
}

/* The first half of the input is the script, the other the data. */
static void
fuzz_reading(const uint8_t *data, size_t size)
{
	struct bytes script = { data, size / 2 };
	struct pipe_end e = { .script = &script, .data = data + size / 2,
	    .size = size - size / 2 };
	struct reader r = { .e = &e };

	r.s = co_stream_new_ops(&ops, &e);
	r.buf = malloc(MOST + 1);
	must(r.s && r.buf);
	while (script.left > 0)
		one_read(&r, &script);
	co_stream_free(r.s);
	free(r.buf);
}

/* --- writing -------------------------------------------------------------- */

struct writer {
	struct co_stream *s;
	struct pipe_end *e;
	uint8_t *want;		/* what was accepted */
	size_t n_want, room;
	const uint8_t *text;	/* some bytes to write */
	bool broken;
};

static void
accept_bytes(struct writer *w, const void *p, size_t n)
{
	must(w->n_want + n <= w->room);
	memcpy(w->want + w->n_want, p, n);
	w->n_want += n;
}

/* Nothing but what was accepted has come out, unless it says so. */
static void
check_out(struct writer *w)
{
	size_t n = w->e->n_out;

	if (n > w->n_want) {
		must(w->broken);
		n = w->n_want;
	}
	must(n == 0 || memcmp(w->want, w->e->out, n) == 0);
}

static void
one_write(struct writer *w, struct bytes *script)
{
	size_t n = below(script, MOST), from = byte(script);
	int what = byte(script) % 5;
	ssize_t k;

	w->e->failed = false;
	if (byte(script) % 4)
		n %= 64;
	if (what == 4) {
		k = co_stream_flush(w->s);
		must(k < 0 || w->e->n_out == w->n_want);
	} else if (what == 3) {
		k = co_stream_printf(w->s, "%zu %.*s.", n, (int)(n % 64),
		    "0123456789abcdef0123456789abcdef0123456789abcdef"
		    "0123456789abcdef");
		if (k >= 0) {
			char text[128];

			must(snprintf(text, sizeof text, "%zu %.*s.", n,
			    (int)(n % 64), "0123456789abcdef0123456789abcdef"
			    "0123456789abcdef0123456789abcdef") == k);
			accept_bytes(w, text, (size_t)k);
		}
	} else if (what == 2) {
		k = co_stream_write_frame(w->s, w->text + from, n);
		if (k >= 0) {
			const uint8_t now[4] = { 0, 0, (uint8_t)(n >> 8),
			    (uint8_t)n };

			accept_bytes(w, now, 4);
			accept_bytes(w, w->text + from, n);
		}
	} else {
		k = co_stream_write(w->s, w->text + from, n);
		must(k < 0 || (size_t)k == n);
		if (k >= 0)
			accept_bytes(w, w->text + from, n);
	}
	must(k >= 0 || w->e->failed || w->broken);
	must(k < 0 || !w->broken || n == 0);
	if (k < 0 && w->e->n_out > w->n_want)
		w->broken = true;
}

static void
fuzz_writing(const uint8_t *data, size_t size)
{
	struct bytes script = { data, size };
	struct pipe_end e = { .script = &script, .room = 64 * MOST };
	struct writer w = { .e = &e, .room = 64 * MOST };
	uint8_t *text = malloc(MOST + 256);
	int i, code;

	w.s = co_stream_new_ops(&ops, &e);
	w.want = malloc(w.room);
	e.out = malloc(e.room);
	must(w.s && w.want && e.out && text);
	for (i = 0; i < MOST + 256; i++)
		text[i] = (uint8_t)(i * 7 + (i >> 8));
	w.text = text;
	for (i = 0; i < 32 && script.left > 0; i++) {
		one_write(&w, &script);
		check_out(&w);
	}
	e.script = &(struct bytes){ NULL, 0 };	/* it does not fail now */
	code = co_stream_flush(w.s);
	must(code == 0 || w.broken);
	must(code < 0 || e.n_out == w.n_want);
	check_out(&w);
	co_stream_free(w.s);
	free(w.want);
	free(e.out);
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	if (data[0] & 1)
		fuzz_writing(data + 1, size - 1);
	else
		fuzz_reading(data + 1, size - 1);
	return 0;
}

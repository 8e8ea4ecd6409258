/* SPDX-License-Identifier: MIT */
/*
 * 005-a-frame-that-broke-its-stream.c - a large frame could not be sent, not a
 * byte of it, and the stream was of no use any more.
 *
 * Its head had gone into the buffer, and stayed there.
 */
#include "harness.h"

#include <weft/stream.h>

enum { LARGE = 20000, ROOM = 4 * LARGE };

static char out[ROOM];
static size_t n_out;
static int refuses;		/* so many of the next writes */

static ssize_t
sink(void *arg, const void *buf, size_t n)
{
	(void)arg;
	if (refuses > 0) {
		refuses--;
		return -ETIMEDOUT;
	}
	memcpy(out + n_out, buf, n);
	n_out += n;
	return (ssize_t)n;
}

static const struct co_stream_ops ops = { .write = sink };

/* With something before it, or nothing; too large for a buffer by a little,
   or by itself. */
static void
refused_and_repeated(size_t n, bool first)
{
	struct co_stream *s = co_stream_new_ops(&ops, NULL);
	char *body = calloc(1, n);

	ck_assert(s && body);
	n_out = 0;
	if (!first)
		test_result(co_stream_write(s, "abc", 3), 3);
	refuses = 2;
	test_result(co_stream_write_frame(s, body, n), -ETIMEDOUT);
	test_result(co_stream_write_frame(s, body, n), -ETIMEDOUT);
	ck_assert_uint_eq(n_out, 0);
	test_result(co_stream_write_frame(s, body, n), 0);
	test_result(co_stream_flush(s), 0);
	ck_assert_uint_eq(n_out, n + 4 + (first ? 0 : 3));
	co_stream_free(s);
	free(body);
}

TEST(a_large_frame_that_was_refused_can_be_repeated)
{
	refused_and_repeated(LARGE, true);
	refused_and_repeated(LARGE, false);
	refused_and_repeated(16384 - 2, true);
	refused_and_repeated(16384 - 2, false);
	refused_and_repeated(16384 - 4, false);
}

/* SPDX-License-Identifier: MIT */
/*
 * stream_test.c - co_stream.
 */
#include "harness.h"

#include <unistd.h>

#include <weft/io.h>
#include <weft/scope.h>
#include <weft/stream.h>

/* A source of bytes in pieces of a given size, and a sink with room. */
struct wire {
	const char *data;
	size_t at, n, piece;
	char sent[70000];
	size_t sent_n, sent_room, piece_out;
	int fail;
	bool closed;
};

static ssize_t
wire_read(void *arg, void *buf, size_t n)
{
	struct wire *w = arg;

	if (w->fail)
		return w->fail;
	if (n > w->piece)
		n = w->piece;
	if (n > w->n - w->at)
		n = w->n - w->at;
	memcpy(buf, w->data + w->at, n);
	w->at += n;
	return (ssize_t)n;
}

static ssize_t
wire_write(void *arg, const void *buf, size_t n)
{
	struct wire *w = arg;

	if (n > w->piece_out)
		n = w->piece_out;
	if (n > w->sent_room - w->sent_n)
		n = w->sent_room - w->sent_n;
	if (n == 0)
		return -ETIMEDOUT;
	memcpy(w->sent + w->sent_n, buf, n);
	w->sent_n += n;
	return (ssize_t)n;
}

static int
wire_close(void *arg)
{
	((struct wire *)arg)->closed = true;
	return 0;
}

static const struct co_stream_ops ops = { wire_read, wire_write, wire_close };

static struct wire wire;

static struct co_stream *
open_wire(const char *data, size_t n, size_t piece)
{
	struct co_stream *s;

	memset(&wire, 0, sizeof wire);
	wire.data = data;
	wire.n = n;
	wire.piece = wire.piece_out = piece;
	wire.sent_room = sizeof wire.sent;
	s = co_stream_new_ops(&ops, &wire);
	ck_assert_ptr_nonnull(s);
	return s;
}

#define FOR_PIECES(p) \
	for (size_t p##__i = 0, p; p##__i < 5 && \
	    (p = (size_t[]){ 1, 2, 3, 7, 1000 }[p##__i]); p##__i++)

TEST(lines_come_whole_or_not_at_all)
{
	static const char text[] = "one\n\nthree\r\nlonger than ten\nlast";
	char buf[64];

	FOR_PIECES(piece) {
		struct co_stream *s = open_wire(text, sizeof text - 1, piece);

		test_result(co_stream_read_line(s, buf, 64), 4);
		ck_assert_str_eq(buf, "one\n");
		test_result(co_stream_read_line(s, buf, 64), 1);
		ck_assert_str_eq(buf, "\n");
		test_result(co_stream_read_line(s, buf, 64), 7);
		ck_assert_str_eq(buf, "three\r\n");
		test_result(co_stream_read_line(s, buf, 0), -EMSGSIZE);
		test_result(co_stream_read_line(s, buf, 10), -EMSGSIZE);
		wire.fail = -ECANCELED;
		if (piece < 7)
			test_result(co_stream_read_line(s, buf, 64), -ECANCELED);
		wire.fail = 0;
		test_result(co_stream_read_line(s, buf, 16), -EMSGSIZE);
		test_result(co_stream_read_line(s, buf, 17), 16);
		ck_assert_str_eq(buf, "longer than ten\n");
		test_result(co_stream_read_line(s, buf, 4), -EMSGSIZE);
		test_result(co_stream_read_line(s, buf, 5), 4);
		ck_assert_str_eq(buf, "last");
		test_result(co_stream_read_line(s, buf, 64), 0);
		test_result(co_stream_close(s), 0);
		ck_assert(wire.closed);
	}
}

TEST(delimiters_may_be_of_any_length)
{
	static const char text[] = "a: b\r\nc\r\r\n\r\nrest";
	char buf[64];

	FOR_PIECES(piece) {
		struct co_stream *s = open_wire(text, sizeof text - 1, piece);

		test_result(co_stream_read_until(s, buf, 64, "", 0), -EINVAL);
		test_result(co_stream_read_until(s, buf, 11, "\r\n\r\n", 4),
		    -EMSGSIZE);
		test_result(co_stream_read_until(s, buf, 12, "\r\n\r\n", 4), 12);
		ck_assert_int_eq(memcmp(buf, text, 12), 0);
		test_result(co_stream_read_until(s, buf, 64, "\r\n", 2), 4);
		ck_assert_int_eq(memcmp(buf, "rest", 4), 0);
		test_result(co_stream_read_until(s, buf, 64, "\r\n", 2), 0);
		co_stream_free(s);
		ck_assert(!wire.closed);
	}
}

TEST(exact_counts_and_leftovers)
{
	static const char text[] = "0123456789";
	char buf[64];

	FOR_PIECES(piece) {
		struct co_stream *s = open_wire(text, 10, piece);

		test_result(co_stream_read_exact(s, buf, 0), 0);
		test_result(co_stream_read_exact(s, buf, 4), 4);
		ck_assert_int_eq(memcmp(buf, "0123", 4), 0);
		test_result(co_stream_skip(s, 2), 2);
		ck_assert_int_ge((int)co_stream_read(s, buf, 1), 1);
		ck_assert_int_eq(buf[0], '6');
		test_result(co_stream_read_exact(s, buf, 10), 3);
		test_result(co_stream_read_exact(s, buf, 10), 0);
		test_result(co_stream_skip(s, 3), 0);
		test_result(co_stream_read(s, buf, 10), 0);
		ck_assert_int_eq(co_stream_fd(s), -1);
		co_stream_free(s);
	}
	co_stream_free(NULL);
	test_result(co_stream_close(NULL), 0);
}

TEST(frames_keep_their_bounds)
{
	static char big[30000], buf[30000];
	size_t n;

	FOR_PIECES(piece) {
		struct co_stream *s = open_wire(NULL, 0, piece);
		static char copy[70000];

		memset(big, 'b', sizeof big);
		test_result(co_stream_write_frame(s, "abc", 3), 0);
		test_result(co_stream_write_frame(s, NULL, 0), 0);
		test_result(co_stream_write_frame(s, big, sizeof big), 0);
		test_result(co_stream_write_frame(s, "z", 1), 0);
		test_result(co_stream_flush(s), 0);
		n = wire.sent_n;
		ck_assert_uint_eq(n, 3 + 30000 + 1 + 16);
		memcpy(copy, wire.sent, n);
		co_stream_free(s);

		s = open_wire(copy, n - 1, piece);
		test_result(co_stream_read_frame(s, buf, 2, &n), -EMSGSIZE);
		ck_assert_uint_eq(n, 3);
		test_result(co_stream_read_frame(s, buf, 3, &n), 1);
		ck_assert_int_eq(memcmp(buf, "abc", 3), 0);
		test_result(co_stream_read_frame(s, buf, 0, &n), 1);
		ck_assert_uint_eq(n, 0);
		test_result(co_stream_read_frame(s, buf, 29999, &n), -EMSGSIZE);
		test_result(co_stream_read_frame(s, buf, 30000, &n), 1);
		ck_assert_uint_eq(n, 30000);
		ck_assert_int_eq(memcmp(buf, big, n), 0);
		test_result(co_stream_read_frame(s, buf, 10, &n), -EBADMSG);
		co_stream_free(s);
		s = open_wire(copy, 0, piece);
		test_result(co_stream_read_frame(s, buf, 10, &n), 0);
		co_stream_free(s);
	}
}

TEST(writing_collects_and_a_failure_loses_nothing)
{
	static char big[40000];
	struct co_stream *s = open_wire(NULL, 0, 5000);
	size_t i, k;

	for (i = 0; i < sizeof big; i++)
		big[i] = (char)(i * 13);
	test_result(co_stream_write(s, big, 0), 0);
	test_result(co_stream_printf(s, "%d %s\n", 42, "is it"), 9);
	ck_assert_uint_eq(wire.sent_n, 0);
	test_result(co_stream_flush(s), 0);
	ck_assert_uint_eq(wire.sent_n, 9);
	ck_assert_int_eq(memcmp(wire.sent, "42 is it\n", 9), 0);
	/* A printf larger than what is left, and than the buffer. */
	test_result(co_stream_printf(s, "%5000d", 1), 5000);
	test_result(co_stream_printf(s, "%20000d", 1), 20000);
	test_result(co_stream_flush(s), 0);
	ck_assert_uint_eq(wire.sent_n, 25009);
	/* The sink is full: what was not accepted is not there. */
	wire.sent_n = 0;
	wire.sent_room = 10000;
	for (k = 0; k < 30; k++)
		if (co_stream_write(s, big + k * 1000, 1000) < 0)
			break;
	ck_assert_uint_ge(k, 16);
	ck_assert_uint_lt(k, 30);
	test_result(co_stream_write(s, big + k * 1000, 1000), -ETIMEDOUT);
	test_result(co_stream_flush(s), -ETIMEDOUT);
	wire.sent_room = sizeof wire.sent;
	for (; k < 30; k++)
		test_result(co_stream_write(s, big + k * 1000, 1000), 1000);
	test_result(co_stream_flush(s), 0);
	ck_assert_uint_eq(wire.sent_n, 30000);
	ck_assert_int_eq(memcmp(wire.sent, big, 30000), 0);
	/* Half of a large one is gone: that cannot be repaired. */
	wire.sent_room = wire.sent_n + 100;
	test_result(co_stream_write(s, big, sizeof big), -ETIMEDOUT);
	wire.sent_room = sizeof wire.sent;
	test_result(co_stream_write(s, big, 1), -ETIMEDOUT);
	test_result(co_stream_close(s), -ETIMEDOUT);
	ck_assert(wire.closed);
}

/* --- over descriptors ----------------------------------------------------- */

static int
upper(void *arg)
{
	struct co_stream *s = co_stream_new((int)(intptr_t)arg);
	char line[100];
	ssize_t n;
	char *p;

	while ((n = co_stream_read_line(s, line, sizeof line)) > 0) {
		for (p = line; *p; p++)
			*p = (char)(*p >= 'a' && *p <= 'z' ? *p - 32 : *p);
		test_result(co_stream_write(s, line, (size_t)n), n);
		test_result(co_stream_flush(s), 0);
	}
	test_result(n, 0);
	return co_stream_close(s);
}

static int
conversation(void *arg)
{
	char line[100], want[100];
	struct co_stream *s;
	struct co_scope all;
	int sv[2], i;

	(void)arg;
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	co_scope(all) {
		co_spawn(upper, (void *)(intptr_t)sv[1]);
		s = co_stream_new(sv[0]);
		ck_assert_int_eq(co_stream_fd(s), sv[0]);
		for (i = 0; i < 1000; i++) {
			co_stream_printf(s, "line %d\n", i);
			test_result(co_stream_flush(s), 0);
			ck_assert_int_gt(co_stream_read_line(s, line, 100), 0);
			snprintf(want, sizeof want, "LINE %d\n", i);
			ck_assert_str_eq(line, want);
		}
		co_timeout(CO_MS(2))
			test_result(co_stream_read_line(s, line, 100),
			    -ETIMEDOUT);
		test_result(co_stream_close(s), 0);
	}
	return all.status;
}

static ssize_t
write_nothing(void *arg, const void *buf, size_t n)
{
	(void)arg;
	(void)buf;
	(void)n;
	return 0;
}

TEST(a_writer_that_writes_nothing_is_an_error)
{
	static const struct co_stream_ops none = { wire_read, write_nothing,
	    wire_close };
	static char big[100000];
	struct co_stream *s = co_stream_new_ops(&none, &wire);

	ck_assert_ptr_nonnull(s);
	test_result(co_stream_write(s, "abc", 3), 3);
	test_result(co_stream_flush(s), -EIO);
	test_result(co_stream_write(s, big, sizeof big), -EIO);
	co_stream_free(s);
}

/* All calls, with all they want in the buffer, in a scope that has ended. */
static void
all_are_cancelled(struct co_stream *s)
{
	char buf[16];
	size_t n = 0;

	test_result(co_stream_read(s, buf, 1), -ECANCELED);
	test_result(co_stream_read_exact(s, buf, 1), -ECANCELED);
	test_result(co_stream_read_line(s, buf, 16), -ECANCELED);
	test_result(co_stream_read_until(s, buf, 16, "w", 1), -ECANCELED);
	test_result(co_stream_read_frame(s, buf, 16, &n), -ECANCELED);
	test_result(co_stream_skip(s, 1), -ECANCELED);
	test_result(co_stream_write(s, "y", 1), -ECANCELED);
	test_result(co_stream_write(s, "", 0), -ECANCELED);
	test_result(co_stream_printf(s, "%d", 1), -ECANCELED);
	test_result(co_stream_write_frame(s, "y", 1), -ECANCELED);
	test_result(co_stream_flush(s), -ECANCELED);
}

static int
cancelled(void *arg)
{
	struct co_stream *s = open_wire("one\ntwo\nthree\n", 14, 14);
	struct co_scope scope;
	char buf[16];

	(void)arg;
	co_scope(scope) {
		test_result(co_stream_read_line(s, buf, 16), 4);
		test_result(co_stream_write(s, "x", 1), 1);
		co_cancel(&scope);
		all_are_cancelled(s);
		ck_assert_uint_eq(co_stream_buffered(s), 10);
	}
	test_result(co_stream_read_line(s, buf, 16), 4);
	ck_assert_str_eq(buf, "two\n");
	test_result(co_stream_flush(s), 0);
	ck_assert_uint_eq(wire.sent_n, 1);
	co_scope(scope) {
		co_cancel(&scope);
		test_result(co_stream_close(s), 0);
	}
	ck_assert(wire.closed);
	return 0;
}

TEST(no_call_takes_or_gives_anything_in_a_scope_that_has_ended)
{
	FOR_WORKERS(w)
		test_result(test_run(w, cancelled, NULL), 0);
}

TEST(lines_over_a_socket)
{
	FOR_WORKERS(w)
		test_result(test_run(w, conversation, NULL), 0);
}

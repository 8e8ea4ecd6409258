/* SPDX-License-Identifier: MIT */
/*
 * <weft/stream.h> - buffers over a descriptor, or over anything that reads and
 * writes bytes.  The full text: co_stream(3).
 *
 * Reading looks for whole things, lines, frames, and gives them whole or not
 * at all: a read that fails, by cancellation or because the thing is larger
 * than the caller's limit (-EMSGSIZE), has taken nothing from the stream.
 * Writing collects; nothing is sent before the buffer is full or
 * co_stream_flush is called.
 *
 * A stream serves one reader and one writer at a time, who may be two
 * coroutines.  All calls but new, free, fd and buffered wait, and are
 * cancellation points.
 */
#ifndef WEFT_STREAM_H
#define WEFT_STREAM_H

#include <stdarg.h>
#include <stddef.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct co_stream;

/* What a stream stands on, when it is no descriptor: as co_read, co_write and
   co_close; close may be NULL. */
struct co_stream_ops {
	ssize_t (*read)(void *arg, void *buf, size_t n);
	ssize_t (*write)(void *arg, const void *buf, size_t n);
	int (*close)(void *arg);
};

/* NULL: no memory.  ops must outlive the stream. */
struct co_stream *co_stream_new(int fd);
struct co_stream *co_stream_new_ops(const struct co_stream_ops *ops, void *arg);

/* Frees it; the descriptor stays open, what was not flushed is lost. */
void co_stream_free(struct co_stream *s);

/* Flushes, closes the descriptor, frees: 0, or what went wrong in flushing or
   closing.  NULL: 0. */
int co_stream_close(struct co_stream *s);

/* The descriptor, or -1. */
int co_stream_fd(const struct co_stream *s);

/* --- reading: counts, 0 at the end ---------------------------------------- */

/* What there is, at least a byte, at most n. */
ssize_t co_stream_read(struct co_stream *s, void *buf, size_t n);

/* n bytes; fewer only at the end. */
ssize_t co_stream_read_exact(struct co_stream *s, void *buf, size_t n);

/* Up to and with the '\n', which only a last line may lack; then a NUL, which
   is not counted.  -EMSGSIZE: size is too small for both. */
ssize_t co_stream_read_line(struct co_stream *s, char *buf, size_t size);

/* Up to and with the delimiter, which only the end of the stream may lack. */
ssize_t co_stream_read_until(struct co_stream *s, void *buf, size_t size,
    const void *delimiter, size_t delimiter_size);

/*
 * A frame: its length in four bytes, the highest first, and so many bytes.
 * 1: *ret_n bytes are in buf; 0: the end.  -EMSGSIZE: over size; *ret_n says
 * how long it is, and it can be read with more room.  -EBADMSG: the stream
 * ended in the midst of it.
 */
int co_stream_read_frame(struct co_stream *s, void *buf, size_t size,
    size_t *ret_n);

/* Throws n bytes away: how many there were. */
ssize_t co_stream_skip(struct co_stream *s, size_t n);

/* How many bytes can be had without waiting.  Does not wait. */
size_t co_stream_buffered(const struct co_stream *s);

/* --- writing: n or a negative errno --------------------------------------- */

/*
 * A failed write has had no effect, and can be repeated, unless part of a
 * large one had been sent: then all later ones fail with the same code.
 */
ssize_t co_stream_write(struct co_stream *s, const void *buf, size_t n);
ssize_t co_stream_printf(struct co_stream *s, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
ssize_t co_stream_vprintf(struct co_stream *s, const char *format, va_list ap)
	__attribute__((format(printf, 2, 0)));
int co_stream_write_frame(struct co_stream *s, const void *buf, size_t n);

/* 0: all that was written has been sent.  Else the rest is kept. */
int co_stream_flush(struct co_stream *s);

#ifdef __cplusplus
}
#endif

#endif

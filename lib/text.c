/* SPDX-License-Identifier: MIT */
/*
 * text.c - lines put together without stdio's formats.
 *
 * Layer 1.
 */
#include "text.h"

#include <unistd.h>

void
text_flush(struct text *x)
{
	ssize_t got;

	if (x->n == 0)
		return;
	got = x->to ? (ssize_t)fwrite(x->at, 1, x->n, x->to) :
	    write(x->fd, x->at, x->n);
	if (got != x->n)
		x->failed = true;
	x->n = 0;
}

static void
put(struct text *x, char c)
{
	if (x->n == sizeof x->at)
		text_flush(x);
	x->at[x->n++] = c;
}

void
text_add(struct text *x, const char *s)
{
	while (*s)
		put(x, *s++);
}

void
text_add_some(struct text *x, const char *s, size_t most)
{
	while (most-- > 0 && *s)
		put(x, *s++);
}

static void
number(struct text *x, uint64_t n, unsigned base)
{
	char digits[24];
	size_t i = sizeof digits;

	digits[--i] = '\0';
	do {
		digits[--i] = "0123456789abcdef"[n % base];
		n /= base;
	} while (n);
	text_add(x, digits + i);
}

void
text_dec(struct text *x, uint64_t n)
{
	number(x, n, 10);
}

void
text_hex(struct text *x, uint64_t n)
{
	text_add(x, "0x");
	number(x, n, 16);
}

void
text_time(struct text *x, co_time ns)
{
	uint64_t us = ns > 0 ? (uint64_t)ns / 1000 : 0, ms = us / 1000;

	if (ms >= 10000) {
		text_dec(x, ms / 1000);
		text_add(x, " s");
	} else if (ms >= 10) {
		text_dec(x, ms);
		text_add(x, " ms");
	} else {
		text_dec(x, us);
		text_add(x, " us");
	}
}

void
text_name(struct text *x, const char *s)
{
	if (!*s)
		return;
	text_add(x, " \"");
	for (; *s; s++)
		put(x, (unsigned char)*s < 0x20 || *s == 0x7f || *s == '"' ?
		    '?' : *s);
	put(x, '"');
}

/* Bytes of the character of UTF-8 at s; 0: there is none, as in a name that was
   cut in the middle of one. */
static int
utf8_length(const char *s)
{
	const unsigned char *b = (const unsigned char *)s;
	int n = 1, i;

	if (b[0] >= 0x80)
		n = b[0] < 0xe0 ? 2 : b[0] < 0xf0 ? 3 : 4;
	for (i = 1; i < n; i++)
		if ((b[i] & 0xc0) != 0x80)
			return 0;
	/* No first byte; longer than need be; half a surrogate; too large. */
	if ((b[0] >= 0x80 && b[0] < 0xc2) || b[0] > 0xf4 ||
	    (b[0] == 0xe0 && b[1] < 0xa0) || (b[0] == 0xed && b[1] >= 0xa0) ||
	    (b[0] == 0xf0 && b[1] < 0x90) || (b[0] == 0xf4 && b[1] >= 0x90))
		return 0;
	return n;
}

static void
json_ascii(struct text *x, char c)
{
	if ((unsigned char)c < 0x20 || c == 0x7f) {
		text_add(x, "\\u00");
		put(x, "0123456789abcdef"[c >> 4]);
		put(x, "0123456789abcdef"[c & 15]);
		return;
	}
	if (c == '"' || c == '\\')
		put(x, '\\');
	put(x, c);
}

void
text_json(struct text *x, const char *s)
{
	int n;

	while (*s) {
		n = utf8_length(s);
		if (n == 0)
			text_add(x, "\\ufffd");
		else if (n == 1)
			json_ascii(x, *s);
		else
			text_add_some(x, s, n);
		s += n ? n : 1;
	}
}

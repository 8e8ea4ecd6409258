/* SPDX-License-Identifier: MIT */
/*
 * kv_out.c - answers of the Redis protocol, collected for one send.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kv.h"

enum { ROOM = 4096 };		/* at first: a hundred short answers */

/* Room for n more bytes, and where; NULL: there is none, and failed is set. */
static char *
more(struct kv_out *o, size_t n)
{
	size_t room = o->room ? o->room : ROOM;
	char *p;

	if (n <= o->room - o->n && !o->failed)
		return o->p + o->n;
	if (o->failed || kv_out_pending(o) + n > kv_config.max_output) {
		o->failed = true;
		return NULL;
	}
	if (o->sent) {
		memmove(o->p, o->p + o->sent, kv_out_pending(o));
		o->n -= o->sent;
		o->sent = 0;
	}
	while (room - o->n < n)
		room *= 2;
	if (room > kv_config.max_output)
		room = kv_config.max_output;
	p = realloc(o->p, room);
	if (!p) {
		o->failed = true;
		return NULL;
	}
	o->p = p;
	o->room = room;
	return p + o->n;
}

void
kv_out_bytes(struct kv_out *o, const char *p, size_t n)
{
	char *to = more(o, n);

	if (to) {
		memcpy(to, p, n);
		o->n += n;
	}
}

void
kv_out_text(struct kv_out *o, const char *text)
{
	kv_out_bytes(o, text, strlen(text));
}

/* A type, a number and the end of the line: at most 24 bytes. */
static char *
head(char *to, char type, unsigned long long v, bool negative)
{
	char digits[20], *d = digits + sizeof digits;
	size_t n;

	do
		*--d = (char)('0' + v % 10);
	while ((v /= 10) != 0);
	n = (size_t)(digits + sizeof digits - d);
	*to++ = type;
	if (negative)
		*to++ = '-';
	memcpy(to, d, n);
	to += n;
	*to++ = '\r';
	*to++ = '\n';
	return to;
}

static void
number(struct kv_out *o, char type, unsigned long long v, bool negative)
{
	char *to = more(o, 24);

	if (to)
		o->n += (size_t)(head(to, type, v, negative) - to);
}

void
kv_out_integer(struct kv_out *o, long long v)
{
	unsigned long long u = (unsigned long long)v;

	number(o, ':', v < 0 ? 0 - u : u, v < 0);
}

void
kv_out_array(struct kv_out *o, size_t n)
{
	number(o, '*', n, false);
}

void
kv_out_bulk(struct kv_out *o, const char *p, size_t n)
{
	char *begin = more(o, n + 26), *to;

	if (!begin)
		return;
	to = head(begin, '$', n, false);
	memcpy(to, p, n);
	to += n;
	*to++ = '\r';
	*to++ = '\n';
	o->n += (size_t)(to - begin);
}

void
kv_out_string(struct kv_out *o, const char *text)
{
	kv_out_bulk(o, text, strlen(text));
}

void
kv_out_nil(struct kv_out *o)
{
	kv_out_text(o, "$-1\r\n");
}

void
kv_out_error(struct kv_out *o, const char *format, ...)
{
	char line[512] = "-";
	va_list ap;
	size_t i;

	va_start(ap, format);
	vsnprintf(line + 1, sizeof line - 3, format, ap);
	va_end(ap);
	for (i = 0; line[i]; i++)
		if (line[i] == '\r' || line[i] == '\n')
			line[i] = ' ';
	line[i++] = '\r';
	line[i++] = '\n';
	kv_out_bytes(o, line, i);
}

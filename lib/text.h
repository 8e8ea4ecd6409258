/* SPDX-License-Identifier: MIT */
/*
 * text.h - lines put together without stdio's formats: for signal handlers, and
 * for small stacks.
 *
 * Layer 1.
 */
#ifndef WEFT_TEXT_H
#define WEFT_TEXT_H

#include "os.h"

#include <stdio.h>

struct text {
	FILE *to;		/* where it goes when full, or flushed; */
	int fd;			/* or, where that is NULL, here */
	bool failed;		/* something could not be written */
	uint16_t n;
	char at[480];		/* a line of any dump */
};

void text_flush(struct text *x);
void text_add(struct text *x, const char *s);
void text_add_some(struct text *x, const char *s, size_t most);
void text_dec(struct text *x, uint64_t n);
void text_hex(struct text *x, uint64_t n);	/* 0x... */
void text_time(struct text *x, co_time ns);	/* 1.234 s, 56 ms, 78 us */
/* ' "NAME"', or nothing where it is empty.  A quote in it, and what would end
   the line or tell a terminal something, is a '?'. */
void text_name(struct text *x, const char *s);
/* The inside of a string of JSON; what is no UTF-8 is U+FFFD. */
void text_json(struct text *x, const char *s);

#endif

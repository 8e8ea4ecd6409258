/* SPDX-License-Identifier: MIT */
/*
 * fuzz.h - what a fuzz target stands on.
 *
 * A target is a file NAME_fuzz.c with the function that libFuzzer calls.
 * script/fuzz builds it with that; make check builds it with replay.c and runs
 * it over tests/fuzz/corpus/NAME.  It ends by abort(), or by a sanitizer, when
 * the library did what it must not do.
 *
 * What a target needs besides the library stands in its opening comment, as
 * "needs: samples/apps/x.c"; then Makefile.am names it in its _SOURCES too.
 */
#ifndef WEFT_TESTS_FUZZ_H
#define WEFT_TESTS_FUZZ_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An input that is used up byte by byte; then it is all zeroes. */
struct bytes {
	const uint8_t *at;
	size_t left;
};

static inline uint8_t
byte(struct bytes *b)
{
	if (b->left == 0)
		return 0;
	b->left--;
	return *b->at++;
}

/* 0 .. n - 1, n < 65536 */
static inline unsigned
below(struct bytes *b, unsigned n)
{
	unsigned x = byte(b);

	if (n > 256)
		x = x << 8 | byte(b);
	return x % n;
}

#endif

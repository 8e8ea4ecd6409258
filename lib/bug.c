/* SPDX-License-Identifier: MIT */
/*
 * bug.c - the last words of a library that found itself broken.
 *
 * Layer 0.  Uses no stdio: it may be called from a small stack, under any
 * lock.
 */
#include "bug.h"
#include "atomic.h"

#include <stdlib.h>
#include <unistd.h>

void (*co__bug_where)(void);

static void
put(const char *s)
{
	ssize_t n = write(STDERR_FILENO, s, strlen(s));

	(void)n;
}

void
co__bug(const char *what, const char *file, int line)
{
	void (*where)(void);
	char digits[16];
	int i = sizeof digits;

	digits[--i] = '\0';
	do {
		digits[--i] = (char)('0' + line % 10);
		line /= 10;
	} while (line > 0 && i > 0);
	put("weft: bug: ");
	put(what);
	put(" at ");
	put(file);
	put(":");
	put(digits + i);
	where = a_load_relaxed(&co__bug_where);
	if (where)
		where();
	put("\n");
	abort();
}

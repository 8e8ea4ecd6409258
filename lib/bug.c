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
#include <sys/uio.h>
#include <unistd.h>

void (*co__bug_where)(void);

static struct iovec
piece(const char *s)
{
	return (struct iovec){ (void *)(uintptr_t)s, strlen(s) };
}

/* In one call: others may be writing, too. */
static void
put(const char *what, const char *file, const char *digits)
{
	const struct iovec v[] = { piece("weft: bug: "), piece(what),
		piece(" at "), piece(file), piece(":"), piece(digits) };
	ssize_t n = writev(STDERR_FILENO, v, sizeof v / sizeof v[0]);

	(void)n;
}

void
co__bug(const char *what, const char *file, int line)
{
	void (*where)(void);
	char digits[16];
	int i = sizeof digits;
	ssize_t n;

	digits[--i] = '\0';
	do {
		digits[--i] = (char)('0' + line % 10);
		line /= 10;
	} while (line > 0 && i > 0);
	put(what, file, digits + i);
	where = a_load_relaxed(&co__bug_where);
	if (where)
		where();
	n = write(STDERR_FILENO, "\n", 1);
	(void)n;
	abort();
}

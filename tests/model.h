/* SPDX-License-Identifier: MIT */
/*
 * model.h - how a model says that the library did something else: for what
 * both tests and fuzzers use, and so knows no Check.
 */
#ifndef WEFT_TESTS_MODEL_H
#define WEFT_TESTS_MODEL_H

#include <stdio.h>
#include <stdlib.h>

__attribute__((noreturn)) static inline void
must_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
	abort();
}

#define must(condition) \
	((condition) ? (void)0 : must_failed(__FILE__, __LINE__, #condition))

#endif

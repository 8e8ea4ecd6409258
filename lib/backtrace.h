/* SPDX-License-Identifier: MIT */
/*
 * backtrace.h - where a coroutine stands, by its frame pointers.
 *
 * Layer 10.
 */
#ifndef WEFT_BACKTRACE_H
#define WEFT_BACKTRACE_H

#include "base.h"

enum { BACKTRACE_MOST = 24 };

struct backtrace {
	int n;
	const void *pc[BACKTRACE_MOST];	/* innermost first */
};

/*
 * Adds `pc` and what the frames from fp on return to.  Nothing outside of
 * [lo, hi) is read, and that through the kernel: the stack may be in use, or
 * gone.  Safe in signal handlers.
 */
void backtrace_walk(struct backtrace *ret, uintptr_t pc, uintptr_t fp,
    uintptr_t lo, uintptr_t hi);

/* The same for a context that was switched away from (FRAME, in asm/).  False:
   it has not begun, or this build cannot know: *ret is empty. */
bool backtrace_parked(struct backtrace *ret, const void *sp, uintptr_t lo,
    uintptr_t hi);

/* Has a context that was switched away from begun? */
bool backtrace_begun(const void *sp);

/* False: this build's contexts do not say where they stand. */
extern const bool co__backtrace_works;

#endif

/* SPDX-License-Identifier: MIT */
/*
 * bug.h - what happens when one of our own invariants is broken.
 *
 * Layer 0.  co__bug() is always compiled in: going on with a broken scheduler
 * corrupts the user's data.  debug_assert() is for what costs too much to
 * check in a release; its argument has no side effect.
 */
#ifndef WEFT_BUG_H
#define WEFT_BUG_H

#include "base.h"

/* Writes "weft: bug: WHAT at FILE:LINE in coroutine ID "NAME", last wait: OP
   OBJECT" to stderr and aborts. */
void co__bug(const char *what, const char *file, int line)
	__attribute__((__noreturn__, __cold__));

/* Set once, by who can say in which coroutine: adds it to the line. */
extern void (*co__bug_where)(void);

#define bug(what)	co__bug((what), __FILE__, __LINE__)
#define bug_if(cond) \
	do { if (unlikely(cond)) bug(#cond); } while (0)

#ifdef WEFT_DEBUG
#define debug_assert(cond) \
	do { if (unlikely(!(cond))) bug("not true: " #cond); } while (0)
#else
#define debug_assert(cond) \
	do { (void)sizeof(cond); } while (0)
#endif

#endif

/* SPDX-License-Identifier: MIT */
/*
 * chaos.h - seeded disturbance, compiled in by --enable-chaos only.
 *
 * Layer 0.  chaos_point() stands inside every atomic operation, lock, push
 * and park.  It sometimes gives the processor away or sleeps a little, so
 * that windows of a few instructions become windows of microseconds.
 * WEFT_CHAOS=p sets the chance in 1/1000 (default 5); WEFT_CHAOS_SEED the
 * seed, which is printed at the first use.
 * chaos_fail() is true now and then where an allocation may fail; only
 * WEFT_CHAOS_FAIL=p (in 1/1000000) turns it on, as most programs do not
 * expect it.
 */
#ifndef WEFT_CHAOS_H
#define WEFT_CHAOS_H

#include "base.h"

#ifdef WEFT_CHAOS
void co__chaos_point(void);
bool co__chaos_fail(void);
#define chaos_point()	co__chaos_point()
#define chaos_fail()	co__chaos_fail()
#else
#define chaos_point()	((void)0)
#define chaos_fail()	false
#endif

#endif

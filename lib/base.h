/* SPDX-License-Identifier: MIT */
/*
 * base.h - words that the whole library is written in.
 *
 * Layer 0.  Depends on nothing.
 */
#ifndef WEFT_BASE_H
#define WEFT_BASE_H

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define likely(x)	__builtin_expect(!!(x), 1)
#define unlikely(x)	__builtin_expect(!!(x), 0)
#define noinline	__attribute__((__noinline__))
#define cold		__attribute__((__cold__, __noinline__))
#define always_inline	inline __attribute__((__always_inline__))
#define not_null	__attribute__((__nonnull__))	/* all pointers */
#define CACHE_LINE	64
#define cache_aligned	__attribute__((__aligned__(CACHE_LINE)))

/* Of who calls a function of the user's: co_go and generators take an
   int fn(T *), which their macros check, and call it with a void *. */
#ifdef __clang__
#define calls_for_user	__attribute__((no_sanitize("function")))
#else
#define calls_for_user
#endif

/* On the export list (lib/weft.map); everything else stays hidden. */
#define EXPORT		__attribute__((visibility("default")))

#define container_of(ptr, type, member) \
	((type *)(void *)((char *)(ptr) - offsetof(type, member)))

#define ARRAY_LEN(a)	(sizeof(a) / sizeof((a)[0]))

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define WEFT_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define WEFT_TSAN 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define WEFT_ASAN 1
#endif
#ifdef __SANITIZE_THREAD__
#define WEFT_TSAN 1
#endif

static inline size_t
round_up(size_t n, size_t unit)
{
	return (n + unit - 1) & ~(unit - 1);
}

static inline size_t
round_down(size_t n, size_t unit)
{
	return n & ~(unit - 1);
}

#endif

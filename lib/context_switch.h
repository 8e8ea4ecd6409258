/* SPDX-License-Identifier: MIT */
/*
 * context_switch.h - which form of the switch this build uses.
 *
 * Layer 3.  Included at the end of context.h.
 *
 *	plain build, x86_64 or aarch64	context_jump() inline, context_asm.h
 *	-DWEFT_CONTEXT_CALL, sanitizers,
 *	other processors with asm/	context_jump() calls asm/
 *	-DWEFT_CONTEXT_BOOST		context_jump() calls Boost.Context
 *
 * Sanitizer builds switch in one function of context.c that is not
 * instrumented itself.  Everywhere else context_switch() is context_jump().
 */
#ifndef WEFT_CONTEXT_SWITCH_H
#define WEFT_CONTEXT_SWITCH_H

_Static_assert(offsetof(struct context, sp) == 0, "FRAME: asm/ knows it");

#if defined WEFT_CONTEXT_BOOST

/* What <boost/context/detail/fcontext.hpp> declares, in C. */
struct context_transfer {
	void *fctx;	/* whom we came from, as he can be resumed */
	void *data;
};
struct context_transfer jump_fcontext(void *to, void *data);
void *make_fcontext(void *hi, size_t size,
    void (*fn)(struct context_transfer));

/* Boost gives the saved point of whom we left to whom we go to: he notes it. */
static inline struct context *
context_jump(struct context *from, struct context *to)
{
	struct context_transfer t;

	if (unlikely(from == to))
		return from;	/* from->sp is not that of this moment */
	t = jump_fcontext(to->sp, from);
	((struct context *)t.data)->sp = t.fctx;
	return from;
}

#elif defined WEFT_CONTEXT_CALL || defined WEFT_ASAN || defined WEFT_TSAN || \
    !(defined __x86_64__ || defined __aarch64__)

void co__context_jump(struct context *from, struct context *to);

static always_inline struct context *
context_jump(struct context *from, struct context *to)
{
	co__context_jump(from, to);
	return from;
}

#else

#include "context_asm.h"
#define CONTEXT_HOP 1
#define CONTEXT_REST 1

#endif

#ifndef returns_by_jump
#define returns_by_jump
#endif

#if defined WEFT_ASAN || defined WEFT_TSAN

struct context *context_switch(struct context *from, struct context *to);
void context_leave(struct context *from, struct context *to);
void context_landed(void);
void context_drop(struct context *c);

#else

static always_inline struct context *
context_switch(struct context *from, struct context *to)
{
	return context_jump(from, to);
}

#ifdef CONTEXT_OFF
static always_inline void
context_leave(struct context *from, struct context *to)
{
	(void)from;
	context_off(to);
}
#else
static always_inline void
context_leave(struct context *from, struct context *to)
{
	(void)context_jump(from, to);
}
#endif

static always_inline void
context_landed(void)
{
}

static always_inline void
context_drop(struct context *c)
{
	c->sp = NULL;
}

#endif

#if defined CONTEXT_HOP
static always_inline void
context_hop_off(struct context *from, struct context *to)
{
	context_hop(from, to);
}
#else
static always_inline void
context_hop(struct context *from, struct context *to)
{
	(void)context_switch(from, to);
}

static always_inline void
context_hop_off(struct context *from, struct context *to)
{
	context_leave(from, to);
}
#endif

#endif

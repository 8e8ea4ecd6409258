/* SPDX-License-Identifier: MIT */
/*
 * context.h - a saved point of execution, and the switch between two.
 *
 * Layer 3.  The switch keeps what the ABI calls preserved across a call:
 * callee-saved registers and the floating point control words, which are
 * reloaded only when the two sides differ.  The x87 status is nobody's: it is
 * cleared for who has an exception unmasked, or he would trap for another's.
 *
 * On x86_64 and aarch64 the switch is inlined where tasks park (context_asm.h);
 * asm/ holds the same as functions, for builds that cannot inline it, and as
 * the text to read first.  --with-context=boost goes through Boost.Context.
 * Sanitizer builds tell the sanitizer about every switch.
 */
#ifndef WEFT_CONTEXT_H
#define WEFT_CONTEXT_H

#include "base.h"

struct context {
	void *sp;		/* FRAME: what it points to is in asm/ */
#ifdef WEFT_ASAN
	void *fake_stack;	/* ASan's, while this context is not running */
	const void *lo;		/* the stack that it runs on */
	size_t size;
#endif
#ifdef WEFT_TSAN
	void *fiber;
#endif
};

/*
 * Makes *c begin at entry() on the stack [lo, hi), with default control words.
 * entry never returns and calls context_landed() first.
 */
void context_make(struct context *c, void *lo, void *hi, void (*entry)(void));

/* Makes *c stand for the calling thread on its own stack. */
void context_adopt(struct context *c);

/*
 * static inline struct context *
 * context_switch(struct context *from, struct context *to);
 *	Saves the caller in *from and goes on in *to; returns `from` when
 *	somebody switches to it, perhaps on another thread.
 * static inline void context_leave(struct context *from, struct context *to);
 *	The same, when *from will never be switched to again.
 * static inline struct context *
 * context_rest(void **at, struct context *to);
 *	Where CONTEXT_REST is defined: leaves as context_leave().  The first
 *	switch to a context whose sp is what *at now is goes on here, with
 *	default control words; returns that context.
 * static inline void context_drop(struct context *c);
 *	After *c was left for good: gives back what the sanitizer keeps for it.
 * static inline void context_landed(void);
 *	The first thing to call in entry().
 * static inline void context_words_default(void);
 *	The control words as context_make() has them, for who goes on as
 *	another.
 */
#include "context_words.h"
#include "context_switch.h"

#endif

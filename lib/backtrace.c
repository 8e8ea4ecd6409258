/* SPDX-License-Identifier: MIT */
/*
 * backtrace.c - walking a coroutine's stack by its frame pointers.
 *
 * Layer 10.  The library is built with them.  A caller that is not costs the
 * names of its own frames at most: each address is held against the bounds of
 * the stack, each frame must lie above the one before, and the walk ends where
 * that is not so.
 *
 * The stack is copied in pieces, by the kernel (os_peek): another thread may
 * run on it meanwhile.
 */
#include "backtrace.h"
#include "os_look.h"

/* FRAME: where the frame pointer and the program counter lie in it, and, where
   the switch is a function, that function's return address. */
#if defined WEFT_CONTEXT_BOOST
enum { FRAME_FP = 0, FRAME_PC = 0, FRAME_RETURN = 0, WORKS = 0 };
#elif defined __x86_64__
enum { FRAME_FP = 0x08, FRAME_PC = 0x10, FRAME_RETURN = 0x40, WORKS = 1 };
#elif defined __aarch64__
enum { FRAME_FP = 0x00, FRAME_PC = 0x08, FRAME_RETURN = 0x70, WORKS = 1 };
#elif defined __riscv
enum { FRAME_FP = 0x00, FRAME_PC = 0x08, FRAME_RETURN = 0x78, WORKS = 1 };
#else
enum { FRAME_FP = 0, FRAME_PC = 0, FRAME_RETURN = 0, WORKS = 0 };
#endif

/* Where the pair of the caller's frame pointer and the return address lies. */
#if defined __riscv
enum { PAIR = -16 };
#else
enum { PAIR = 0 };
#endif

#if defined WEFT_CONTEXT_CALL || defined WEFT_ASAN || defined WEFT_TSAN || \
    !(defined __x86_64__ || defined __aarch64__)
enum { BY_CALL = 1 };
#else
enum { BY_CALL = 0 };
#endif

#if defined WEFT_CONTEXT_BOOST
static const char *const begin = NULL;
#else
extern const char co__context_begin[] __attribute__((visibility("hidden")));
static const char *const begin = co__context_begin;
#endif

const bool co__backtrace_works = WORKS;

struct window {			/* a piece of the stack */
	uintptr_t lo, hi;	/* of the stack */
	uintptr_t from;
	size_t n;		/* bytes, 0: none yet */
	uintptr_t word[64];
};

/* The two words at `at`.  False: they are not on the stack. */
static bool
read_pair(struct window *w, uintptr_t at, uintptr_t *ret_first,
    uintptr_t *ret_second)
{
	const size_t size = 2 * sizeof(uintptr_t);

	if (at % sizeof(uintptr_t) || at < w->lo || at > w->hi - size)
		return false;
	if (at < w->from || at + size > w->from + w->n) {
		w->from = at;
		w->n = w->hi - at < sizeof w->word ? w->hi - at :
		    sizeof w->word;
		if (!os_peek(w->word, (const void *)at, w->n))
			w->n = size;	/* the end of the map is near */
		if (w->n == size && !os_peek(w->word, (const void *)at, size)) {
			w->n = 0;
			return false;
		}
	}
	*ret_first = w->word[(at - w->from) / sizeof(uintptr_t)];
	*ret_second = w->word[(at - w->from) / sizeof(uintptr_t) + 1];
	return true;
}

static void
add(struct backtrace *b, uintptr_t pc)
{
	if (pc && b->n < BACKTRACE_MOST)
		b->pc[b->n++] = (const void *)pc;
}

static void
walk(struct window *w, struct backtrace *b, uintptr_t fp)
{
	uintptr_t next, back;

	while (b->n < BACKTRACE_MOST &&
	    read_pair(w, fp + (uintptr_t)PAIR, &next, &back) && back > 4096) {
		add(b, back);
		if (next <= fp)
			return;
		fp = next;
	}
}

void
backtrace_walk(struct backtrace *ret, uintptr_t pc, uintptr_t fp,
    uintptr_t lo, uintptr_t hi)
{
	struct window w = { .lo = lo, .hi = hi };

	add(ret, pc);
	walk(&w, ret, fp);
}

bool
backtrace_begun(const void *sp)
{
	uintptr_t pc;

	return !WORKS || !os_peek(&pc, (const char *)sp + FRAME_PC,
	    sizeof pc) || pc != (uintptr_t)begin;
}

bool
backtrace_parked(struct backtrace *ret, const void *sp, uintptr_t lo,
    uintptr_t hi)
{
	struct window w = { .lo = lo, .hi = hi };
	uintptr_t at = (uintptr_t)sp, fp, pc, rest;

	ret->n = 0;
	if (!WORKS || !read_pair(&w, at + FRAME_FP, &fp, &pc) ||
	    pc == (uintptr_t)begin)
		return false;
	add(ret, pc);
	if (BY_CALL && read_pair(&w, at + FRAME_RETURN, &pc, &rest))
		add(ret, pc);
	walk(&w, ret, fp);
	return true;
}

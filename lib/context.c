/* SPDX-License-Identifier: MIT */
/*
 * context.c - a context that has not begun, and what sanitizers must be told.
 *
 * Layer 3.  Invariants:
 *
 *	C3  a context made here, one that was switched away from and one that
 *	    rests look alike (FRAME, drawn in asm/): the switch does not ask
 *	    which it resumes.
 *	C4  under ASan and TSan nothing that is instrumented runs between the
 *	    announcement of a switch and the switch.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE		/* pthread_getattr_np */
#endif

#include "context.h"
#include "atomic.h"
#include "bug.h"

#if defined WEFT_ASAN
#include <pthread.h>
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined WEFT_TSAN
#include <pthread.h>
#include <sanitizer/tsan_interface.h>

#include "os.h"
#endif

#if defined WEFT_CONTEXT_BOOST

/*
 * A context of Boost's learns nothing from who starts it but one pointer, which
 * every switch already uses.  So it is started once to be told its entry.  It
 * would begin with the control words of who made it.
 */
static void
boost_begin(struct context_transfer t)
{
	void (*entry)(void) = (void (*)(void))t.data;

	t = jump_fcontext(t.fctx, NULL);
	((struct context *)t.data)->sp = t.fctx;
	context_words_default();
	entry();
	bug("entry() of a context returned");
}

static void *
frame_make(void *lo, void *hi, void (*entry)(void))
{
	void *sp = make_fcontext(hi, (size_t)((char *)hi - (char *)lo),
	    boost_begin);

	return jump_fcontext(sp, (void *)entry).fctx;
}

static void
processor_known(void)
{
}

#elif defined __x86_64__

extern const char co__context_begin[] __attribute__((visibility("hidden")));

struct frame {			/* FRAME */
	uint32_t mxcsr;
	uint16_t x87cw;
	uint16_t nothing;
	void *rbp;
	const void *rip;
	void (*entry)(void);
	void *end[2];
};
_Static_assert(offsetof(struct frame, entry) == 0x18, "FRAME");
_Static_assert(sizeof(struct frame) == 0x30, "FRAME");

static void *
frame_make(void *lo, void *hi, void (*entry)(void))
{
	struct frame *f = (struct frame *)hi - 1;

	(void)lo;
	f->mxcsr = MXCSR_DEFAULT;
	f->x87cw = X87CW_DEFAULT;
	f->nothing = 0;
	f->rbp = NULL;
	f->rip = co__context_begin;
	f->entry = entry;
	f->end[0] = f->end[1] = NULL;
	return f;
}

static void
processor_known(void)
{
	a_store_relaxed(&co__context_reload, __builtin_cpu_is("amd") ? 1 : 0);
}

#elif defined __aarch64__

extern const char co__context_begin[] __attribute__((visibility("hidden")));

struct frame {			/* FRAME */
	void *x29;
	const void *pc;
	uint64_t fpcr;
	uint64_t nothing;
	void (*entry)(void);
	void *top;
};
_Static_assert(offsetof(struct frame, entry) == 0x20, "FRAME");
_Static_assert(sizeof(struct frame) == 0x30, "FRAME");

static void *
frame_make(void *lo, void *hi, void (*entry)(void))
{
	struct frame *f = (struct frame *)hi - 1;

	(void)lo;
	f->x29 = NULL;
	f->pc = co__context_begin;
	f->fpcr = 0;		/* as a process begins */
	f->entry = entry;
	return f;
}

static void
processor_known(void)
{
}

#elif defined __riscv && __riscv_xlen == 64 && defined __riscv_float_abi_double

extern const char co__context_begin[] __attribute__((visibility("hidden")));

struct frame {			/* FRAME */
	void *s0;
	const void *pc;
	uint64_t frm;
	uint64_t nothing;
	void (*entry)(void);
	void *top;
};
_Static_assert(offsetof(struct frame, entry) == 0x20, "FRAME");
_Static_assert(sizeof(struct frame) == 0x30, "FRAME");

static void *
frame_make(void *lo, void *hi, void (*entry)(void))
{
	struct frame *f = (struct frame *)hi - 1;

	(void)lo;
	f->s0 = NULL;
	f->pc = co__context_begin;
	f->frm = 0;		/* to nearest, as a process begins */
	f->entry = entry;
	return f;
}

static void
processor_known(void)
{
}

#else
#error "no switch for this processor: configure --with-context=boost"
#endif

/*
 * One set of three for each kind of build.  bounds_*: what ASan keeps;
 * fiber_*: what TSan keeps.
 */
#if defined WEFT_ASAN

/*
 * A stack that was left for good still carries the poison of frames that never
 * returned; the next coroutine on it must not trip over them.
 */
static void
bounds_make(struct context *c, void *lo, void *hi)
{
	c->fake_stack = NULL;
	c->lo = lo;
	c->size = (size_t)((char *)hi - (char *)lo);
	__asan_unpoison_memory_region(lo, c->size);
}

static void
bounds_adopt(struct context *c)
{
	pthread_attr_t attr;
	void *lo;

	c->fake_stack = NULL;
	bug_if(pthread_getattr_np(pthread_self(), &attr) != 0);
	pthread_attr_getstack(&attr, &lo, &c->size);
	pthread_attr_destroy(&attr);
	c->lo = lo;
}

#define bounds_switch(save, to) \
	__sanitizer_start_switch_fiber((save), (to)->lo, (to)->size)
#define bounds_landed(fake) \
	__sanitizer_finish_switch_fiber((fake), NULL, NULL)
#define CONTEXT_FAKE(c)	((c)->fake_stack)
#define CONTEXT_FAKE_AT(c)	(&(c)->fake_stack)

#else

static inline void
bounds_make(struct context *c, void *lo, void *hi)
{
	(void)c, (void)lo, (void)hi;
}

static inline void
bounds_adopt(struct context *c)
{
	(void)c;
}

#define bounds_switch(save, to)		((void)(save), (void)(to))
#define bounds_landed(fake)		((void)(fake))
#define CONTEXT_FAKE(c)			NULL
#define CONTEXT_FAKE_AT(c)		NULL

#endif

#if defined WEFT_TSAN

/*
 * 0: every switch counts as an edge.  With 1 (no_sync) a switch alone orders
 * nothing, and TSan reports all that a worker keeps for itself: its queue, its
 * stacks, its timers are plain data that one coroutine after the other touches.
 * The price: races between two coroutines are seen only while they are on
 * different workers.
 */
#define CONTEXT_NO_SYNC	0

/*
 * TSan keeps a signal back until the fiber that it came upon next calls what
 * TSan intercepts.  Were that fiber switched away from, the signal would wait
 * for it, which may wait for just that signal.  So none comes between here,
 * where what was kept back is handled, and the next fiber.  Nor while a fiber
 * is made or destroyed: TSan switches to it meanwhile.
 */
static __thread sigset_t let_through;	/* used in noinline ones alone */

static noinline void
signals_hold(void)
{
	os_signals_block(&let_through);
}

static noinline void
signals_release(void)
{
	pthread_sigmask(SIG_SETMASK, &let_through, NULL);
}

#define fiber_adopt(c)	((void)((c)->fiber = __tsan_get_current_fiber()))
#define fiber_switch(c)	__tsan_switch_to_fiber((c)->fiber, CONTEXT_NO_SYNC)

static void
fiber_make(struct context *c)
{
	signals_hold();
	c->fiber = __tsan_create_fiber(0);
	signals_release();
}

/* An adopted context has the fiber of its thread, which is not ours. */
static void
fiber_drop(struct context *c)
{
	if (c->fiber && c->fiber != __tsan_get_current_fiber()) {
		signals_hold();
		__tsan_destroy_fiber(c->fiber);
		signals_release();
	}
	c->fiber = NULL;
}

#else

#define fiber_make(c)	((void)(c))
#define fiber_adopt(c)	((void)(c))
#define fiber_switch(c)	((void)(c))
#define fiber_drop(c)	((void)(c))
#define signals_hold()	((void)0)
#define signals_release()	((void)0)

#endif

void
context_make(struct context *c, void *lo, void *hi, void (*entry)(void))
{
	bounds_make(c, lo, hi);
	fiber_make(c);
	c->sp = frame_make(lo, (void *)round_down((uintptr_t)hi, 16), entry);
}

void
context_adopt(struct context *c)
{
	processor_known();
	c->sp = NULL;		/* until it is switched away from */
	bounds_adopt(c);
	fiber_adopt(c);
}

#if defined WEFT_ASAN || defined WEFT_TSAN

void
context_drop(struct context *c)
{
	fiber_drop(c);
	c->sp = NULL;
}

#define uninstrumented \
	noinline __attribute__((no_sanitize("address"), no_sanitize("thread")))

uninstrumented struct context *
context_switch(struct context *from, struct context *to)
{
	signals_hold();
	bounds_switch(CONTEXT_FAKE_AT(from), to);
	fiber_switch(to);
	(void)context_jump(from, to);
	bounds_landed(CONTEXT_FAKE(from));
	signals_release();
	return from;
}

uninstrumented void
context_leave(struct context *from, struct context *to)
{
	signals_hold();
	bounds_switch(NULL, to);
	fiber_switch(to);
	(void)context_jump(from, to);
	bug("a context that was left for good goes on");
}

uninstrumented void
context_landed(void)
{
	bounds_landed(NULL);
	signals_release();
}

#endif

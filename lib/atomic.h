/* SPDX-License-Identifier: MIT */
/*
 * atomic.h - every atomic operation of the library.
 *
 * Layer 0.  The order stands in the name; there is no default.  The chaos
 * build disturbs each of them.  Plain types are used with the builtins, so a
 * field that is sometimes touched under a lock and sometimes atomically needs
 * no second declaration.
 *
 * Two fences make a pair for Dekker's pattern (each side stores, then loads
 * what the other stores):
 *
 *	often			rarely
 *	store x			store y
 *	a_light_barrier()	a_heavy_barrier()
 *	load y			load x
 *
 * At least one of the two loads sees the other side's store.  The heavy one is
 * membarrier(2): the kernel runs a full fence on every processor that runs a
 * thread of ours, so the light one needs only to keep the compiler in order.
 * Where the kernel has no such call, both are full fences.
 */
#ifndef WEFT_ATOMIC_H
#define WEFT_ATOMIC_H

#include "base.h"
#include "chaos.h"

#ifdef WEFT_EXPLORE
#include <explore_atomic.h>	/* the same for models: tests/explore/ */
#else

#define a_load_relaxed(p)	__atomic_load_n((p), __ATOMIC_RELAXED)
#define a_load_acquire(p) \
	(chaos_point(), __atomic_load_n((p), __ATOMIC_ACQUIRE))
#define a_load_seqcst(p) \
	(chaos_point(), __atomic_load_n((p), __ATOMIC_SEQ_CST))
#define a_store_relaxed(p, v)	__atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define a_store_release(p, v) \
	(chaos_point(), __atomic_store_n((p), (v), __ATOMIC_RELEASE))
#define a_xchg_acquire(p, v) \
	(chaos_point(), __atomic_exchange_n((p), (v), __ATOMIC_ACQUIRE))
#define a_xchg_acqrel(p, v) \
	(chaos_point(), __atomic_exchange_n((p), (v), __ATOMIC_ACQ_REL))
#define a_xchg_seqcst(p, v) \
	(chaos_point(), __atomic_exchange_n((p), (v), __ATOMIC_SEQ_CST))
#define a_add_relaxed(p, v)	__atomic_fetch_add((p), (v), __ATOMIC_RELAXED)
#define a_add_acqrel(p, v) \
	(chaos_point(), __atomic_fetch_add((p), (v), __ATOMIC_ACQ_REL))
#define a_add_seqcst(p, v) \
	(chaos_point(), __atomic_fetch_add((p), (v), __ATOMIC_SEQ_CST))
#define a_or_seqcst(p, v) \
	(chaos_point(), __atomic_fetch_or((p), (v), __ATOMIC_SEQ_CST))
#define a_and_seqcst(p, v) \
	(chaos_point(), __atomic_fetch_and((p), (v), __ATOMIC_SEQ_CST))
/* CAS: true when *p was `old` and is now `new`. */
#define a_cas_acquire(p, old, new)	a__cas(p, old, new, __ATOMIC_ACQUIRE)
#define a_cas_acqrel(p, old, new)	a__cas(p, old, new, __ATOMIC_ACQ_REL)
#define a_cas_seqcst(p, old, new)	a__cas(p, old, new, __ATOMIC_SEQ_CST)
#define a__cas(p, old, new, order) __extension__ ({ \
	__typeof__(*(p)) a__old = (old); \
	chaos_point(); \
	__atomic_compare_exchange_n((p), &a__old, (new), false, (order), \
	    __ATOMIC_RELAXED); })

#define a_compiler_barrier()	__asm__ volatile("" ::: "memory")

#ifdef WEFT_TSAN
/* TSan knows no fences; a read-modify-write of one word is as strong. */
extern uint32_t co__tsan_fence;
#define a_fence_seqcst()	((void)a_add_seqcst(&co__tsan_fence, 0))
#else
#define a_fence_seqcst()	__atomic_thread_fence(__ATOMIC_SEQ_CST)
#endif

/* What this thread stores from here on comes after what it has stored.  (Who
   reads it, by os_peek, is no thread that TSan could see.) */
#ifdef WEFT_TSAN
#define a_fence_release()	a_compiler_barrier()
#else
#define a_fence_release()	__atomic_thread_fence(__ATOMIC_RELEASE)
#endif

/* True when membarrier(2) is there.  [written before the first worker runs] */
extern bool co__have_membarrier;

static always_inline void
a_light_barrier(void)
{
	chaos_point();
	a_compiler_barrier();
	if (unlikely(!co__have_membarrier))
		a_fence_seqcst();
}

/* In os_linux.c.  About 2 us, and 1 us for each thread it interrupts. */
void a_heavy_barrier(void);

static inline void
a_pause(void)
{
#if defined __x86_64__
	__builtin_ia32_pause();
#elif defined __aarch64__
	__asm__ volatile("isb" ::: "memory");
#else
	a_compiler_barrier();
#endif
}

#endif
#endif

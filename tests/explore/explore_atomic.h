/* SPDX-License-Identifier: MIT */
/*
 * explore_atomic.h - the operations of lib/atomic.h, for models in C.
 *
 * Stands in lib/atomic.h where that is compiled with -DWEFT_EXPLORE.  Each
 * operation first asks the explorer (explore.h), which may let other threads of
 * the model run, and which says where to find or to put the value.
 */
#ifndef WEFT_EXPLORE_ATOMIC_H
#define WEFT_EXPLORE_ATOMIC_H

#include "explore_site.h"

#define explore__site(op, text) __extension__ ({ \
	static struct explore_site explore__here = { \
		op, __FILE__, __LINE__, __func__, text, 0, 0 }; \
	&explore__here; })

#define explore__load(p) \
	__atomic_load_n((__typeof__(p))explore_load( \
	    explore__site(OP_LOAD, #p), (p), sizeof *(p)), __ATOMIC_RELAXED)

#define explore__store(p, v) __extension__ ({ \
	__typeof__(*(p)) explore__v = (v); \
	__atomic_store_n((__typeof__(p))explore_store( \
	    explore__site(OP_STORE, #p), (p), sizeof *(p)), explore__v, \
	    __ATOMIC_RELAXED); \
	explore_stored(); })

#define explore__change(builtin, p, v) __extension__ ({ \
	__typeof__(*(p)) explore__d = (v); \
	__typeof__(*(p)) explore__was = builtin((__typeof__(p)) \
	    explore_change(explore__site(OP_CHANGE, #p), (p), sizeof *(p)), \
	    explore__d, __ATOMIC_SEQ_CST); \
	explore_changed(); \
	explore__was; })

#define explore__cas(p, old, new) __extension__ ({ \
	__typeof__(*(p)) explore__old = (old), explore__new = (new); \
	bool explore__done = __atomic_compare_exchange_n((__typeof__(p)) \
	    explore_cas(explore__site(OP_CAS, #p), (p), sizeof *(p), \
	    &explore__old), &explore__old, explore__new, false, \
	    __ATOMIC_SEQ_CST, __ATOMIC_RELAXED); \
	explore_changed(); \
	explore__done; })

#define a_load_relaxed(p)	explore__load(p)
#define a_load_acquire(p)	explore__load(p)
#define a_load_seqcst(p)	explore__load(p)
#define a_store_relaxed(p, v)	explore__store(p, v)
#define a_store_release(p, v)	explore__store(p, v)
#define a_xchg_acquire(p, v)	explore__change(__atomic_exchange_n, p, v)
#define a_xchg_acqrel(p, v)	explore__change(__atomic_exchange_n, p, v)
#define a_xchg_seqcst(p, v)	explore__change(__atomic_exchange_n, p, v)
#define a_add_relaxed(p, v)	explore__change(__atomic_fetch_add, p, v)
#define a_add_acqrel(p, v)	explore__change(__atomic_fetch_add, p, v)
#define a_add_seqcst(p, v)	explore__change(__atomic_fetch_add, p, v)
#define a_or_seqcst(p, v)	explore__change(__atomic_fetch_or, p, v)
#define a_and_seqcst(p, v)	explore__change(__atomic_fetch_and, p, v)
#define a_cas_acquire(p, old, new)	explore__cas(p, old, new)
#define a_cas_acqrel(p, old, new)	explore__cas(p, old, new)
#define a_cas_seqcst(p, old, new)	explore__cas(p, old, new)

#define a_compiler_barrier()	__asm__ volatile("" ::: "memory")
/* Loads and stores keep their order; stores may only come late. */
#define a_fence_release()	a_compiler_barrier()
#define a_fence_seqcst()	explore_fence(explore__site(OP_FENCE, ""))

/* A model may say that there is no membarrier(2). */
extern bool co__have_membarrier;

#define a_light_barrier()	explore_light(explore__site(OP_LIGHT, ""))
#define a_heavy_barrier()	explore_heavy(explore__site(OP_HEAVY, ""))
#define a_pause()		explore_pause(explore__site(OP_PAUSE, ""))

#endif

/* SPDX-License-Identifier: MIT */
/*
 * context_words.h - the control words of floating point, as a process begins.
 *
 * Layer 3.  Included at the end of context.h.
 */
#ifndef WEFT_CONTEXT_WORDS_H
#define WEFT_CONTEXT_WORDS_H

#if defined __x86_64__

enum {
	MXCSR_DEFAULT = 0x1f80,	/* exceptions masked, to nearest */
	X87CW_DEFAULT = 0x37f	/* the same, 64 bits of mantissa */
};

/*
 * 1: reload the control words without a look at the old ones.  Reading back
 * what stmxcsr has just stored is dear on AMD's processors, ldmxcsr on Intel's:
 * a bare switch takes 5.0 against 6.3 ns on Zen 4, and 4.7 against 3.0 on
 * Sapphire Rapids.  [atomic; context_adopt writes it, always the same]
 */
extern uint8_t co__context_reload __attribute__((visibility("hidden")));

static always_inline void
context_words_default(void)
{
	static const uint32_t mxcsr = MXCSR_DEFAULT;
	static const uint16_t x87cw = X87CW_DEFAULT;

	__asm__ volatile("ldmxcsr %0; fldcw %1" : : "m"(mxcsr), "m"(x87cw));
}

#elif defined __aarch64__

/* Writing FPCR is slow, reading it is not. */
static always_inline void
context_words_default(void)
{
	uint64_t fpcr;

	__asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
	if (unlikely(fpcr != 0))
		__asm__ volatile("msr fpcr, xzr");
}

#elif defined __riscv_flen

static always_inline void
context_words_default(void)
{
	__asm__ volatile("fsrm zero");
}

#else

static always_inline void
context_words_default(void)
{
}

#endif

#endif

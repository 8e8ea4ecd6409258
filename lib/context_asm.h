/* SPDX-License-Identifier: MIT */
/*
 * context_asm.h - the switch as inline assembly: x86_64 and aarch64.
 *
 * Layer 3.  Used by context_switch.h only.  The FRAME is the one of asm/, where
 * it is drawn and where each instruction has its comment; here the saved
 * registers above it are left out, as the compiler is told that all of them
 * change: it spills only those that hold something.  On Zen 4, where storing
 * MXCSR alone takes 4.4 ns, a bare switch takes 5.0 ns, the call 5.5; between
 * two frames on each side it is 15.8 against 17.1, and return addresses that
 * the processor guessed wrong are most of that.
 *
 * True for both forms, so that either can resume what the other has saved:
 *
 *	C1  whoever resumes a context sets the stack pointer to context.sp,
 *	    loads the control words and the frame pointer from the frame there
 *	    and jumps to the address in it, with the context's own address as
 *	    his second argument (rsi, x1); nothing else.
 *	C2  the code at that address takes the frame off, and restores whatever
 *	    it has saved above it.
 *
 * By C1 context_jump gives who was resumed his own context, which the compiler
 * then need not keep in memory meanwhile.
 *
 * It ends in an indirect jump.  A `ret` would be predicted to return to the
 * last caller, which is the wrong one after a switch.
 *
 * The frame address is an operand only to make the compiler keep a frame
 * pointer in the functions that switch: the unwinder then finds the caller
 * also in the middle, when the stack pointer is not where the compiler thinks.
 */
#ifndef WEFT_CONTEXT_ASM_H
#define WEFT_CONTEXT_ASM_H

#if defined __x86_64__

/* These may be named only where the compiler may use them. */
#if defined __AVX512F__
#define CONTEXT_CLOBBER_AVX512 \
	"xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", \
	"xmm23", "xmm24", "xmm25", "xmm26", "xmm27", "xmm28", "xmm29", \
	"xmm30", "xmm31", "k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7",
#else
#define CONTEXT_CLOBBER_AVX512
#endif

#define CONTEXT_CLOBBER \
	"rax", "rbx", "rcx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", \
	"r15", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", \
	"xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", \
	"xmm15", CONTEXT_CLOBBER_AVX512 "mm0", "mm1", "mm2", "mm3", "mm4", \
	"mm5", "mm6", "mm7", "st", "st(1)", "st(2)", "st(3)", "st(4)", \
	"st(5)", "st(6)", "st(7)", "memory", "cc"

/* Where an indirect jump goes to. */
#if defined __CET__ && (__CET__ & 1)
#define CONTEXT_ENDBR	"endbr64\n\t"
#else
#define CONTEXT_ENDBR		/* nothing looks for it, and it takes time */
#endif

/*
 * The 128 bytes below the stack pointer are the red zone: a function that
 * calls nothing keeps its locals there, and a function may well call nothing
 * but us.  No compiler of today says whether it does, so the frame goes below;
 * one `lea` makes both steps, so the price is only where the frame lies.
 */
static always_inline struct context *
context_jump(struct context *from, struct context *to)
{
	void *frame = __builtin_frame_address(0);

	__asm__ volatile(
	    "leaq	-152(%%rsp), %%rsp\n\t"
	    "leaq	1f(%%rip), %%rax\n\t"
	    "movq	%%rax, 16(%%rsp)\n\t"
	    "movq	%%rbp, 8(%%rsp)\n\t"
	    "stmxcsr	(%%rsp)\n\t"
	    "fnstcw	4(%%rsp)\n\t"
	    "movq	%%rsp, (%%rdi)\n\t"
	    "cmpb	$0, co__context_reload(%%rip)\n\t"
	    "jne	2f\n\t"
	    "movl	(%%rsp), %%ecx\n\t"
	    "movzwl	4(%%rsp), %%edx\n\t"
	    "movq	(%%rsi), %%rsp\n\t"
	    "xorl	(%%rsp), %%ecx\n\t"
	    "testl	$0xffc0, %%ecx\n\t"
	    "jne	3f\n\t"
	    "cmpw	4(%%rsp), %%dx\n\t"
	    "jne	3f\n"
	    "4:\tmovq	8(%%rsp), %%rbp\n\t"
	    "jmpq	*16(%%rsp)\n"
	    "2:\tmovq	(%%rsi), %%rsp\n"
	    "3:\tldmxcsr (%%rsp)\n\t"
	    "cmpb	$0x7f, 4(%%rsp)\n\t"
	    "jne	6f\n"
	    "5:\tfldcw	4(%%rsp)\n\t"
	    "jmp	4b\n"
	    "6:\tfnclex\n\t"
	    "jmp	5b\n"
	    "1:\t" CONTEXT_ENDBR
	    "leaq	152(%%rsp), %%rsp"
	    : "+D"(from), "+S"(to), "+d"(frame)
	    :
	    : CONTEXT_CLOBBER);
	return to;
}

/*
 * Goes to the context that rsi points to.  The control words of who leaves so
 * are not kept, and not read: storing MXCSR is most of a switch on Zen, loading
 * both words 1.5 ns.
 */
#define CONTEXT_GO \
	"movq	(%%rsi), %%rsp\n\t" \
	"ldmxcsr	(%%rsp)\n\t" \
	"cmpb	$0x7f, 4(%%rsp)\n\t" \
	"jne	8f\n" \
	"9:\tfldcw	4(%%rsp)\n\t" \
	"movq	8(%%rsp), %%rbp\n\t" \
	"jmpq	*16(%%rsp)\n" \
	"8:\tfnclex\n\t" \
	"jmp	9b\n"

static always_inline void
context_off(struct context *to)
{
	void *frame = __builtin_frame_address(0);

	__asm__ volatile(CONTEXT_GO : : "S"(to), "d"(frame) : "memory");
	__builtin_unreachable();
}
#define CONTEXT_OFF 1

/* See context.h. */
static always_inline struct context *
context_rest(void **at, struct context *to)
{
	void *frame = __builtin_frame_address(0);

	__asm__ volatile(
	    "leaq	-152(%%rsp), %%rsp\n\t"
	    "leaq	1f(%%rip), %%rax\n\t"
	    "movabsq	%[words], %%rcx\n\t"
	    "movq	%%rax, 16(%%rsp)\n\t"
	    "movq	%%rbp, 8(%%rsp)\n\t"
	    "movq	%%rcx, (%%rsp)\n\t"
	    "movq	%%rsp, (%%rdi)\n\t"
	    CONTEXT_GO
	    "1:\t" CONTEXT_ENDBR
	    "leaq	152(%%rsp), %%rsp"
	    : "+D"(at), "+S"(to), "+d"(frame)
	    : [words]"i"((uint64_t)X87CW_DEFAULT << 32 | MXCSR_DEFAULT)
	    : CONTEXT_CLOBBER);
	return to;
}

/*
 * For a function that is entered to wait, jumped to by the user's call, and
 * switches in its own frame: it returns by an indirect jump.  A `ret` goes by
 * the calls that were made last, and those are of the coroutine that was left:
 * unless both wait in the same line of code it goes wrong each time, some 35
 * cycles on Sapphire Rapids (a message of bench/pingpong: 29.8 ns with ret,
 * 16.2 so).  A jump goes by where it went before.  What it costs: one call too
 * many stays in the predictor, and a function between this one and the loop
 * that waits returns wrongly; so it is not for functions that usually do not
 * wait.
 *
 * The compiler jumps to __x86_return_thunk (asm/) where it would return.
 */
#if defined __has_attribute && !defined WEFT_EXPLORE && \
    !defined __code_model_large__
#if __has_attribute(function_return)
#define returns_by_jump	__attribute__((function_return("thunk-extern")))
#endif
#endif

/* Between two that share the control words: the same FRAME without them. */
static always_inline void
context_hop(struct context *from, struct context *to)
{
	void *frame = __builtin_frame_address(0);

	__asm__ volatile(
	    "leaq	-152(%%rsp), %%rsp\n\t"
	    "leaq	1f(%%rip), %%rax\n\t"
	    "movq	%%rax, 16(%%rsp)\n\t"
	    "movq	%%rbp, 8(%%rsp)\n\t"
	    "movq	%%rsp, (%%rdi)\n\t"
	    "movq	(%%rsi), %%rsp\n\t"
	    "movq	8(%%rsp), %%rbp\n\t"
	    "jmpq	*16(%%rsp)\n"
	    "1:\t" CONTEXT_ENDBR
	    "leaq	152(%%rsp), %%rsp"
	    : "+D"(from), "+S"(to), "+d"(frame)
	    :
	    : CONTEXT_CLOBBER);
}

#elif defined __aarch64__

#define CONTEXT_CLOBBER \
	"x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", \
	"x13", "x14", "x15", "x16", "x17", "x18", "x19", "x20", "x21", \
	"x22", "x23", "x24", "x25", "x26", "x27", "x28", "x30", \
	"v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", \
	"v11", "v12", "v13", "v14", "v15", "v16", "v17", "v18", "v19", \
	"v20", "v21", "v22", "v23", "v24", "v25", "v26", "v27", "v28", \
	"v29", "v30", "v31", "p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7", \
	"p8", "p9", "p10", "p11", "p12", "p13", "p14", "p15", "memory", "cc"

/* Goes to the context that x1 points to.  FPCR, which is in x3, is written only
   if it differs. */
#define CONTEXT_GO \
	"ldr	x4, [x1]\n\t" \
	"mov	sp, x4\n\t" \
	"ldr	x5, [sp, #16]\n\t" \
	"cmp	x3, x5\n\t" \
	"b.ne	8f\n" \
	"9:\tldp	x29, x16, [sp]\n\t" \
	"br	x16\n" \
	"8:\tmsr	fpcr, x5\n\t" \
	"b	9b\n"

/* There is no red zone in AAPCS64 as Linux uses it.  `hint #36` is bti j. */
static always_inline struct context *
context_jump(struct context *from, struct context *to)
{
	register struct context *x0 __asm__("x0") = from;
	register struct context *x1 __asm__("x1") = to;
	register void *x2 __asm__("x2") = __builtin_frame_address(0);

	__asm__ volatile(
	    "adr	x16, 1f\n\t"
	    "stp	x29, x16, [sp, #-32]!\n\t"
	    "mrs	x3, fpcr\n\t"
	    "str	x3, [sp, #16]\n\t"
	    "mov	x4, sp\n\t"
	    "str	x4, [x0]\n\t"
	    CONTEXT_GO
	    "1:\thint	#36\n\t"
	    "add	sp, sp, #32"
	    : "+r"(x0), "+r"(x1), "+r"(x2)
	    :
	    : CONTEXT_CLOBBER);
	return x1;
}

/* See context.h. */
static always_inline struct context *
context_rest(void **at, struct context *to)
{
	register void **x0 __asm__("x0") = at;
	register struct context *x1 __asm__("x1") = to;
	register void *x2 __asm__("x2") = __builtin_frame_address(0);

	__asm__ volatile(
	    "adr	x16, 1f\n\t"
	    "stp	x29, x16, [sp, #-32]!\n\t"
	    "str	xzr, [sp, #16]\n\t"
	    "mov	x4, sp\n\t"
	    "str	x4, [x0]\n\t"
	    "mrs	x3, fpcr\n\t"
	    CONTEXT_GO
	    "1:\thint	#36\n\t"
	    "add	sp, sp, #32"
	    : "+r"(x0), "+r"(x1), "+r"(x2)
	    :
	    : CONTEXT_CLOBBER);
	return x1;
}

/* Between two that share the control word: the same FRAME without it. */
static always_inline void
context_hop(struct context *from, struct context *to)
{
	register struct context *x0 __asm__("x0") = from;
	register struct context *x1 __asm__("x1") = to;
	register void *x2 __asm__("x2") = __builtin_frame_address(0);

	__asm__ volatile(
	    "adr	x16, 1f\n\t"
	    "stp	x29, x16, [sp, #-32]!\n\t"
	    "mov	x4, sp\n\t"
	    "str	x4, [x0]\n\t"
	    "ldr	x4, [x1]\n\t"
	    "mov	sp, x4\n\t"
	    "ldp	x29, x16, [sp]\n\t"
	    "br	x16\n"
	    "1:\thint	#36\n\t"
	    "add	sp, sp, #32"
	    : "+r"(x0), "+r"(x1), "+r"(x2)
	    :
	    : CONTEXT_CLOBBER);
}

#endif

#endif

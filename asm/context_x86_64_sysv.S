/* SPDX-License-Identifier: MIT */
/*
 * context_x86_64_sysv.S - the switch for x86_64, System V ABI.
 *
 * FRAME.  context.sp points to it; the same for the inline form in
 * lib/context_asm.h and for context_make() in lib/context.c:
 *
 *	sp + 0x00	MXCSR, 4 bytes
 *	sp + 0x04	x87 control word, 2 bytes; 2 bytes nothing
 *	sp + 0x08	rbp
 *	sp + 0x10	rip: where to go on, with rsp = sp
 *
 * What lies above is the business of the code at that rip.  co__context_jump
 * keeps there what the ABI calls preserved:
 *
 *	sp + 0x18	r12
 *	sp + 0x20	r13
 *	sp + 0x28	r14
 *	sp + 0x30	r15
 *	sp + 0x38	rbx
 *	sp + 0x40	return address of co__context_jump
 *
 * and a context that has not begun (context_make):
 *
 *	sp + 0x18	entry
 *	sp + 0x20	0, where an unwinder without CFI looks for a return
 *	sp + 0x28	0; then the top of the stack
 *
 * The direction flag is clear and the x87 stack empty, as at any call.
 */
#include "endbr.h"

	.text

/* void co__context_jump(struct context *from: rdi, struct context *to: rsi) */
	.globl	co__context_jump
	.hidden	co__context_jump
	.type	co__context_jump, @function
	.p2align 4
co__context_jump:
	.cfi_startproc
	ENDBR				/* we may be called by pointer */
	leaq	-0x40(%rsp), %rsp	/* room for all but the return */
	.cfi_adjust_cfa_offset 0x40
	leaq	.Lresume(%rip), %rax	/* where this side will go on */
	movq	%r12, 0x18(%rsp)	/* save what our caller relies on */
	.cfi_rel_offset %r12, 0x18
	movq	%r13, 0x20(%rsp)
	.cfi_rel_offset %r13, 0x20
	movq	%r14, 0x28(%rsp)
	.cfi_rel_offset %r14, 0x28
	movq	%r15, 0x30(%rsp)
	.cfi_rel_offset %r15, 0x30
	movq	%rbx, 0x38(%rsp)
	.cfi_rel_offset %rbx, 0x38
	movq	%rax, 0x10(%rsp)	/* the FRAME: rip, */
	movq	%rbp, 0x08(%rsp)	/* rbp, */
	.cfi_rel_offset %rbp, 0x08
	stmxcsr	0x00(%rsp)		/* SSE control and status, */
	fnstcw	0x04(%rsp)		/* x87 control, without a wait */
	movq	%rsp, (%rdi)		/* from->sp: this side can be resumed */
	cmpb	$0, co__context_reload(%rip)	/* a processor that rather */
	jne	2f			/* reloads than looks? */
	movl	0x00(%rsp), %ecx	/* read back as wide as stored: */
	movzwl	0x04(%rsp), %edx	/* it comes from the store buffer */
	movq	(%rsi), %rsp		/* to->sp: we are on the other stack; */
					/* its frame is alike: CFI holds */
	xorl	0x00(%rsp), %ecx	/* bits that differ */
	testl	$0xffc0, %ecx		/* control only; 0x3f is status */
	jne	3f			/* rare: forwards */
	cmpw	0x04(%rsp), %dx		/* same x87 control word? */
	jne	3f			/* rare */
1:	movq	0x08(%rsp), %rbp	/* the other side's frame pointer */
	jmpq	*0x10(%rsp)		/* not ret: see lib/context_asm.h */
2:	movq	(%rsi), %rsp		/* to->sp */
3:	ldmxcsr	0x00(%rsp)		/* brings its status flags along */
	cmpb	$0x7f, 0x04(%rsp)	/* all x87 exceptions masked? */
	jne	5f			/* rare */
4:	fldcw	0x04(%rsp)
	jmp	1b
5:	fnclex				/* what this side has masked and had */
	jmp	4b			/* is not to trap on the other */

.Lresume:
	ENDBR				/* an indirect jump comes here */
	movq	0x18(%rsp), %r12	/* what we saved above the FRAME */
	.cfi_restore %r12
	movq	0x20(%rsp), %r13
	.cfi_restore %r13
	movq	0x28(%rsp), %r14
	.cfi_restore %r14
	movq	0x30(%rsp), %r15
	.cfi_restore %r15
	movq	0x38(%rsp), %rbx
	.cfi_restore %rbx
	.cfi_restore %rbp
	movq	0x40(%rsp), %rcx	/* our return address */
	leaq	0x48(%rsp), %rsp	/* off with all of it */
	.cfi_adjust_cfa_offset -0x48
	.cfi_register %rip, %rcx
	notrack	jmpq	*%rcx		/* as ret would do, but for the guess */
	.cfi_endproc
	.size	co__context_jump, .-co__context_jump

/*
 * Where a function that `returns_by_jump` (lib/context_asm.h) goes in place of
 * a ret.  The name is the compiler's, which takes it to be a ret: no register
 * may change.  Weak, as gcc makes its own one for who asks for thunks himself.
 */
	.weak	__x86_return_thunk
	.hidden	__x86_return_thunk
	.type	__x86_return_thunk, @function
	.p2align 4
__x86_return_thunk:
	.cfi_startproc
	leaq	8(%rsp), %rsp		/* the return address stays where it */
	.cfi_adjust_cfa_offset -8	/* is: nobody writes below there, not */
	notrack	jmpq *-8(%rsp)		/* even a signal: the red zone */
	.cfi_endproc			/* no endbr64 where a ret would go */
	.size	__x86_return_thunk, .-__x86_return_thunk

/*
 * Where a context begins.  Nobody called it: the unwinder stops here.  entry()
 * is jumped to, with a return address by hand: a call would leave the predictor
 * of returns one off, as entry() never returns, and the next coroutine to run
 * would pay for it at each level.  rsp is as the ABI wants it at a function's
 * first instruction: a multiple of 16, less 8.
 */
	.globl	co__context_begin
	.hidden	co__context_begin
	.type	co__context_begin, @function
	.p2align 4
co__context_begin:
	.cfi_startproc
	.cfi_undefined %rip		/* the outermost frame */
	.cfi_undefined %rbp
	ENDBR				/* an indirect jump comes here */
	movq	0x18(%rsp), %rax	/* entry */
	leaq	0x20(%rsp), %rsp	/* the whole stack is free */
	xorl	%ebp, %ebp		/* ends the chain of frame pointers */
	leaq	1f(%rip), %rcx
	pushq	%rcx
	jmp	*%rax			/* entry() */
1:	ud2				/* entry never returns */
	.cfi_endproc
	.size	co__context_begin, .-co__context_begin

/* uint8_t, see lib/context_asm.h: 1 on processors that rather reload. */
	.bss
	.globl	co__context_reload
	.hidden	co__context_reload
	.type	co__context_reload, @object
co__context_reload:
	.zero	1
	.size	co__context_reload, 1

/* Indirect jumps land on endbr64; but there is no shadow stack here. */
#if defined __CET__ && (__CET__ & 1)
	.section .note.gnu.property, "a"
	.p2align 3
	.long	4, 16, 5		/* name, descriptor, type */
	.string	"GNU"
	.long	0xc0000002, 4, 1, 0	/* x86 features: IBT */
#endif

	.section .note.GNU-stack, "", @progbits

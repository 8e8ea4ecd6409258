/* SPDX-License-Identifier: MIT */
/*
 * gen_x86_64_sysv.S - the usual next and yield of a generator, x86_64, System V
 * ABI.
 *
 * They do what co__gen_enter and co__gen_leave in lib/gen.c do, which is where
 * to read what it means; all that is not usual is handed to those.  The frame
 * is the FRAME of context_x86_64_sysv.S, but that the control words in it are
 * not filled in: a generator shares its caller's.
 *
 * What is gained is the return.  A `ret` after a switch is predicted to go to
 * the last caller, which is always the other side's; a jump is predicted by its
 * history, which never changes here.  And one need not save what lives only in
 * a compiler's imagination.  A value takes 8.3 ns so, 20 by the functions in C,
 * and took 25 when they saved the control words too (Zen 4).
 *
 * Tried: to call those functions from one place for both, so that the returns
 * inside are guessed right, and to jump only from here: 17 ns.
 */

#include "endbr.h"

/* GEN: offsets in struct gen, task, stack and self, which gen.c checks. */
#define GEN_CTX		0x00
#define GEN_CALLER	0x08
#define GEN_OUT		0x10
#define GEN_SIZE	0x18
#define GEN_SCOPE	0x20
#define GEN_STACK	0x28
#define GEN_STATE	0x44
#define GEN_FREEING	0x45
#define SELF_CURRENT	0x08
#define TASK_SCOPE	0x20
#define STACK_LO	0x00
#define STACK_SIZE	0x10
#define STACK_OWNER	0x20
#define SUSPENDED	1
#define RUNNING		2
#define ENDED		3
#define ECANCELED	125

/* The caller's task in `to`; to `slow` where there is none yet. */
	.macro	current to, slow
	movq	co__self@gottpoff(%rip), \to
	movq	%fs:(\to), \to
	movq	SELF_CURRENT(\to), \to
	testq	\to, \to
	je	\slow
	.endm

/* Leaves for the context at \to(%rdi); this side, kept at \from(%rdi), goes on
   here, with rdi as it was. */
	.macro	hop from, to
	leaq	-0x48(%rsp), %rsp
	.cfi_adjust_cfa_offset 0x48
	leaq	1f(%rip), %rcx
	movq	%rbp, 0x08(%rsp)
	.cfi_rel_offset %rbp, 0x08
	movq	%rcx, 0x10(%rsp)
	movq	%rdi, 0x18(%rsp)
	movq	%rbx, 0x20(%rsp)
	.cfi_rel_offset %rbx, 0x20
	movq	%r12, 0x28(%rsp)
	.cfi_rel_offset %r12, 0x28
	movq	%r13, 0x30(%rsp)
	.cfi_rel_offset %r13, 0x30
	movq	%r14, 0x38(%rsp)
	.cfi_rel_offset %r14, 0x38
	movq	%r15, 0x40(%rsp)
	.cfi_rel_offset %r15, 0x40
	movq	%rsp, \from(%rdi)
	movq	\to(%rdi), %rsp
	movq	0x08(%rsp), %rbp
	jmpq	*0x10(%rsp)
1:	ENDBR				/* an indirect jump comes here */
	movq	0x18(%rsp), %rdi
	movq	0x20(%rsp), %rbx
	.cfi_restore %rbx
	movq	0x28(%rsp), %r12
	.cfi_restore %r12
	movq	0x30(%rsp), %r13
	.cfi_restore %r13
	movq	0x38(%rsp), %r14
	.cfi_restore %r14
	movq	0x40(%rsp), %r15
	.cfi_restore %r15
	leaq	0x48(%rsp), %rsp	/* rbp: who jumped here has set it */
	.cfi_adjust_cfa_offset -0x48
	.cfi_restore %rbp
	.endm

/* As ret would do, but for the guess; no endbr64 is at the other end. */
	.macro	leave_by_jump
	popq	%rcx
	.cfi_adjust_cfa_offset -8
	.cfi_register %rip, %rcx
	notrack jmpq *%rcx
	.endm

	.text

/* int co__gen_next(void *gen: rdi, void *ret_value: rsi) */
	.globl	co__gen_next
	.type	co__gen_next, @function
	.p2align 4
co__gen_next:
	.cfi_startproc
	ENDBR				/* we may be called by pointer */
	testq	%rdi, %rdi
	je	co__gen_enter
	cmpb	$SUSPENDED, GEN_STATE(%rdi)
	jne	co__gen_enter
	current	%rax, co__gen_enter
	movq	TASK_SCOPE(%rax), %rcx
	movq	GEN_STACK(%rdi), %rdx
	movq	%rcx, GEN_SCOPE(%rdi)	/* I2 looks at it */
	movq	%rax, STACK_OWNER(%rdx)	/* for yield, and the overflow report */
	movq	%rsi, GEN_OUT(%rdi)
	movb	$RUNNING, GEN_STATE(%rdi)
	hop	GEN_CALLER, GEN_CTX
	cmpb	$ENDED, GEN_STATE(%rdi)
	je	co__gen_ended
	xorl	%eax, %eax
	leave_by_jump
	.cfi_endproc
	.size	co__gen_next, .-co__gen_next

/* int co__gen_yield(void *gen: rdi, const void *value: rsi) */
	.globl	co__gen_yield
	.type	co__gen_yield, @function
	.p2align 4
co__gen_yield:
	.cfi_startproc
	ENDBR
	testq	%rdi, %rdi
	je	co__gen_leave
	movq	GEN_STACK(%rdi), %rdx	/* I3: on its own stack? */
	movq	%rsp, %rcx
	subq	STACK_LO(%rdx), %rcx
	cmpq	STACK_SIZE(%rdx), %rcx
	jae	co__gen_leave
	movq	STACK_OWNER(%rdx), %rax	/* who is on it */
	movq	TASK_SCOPE(%rax), %rcx	/* I2: in the caller's scope? */
	cmpq	%rcx, GEN_SCOPE(%rdi)
	jne	co__gen_leave
	cmpb	$0, GEN_FREEING(%rdi)
	jne	co__gen_leave
	movq	GEN_OUT(%rdi), %rax	/* values of 8 and 4 bytes */
	cmpq	$8, GEN_SIZE(%rdi)
	jne	2f
	movq	(%rsi), %rdx
	movq	%rdx, (%rax)
3:	movb	$SUSPENDED, GEN_STATE(%rdi)
	hop	GEN_CTX, GEN_CALLER
	cmpb	$0, GEN_FREEING(%rdi)
	jne	4f
	xorl	%eax, %eax
	.cfi_remember_state
	leave_by_jump
	.cfi_restore_state
4:	movl	$-ECANCELED, %eax
	ret
2:	cmpq	$4, GEN_SIZE(%rdi)
	jne	co__gen_leave
	movl	(%rsi), %edx
	movl	%edx, (%rax)
	jmp	3b
	.cfi_endproc
	.size	co__gen_yield, .-co__gen_yield

#if defined __CET__ && (__CET__ & 1)
	.section .note.gnu.property, "a"
	.p2align 3
	.long	4, 16, 5		/* name, descriptor, type */
	.string	"GNU"
	.long	0xc0000002, 4, 1, 0	/* x86 features: IBT */
#endif

	.section .note.GNU-stack, "", @progbits

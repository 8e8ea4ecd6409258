/* SPDX-License-Identifier: MIT */
/*
 * context_aarch64_aapcs.S - the switch for aarch64, AAPCS64.
 *
 * FRAME.  context.sp points to it; the same for the inline form in
 * lib/context_asm.h and for context_make() in lib/context.c:
 *
 *	sp + 0x00	x29, the frame pointer
 *	sp + 0x08	pc: where to go on, with sp as it is here
 *	sp + 0x10	FPCR
 *	sp + 0x18	8 bytes nothing: sp is a multiple of 16
 *
 * What lies above is the business of the code at that pc.  co__context_jump
 * keeps there what the ABI calls preserved; of v8-v15 only the lower halves:
 *
 *	sp + 0x20	x19, x20
 *	sp + 0x30	x21, x22
 *	sp + 0x40	x23, x24
 *	sp + 0x50	x25, x26
 *	sp + 0x60	x27, x28
 *	sp + 0x70	x30, the return address of co__context_jump
 *	sp + 0x80	d8, d9
 *	sp + 0x90	d10, d11
 *	sp + 0xa0	d12, d13
 *	sp + 0xb0	d14, d15
 *
 * and a context that has not begun (context_make):
 *
 *	sp + 0x20	entry
 *	sp + 0x28	8 bytes nothing; then the top of the stack
 *
 * FPSR holds only status, which belongs to nobody across a call.
 * `hint #34` is bti c and `hint #36` is bti j; older assemblers lack the names.
 */
	.text

/* void co__context_jump(struct context *from [x0], struct context *to [x1]) */
	.globl	co__context_jump
	.hidden	co__context_jump
	.type	co__context_jump, %function
	.p2align 4
co__context_jump:
	.cfi_startproc
	hint	#34			// we may be called by pointer
	sub	sp, sp, #0xc0		// room for all
	.cfi_adjust_cfa_offset 0xc0
	stp	x19, x20, [sp, #0x20]	// save what our caller relies on
	.cfi_rel_offset x19, 0x20
	.cfi_rel_offset x20, 0x28
	stp	x21, x22, [sp, #0x30]
	.cfi_rel_offset x21, 0x30
	.cfi_rel_offset x22, 0x38
	stp	x23, x24, [sp, #0x40]
	.cfi_rel_offset x23, 0x40
	.cfi_rel_offset x24, 0x48
	stp	x25, x26, [sp, #0x50]
	.cfi_rel_offset x25, 0x50
	.cfi_rel_offset x26, 0x58
	stp	x27, x28, [sp, #0x60]
	.cfi_rel_offset x27, 0x60
	.cfi_rel_offset x28, 0x68
	str	x30, [sp, #0x70]
	.cfi_rel_offset x30, 0x70
	stp	d8, d9, [sp, #0x80]
	.cfi_rel_offset d8, 0x80
	.cfi_rel_offset d9, 0x88
	stp	d10, d11, [sp, #0x90]
	.cfi_rel_offset d10, 0x90
	.cfi_rel_offset d11, 0x98
	stp	d12, d13, [sp, #0xa0]
	.cfi_rel_offset d12, 0xa0
	.cfi_rel_offset d13, 0xa8
	stp	d14, d15, [sp, #0xb0]
	.cfi_rel_offset d14, 0xb0
	.cfi_rel_offset d15, 0xb8
	adr	x16, .Lresume		// where this side will go on
	stp	x29, x16, [sp]		// the FRAME: x29, pc,
	.cfi_rel_offset x29, 0
	mrs	x3, fpcr		// and the rounding mode and its kin
	str	x3, [sp, #0x10]
	mov	x4, sp
	str	x4, [x0]		// from->sp: this side can be resumed
	ldr	x4, [x1]
	mov	sp, x4			// to->sp: we are on the other stack,
					// whose frame looks the same: CFI holds
	ldr	x5, [sp, #0x10]
	cmp	x3, x5			// same FPCR?  Writing it is slow
	b.ne	2f			// rare: forwards
1:	ldp	x29, x16, [sp]		// the other side's frame pointer, pc
	br	x16			// not ret: see lib/context_asm.h
2:	msr	fpcr, x5
	b	1b

.Lresume:
	hint	#36			// an indirect jump comes here
	ldp	d8, d9, [sp, #0x80]	// what we saved above the FRAME
	.cfi_restore d8
	.cfi_restore d9
	ldp	d10, d11, [sp, #0x90]
	.cfi_restore d10
	.cfi_restore d11
	ldp	d12, d13, [sp, #0xa0]
	.cfi_restore d12
	.cfi_restore d13
	ldp	d14, d15, [sp, #0xb0]
	.cfi_restore d14
	.cfi_restore d15
	ldp	x19, x20, [sp, #0x20]
	.cfi_restore x19
	.cfi_restore x20
	ldp	x21, x22, [sp, #0x30]
	.cfi_restore x21
	.cfi_restore x22
	ldp	x23, x24, [sp, #0x40]
	.cfi_restore x23
	.cfi_restore x24
	ldp	x25, x26, [sp, #0x50]
	.cfi_restore x25
	.cfi_restore x26
	ldp	x27, x28, [sp, #0x60]
	.cfi_restore x27
	.cfi_restore x28
	ldr	x30, [sp, #0x70]	// our return address
	.cfi_restore x30
	.cfi_restore x29
	add	sp, sp, #0xc0		// off with all of it
	.cfi_adjust_cfa_offset -0xc0
	ret				// a jump would need a mark there
	.cfi_endproc
	.size	co__context_jump, .-co__context_jump

/* Where a context begins.  Nobody called it: the unwinder stops here. */
	.globl	co__context_begin
	.hidden	co__context_begin
	.type	co__context_begin, %function
	.p2align 4
co__context_begin:
	.cfi_startproc
	.cfi_undefined x30		// the outermost frame
	.cfi_undefined x29
	hint	#36			// an indirect jump comes here
	ldr	x16, [sp, #0x20]	// entry
	add	sp, sp, #0x30		// the whole stack is free
	mov	x29, #0			// ends the chain of frame records
	adr	x30, 1f			// no call: see the other processor's
	br	x16			// entry()
1:	brk	#1			// entry never returns
	.cfi_endproc
	.size	co__context_begin, .-co__context_begin

/* Indirect jumps land on bti; return addresses are not signed. */
#if defined __ARM_FEATURE_BTI_DEFAULT
	.section .note.gnu.property, "a"
	.p2align 3
	.long	4, 16, 5		// name, descriptor, type
	.string	"GNU"
	.long	0xc0000000, 4, 1, 0	// aarch64 features: BTI
#endif

	.section .note.GNU-stack, "", %progbits

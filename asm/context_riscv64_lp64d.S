/* SPDX-License-Identifier: MIT */
/*
 * context_riscv64_lp64d.S - the switch for riscv64, floats in registers.
 *
 * FRAME.  context.sp points to it; the same for context_make() in
 * lib/context.c.  There is no inline form for this processor:
 *
 *	sp + 0x00	s0, the frame pointer
 *	sp + 0x08	pc: where to go on, with sp as it is here
 *	sp + 0x10	frm, the rounding mode
 *	sp + 0x18	8 bytes nothing: sp is a multiple of 16
 *
 * What lies above is the business of the code at that pc.  co__context_jump
 * keeps there what the ABI calls preserved:
 *
 *	sp + 0x20	s1 ... s11
 *	sp + 0x78	ra, the return address of co__context_jump
 *	sp + 0x80	fs0 ... fs11
 *
 * and a context that has not begun (context_make):
 *
 *	sp + 0x20	entry
 *	sp + 0x28	8 bytes nothing; then the top of the stack
 *
 * The exception flags of fcsr are status, which belongs to nobody across a
 * call.  Vector registers are not preserved across calls at all.
 */
	.text

/* void co__context_jump(struct context *from [a0], struct context *to [a1]) */
	.globl	co__context_jump
	.hidden	co__context_jump
	.type	co__context_jump, @function
	.p2align 2
co__context_jump:
	.cfi_startproc
	addi	sp, sp, -0xe0		# room for all
	.cfi_adjust_cfa_offset 0xe0
	sd	s1, 0x20(sp)		# save what our caller relies on
	.cfi_rel_offset s1, 0x20
	sd	s2, 0x28(sp)
	.cfi_rel_offset s2, 0x28
	sd	s3, 0x30(sp)
	.cfi_rel_offset s3, 0x30
	sd	s4, 0x38(sp)
	.cfi_rel_offset s4, 0x38
	sd	s5, 0x40(sp)
	.cfi_rel_offset s5, 0x40
	sd	s6, 0x48(sp)
	.cfi_rel_offset s6, 0x48
	sd	s7, 0x50(sp)
	.cfi_rel_offset s7, 0x50
	sd	s8, 0x58(sp)
	.cfi_rel_offset s8, 0x58
	sd	s9, 0x60(sp)
	.cfi_rel_offset s9, 0x60
	sd	s10, 0x68(sp)
	.cfi_rel_offset s10, 0x68
	sd	s11, 0x70(sp)
	.cfi_rel_offset s11, 0x70
	sd	ra, 0x78(sp)
	.cfi_rel_offset ra, 0x78
	fsd	fs0, 0x80(sp)
	.cfi_rel_offset fs0, 0x80
	fsd	fs1, 0x88(sp)
	.cfi_rel_offset fs1, 0x88
	fsd	fs2, 0x90(sp)
	.cfi_rel_offset fs2, 0x90
	fsd	fs3, 0x98(sp)
	.cfi_rel_offset fs3, 0x98
	fsd	fs4, 0xa0(sp)
	.cfi_rel_offset fs4, 0xa0
	fsd	fs5, 0xa8(sp)
	.cfi_rel_offset fs5, 0xa8
	fsd	fs6, 0xb0(sp)
	.cfi_rel_offset fs6, 0xb0
	fsd	fs7, 0xb8(sp)
	.cfi_rel_offset fs7, 0xb8
	fsd	fs8, 0xc0(sp)
	.cfi_rel_offset fs8, 0xc0
	fsd	fs9, 0xc8(sp)
	.cfi_rel_offset fs9, 0xc8
	fsd	fs10, 0xd0(sp)
	.cfi_rel_offset fs10, 0xd0
	fsd	fs11, 0xd8(sp)
	.cfi_rel_offset fs11, 0xd8
	sd	s0, 0x00(sp)		# the FRAME: s0,
	.cfi_rel_offset s0, 0x00
	lla	t2, .Lresume		# where this side will go on,
	sd	t2, 0x08(sp)
	frrm	t1			# and the rounding mode
	sd	t1, 0x10(sp)
	sd	sp, (a0)		# from->sp: this side can be resumed
	ld	sp, (a1)		# to->sp: we are on the other stack,
					# whose frame looks the same: CFI holds
	ld	t2, 0x10(sp)
	bne	t1, t2, 2f		# another mode?  Rare: forwards
1:	ld	s0, 0x00(sp)		# the other side's frame pointer
	ld	t2, 0x08(sp)
	jr	t2			# not ret: see lib/context_asm.h
2:	fsrm	t2
	j	1b

.Lresume:
	fld	fs0, 0x80(sp)		# what we saved above the FRAME
	.cfi_restore fs0
	fld	fs1, 0x88(sp)
	.cfi_restore fs1
	fld	fs2, 0x90(sp)
	.cfi_restore fs2
	fld	fs3, 0x98(sp)
	.cfi_restore fs3
	fld	fs4, 0xa0(sp)
	.cfi_restore fs4
	fld	fs5, 0xa8(sp)
	.cfi_restore fs5
	fld	fs6, 0xb0(sp)
	.cfi_restore fs6
	fld	fs7, 0xb8(sp)
	.cfi_restore fs7
	fld	fs8, 0xc0(sp)
	.cfi_restore fs8
	fld	fs9, 0xc8(sp)
	.cfi_restore fs9
	fld	fs10, 0xd0(sp)
	.cfi_restore fs10
	fld	fs11, 0xd8(sp)
	.cfi_restore fs11
	ld	s1, 0x20(sp)
	.cfi_restore s1
	ld	s2, 0x28(sp)
	.cfi_restore s2
	ld	s3, 0x30(sp)
	.cfi_restore s3
	ld	s4, 0x38(sp)
	.cfi_restore s4
	ld	s5, 0x40(sp)
	.cfi_restore s5
	ld	s6, 0x48(sp)
	.cfi_restore s6
	ld	s7, 0x50(sp)
	.cfi_restore s7
	ld	s8, 0x58(sp)
	.cfi_restore s8
	ld	s9, 0x60(sp)
	.cfi_restore s9
	ld	s10, 0x68(sp)
	.cfi_restore s10
	ld	s11, 0x70(sp)
	.cfi_restore s11
	ld	t2, 0x78(sp)		# our return address; in t2, as a jump
	.cfi_register ra, t2		# through ra or t0 is predicted as a
	.cfi_restore s0			# return, which is wrong after a switch
	addi	sp, sp, 0xe0		# off with all of it
	.cfi_adjust_cfa_offset -0xe0
	jr	t2
	.cfi_endproc
	.size	co__context_jump, .-co__context_jump

/* Where a context begins.  Nobody called it: the unwinder stops here. */
	.globl	co__context_begin
	.hidden	co__context_begin
	.type	co__context_begin, @function
	.p2align 2
co__context_begin:
	.cfi_startproc
	.cfi_undefined ra		# the outermost frame
	.cfi_undefined s0
	ld	t2, 0x20(sp)		# entry
	addi	sp, sp, 0x30		# the whole stack is free
	li	s0, 0			# ends the chain of frame records
	li	ra, 0
	jalr	t2			# entry()
	ebreak				# entry never returns
	.cfi_endproc
	.size	co__context_begin, .-co__context_begin

	.section .note.GNU-stack, "", @progbits

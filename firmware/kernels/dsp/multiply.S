/* Inner products of the dsp kernels, for Armv7E-M and Armv8-M with DSP: see multiply.h for layouts and arithmetic. */
#include "linear.h"

    .syntax unified
    .thumb

/* Two of four taps by three pixels and two channels, added to these. */
    .macro six_products a, b, c, d, e, f
    smlad r8, r5, r3, \b
    smlad r9, r5, r4, \c
    smlad r7, r5, r2, \a
    smlad r11, r6, r3, \e
    smlad r12, r6, r4, \f
    smlad r10, r6, r2, \d
    .endm

/* Four taps: r0 weights, r1 taps, r7 to r12 sums, added to these. Every instruction has four bytes. */
    .macro three_by_two a=r7, b=r8, c=r9, d=r10, e=r11, f=r12
    ldmia.w r1!, {r2-r4}
    ldmia.w r0!, {r5, r6}
    six_products \a, \b, \c, \d, \e, \f
    ldmia.w r1!, {r2-r4}
    sxtb16 r5, r5
    sxtb16 r6, r6
    six_products r7, r8, r9, r10, r11, r12
    .endm

/* 256 times a sum to an output byte. */
    .macro requantize sum, multiplier, offset, exponent, temporary
    add \temporary, \offset, \sum, asr #31
    asr \sum, \sum, #7
    smmlar \sum, \sum, \multiplier, \temporary
    asr \sum, \sum, \exponent
    ssat \sum, #8, \sum
    .endm

/* The same in the linear form. */
    .macro linear sum, multiplier
    smmul \sum, \sum, \multiplier
    ssat \sum, #8, \sum, asr #OFR_DSP_LINEAR_SHIFT
    .endm

    .equ UNROLLED_BITS, 3
    .equ UNROLLED, 1 << UNROLLED_BITS
    .equ GROUP_BYTES, 17 * 4

/* Stack of ofr_dsp_multiply: b of the outputs less a, end of a, c less a, a, taps, rounds, entry, requantization. */
    .section .text.ofr_dsp_multiply, "ax", %progbits
    .global ofr_dsp_multiply
    .type ofr_dsp_multiply, %function
    .thumb_func
ofr_dsp_multiply:
    push {r4-r11, lr}
    sub sp, sp, #32
    ldrd r5, r10, [sp, #68] /* groups, linear */
    ldmia r2, {r6-r8}
    sub r7, r7, r6
    sub r8, r8, r6
    add r4, r6, r3, lsl #1
    strd r7, r4, [sp]
    strd r8, r6, [sp, #8]
    sub r5, r5, #1
    lsr r6, r5, #UNROLLED_BITS
    add r6, r6, #1
    strd r1, r6, [sp, #16]
    and r5, r5, #UNROLLED - 1
    rsb r5, r5, #UNROLLED
    mov r8, #GROUP_BYTES
    ldr r7, =(2f + 1)
    mla r5, r5, r8, r7
    cmp r10, #0
    ite ne
    addne r10, r7, #3f - 2f
    addeq r10, r7, #4f - 2f
    strd r5, r10, [sp, #24]
1:
    ldmia.w r0!, {r7, r10}
    ldrd r1, lr, [sp, #16]
    three_by_two r7, r7, r7, r10, r10, r10
    ldr pc, [sp, #24]
2:
    .rept UNROLLED
    three_by_two
    .endr
    subs lr, lr, #1
    bne 2b
    ldr pc, [sp, #28]
3:
    ldmia.w r0!, {r4, r5}
    ldmia.w sp, {r1, r2, r6, lr}
    linear r8, r4
    strb r8, [lr, r1]
    linear r9, r4
    strb r9, [lr, r6]
    linear r7, r4
    strb r7, [lr], #1
    linear r11, r5
    strb r11, [lr, r1]
    linear r12, r5
    strb r12, [lr, r6]
    linear r10, r5
    strb r10, [lr], #1
5:
    str lr, [sp, #12]
    cmp lr, r2
    bne 1b
    add sp, sp, #32
    pop {r4-r11, pc}
4:
    ldmia.w sp, {r1, r2, r6, lr}
    ldmia.w r0!, {r2-r4}
    requantize r8, r2, r3, r4, r5
    strb r8, [lr, r1]
    requantize r9, r2, r3, r4, r5
    strb r9, [lr, r6]
    requantize r7, r2, r3, r4, r5
    strb r7, [lr], #1
    ldmia.w r0!, {r2-r4}
    requantize r11, r2, r3, r4, r5
    strb r11, [lr, r1]
    requantize r12, r2, r3, r4, r5
    strb r12, [lr, r6]
    requantize r10, r2, r3, r4, r5
    strb r10, [lr], #1
    ldr r2, [sp, #4]
    b 5b
    .size ofr_dsp_multiply, . - ofr_dsp_multiply
    .ltorg

/* Four taps of a pixel: z of x; then y in its place. */
    .macro widen_z x, z
    sxtb16 \z, \x, ror #8
    ssub16 \z, \z, r12
    .endm
    .macro widen_y x, z
    and \x, lr, \x, lsl #8
    ssub16 \x, \x, \z
    .endm

/* Four taps of the three pixels at r0, r1 and r10 to r2 on. */
    .macro widen_group
    ldr r4, [r0], #4
    ldr r5, [r1], #4
    ldr r6, [r10], #4
    widen_z r4, r7
    widen_z r5, r8
    widen_z r6, r9
    stmia.w r2!, {r7-r9}
    widen_y r4, r7
    widen_y r5, r8
    widen_y r6, r9
    stmia.w r2!, {r4-r6}
    .endm

    .section .text.ofr_dsp_widen_three, "ax", %progbits
    .global ofr_dsp_widen_three
    .type ofr_dsp_widen_three, %function
    .thumb_func
ofr_dsp_widen_three:
    push {r4-r10, lr}
    ldmia r0, {r0, r4, r5}
    mov r3, r2
    mov r2, r1
    mov r1, r4
    mov r10, r5
    mov r12, #0x007f007f
    mov lr, #0xff00ff00
1:
    widen_group
    subs r3, r3, #1
    bne 1b
    mov r0, r2
    pop {r4-r10, pc}
    .size ofr_dsp_widen_three, . - ofr_dsp_widen_three

    .section .text.ofr_dsp_widen, "ax", %progbits
    .global ofr_dsp_widen
    .type ofr_dsp_widen, %function
    .thumb_func
ofr_dsp_widen:
    push {r4-r7, lr}
    mov r12, #0x007f007f
    mov lr, #0xff00ff00
    add r0, r0, r2, lsl #2
    add r1, r1, r2, lsl #3
    lsrs r2, r2, #1
    bcc 1f
    ldr r5, [r0, #-4]!
    widen_z r5, r4
    widen_y r5, r4
    stmdb r1!, {r4, r5}
    cbz r2, 2f
1:
    ldr r7, [r0, #-4]!
    ldr r5, [r0, #-4]!
    widen_z r5, r4
    widen_z r7, r6
    widen_y r5, r4
    widen_y r7, r6
    stmdb r1!, {r4-r7}
    subs r2, r2, #1
    bne 1b
2:
    pop {r4-r7, pc}
    .size ofr_dsp_widen, . - ofr_dsp_widen

/* r0 first pixel, r1 bytes to the next, r2 taps, r3 groups. */
    .section .text.ofr_dsp_interleave, "ax", %progbits
    .global ofr_dsp_interleave
    .type ofr_dsp_interleave, %function
    .thumb_func
ofr_dsp_interleave:
    push {r4-r10, lr}
    add r10, r0, r1
    add r12, r10, r1
    lsrs r3, r3, #1
    bcc 1f
    ldmia.w r0!, {r4, r7}
    ldmia.w r10!, {r5, r8}
    ldmia.w r12!, {r6, r9}
    stmia.w r2!, {r4-r9}
    cbz r3, 2f
1:
    .rept 2
    ldmia.w r0!, {r4, r7}
    ldmia.w r10!, {r5, r8}
    ldmia.w r12!, {r6, r9}
    stmia.w r2!, {r4-r9}
    .endr
    subs r3, r3, #1
    bne 1b
2:
    mov r0, r2
    pop {r4-r10, pc}
    .size ofr_dsp_interleave, . - ofr_dsp_interleave

/* r0 widened pixel, r1 one of three places among taps, r2 groups. */
    .section .text.ofr_dsp_place, "ax", %progbits
    .global ofr_dsp_place
    .type ofr_dsp_place, %function
    .thumb_func
ofr_dsp_place:
    push {r4-r7}
    lsrs r2, r2, #1
    bcc 1f
    ldmia.w r0!, {r4, r5}
    str r4, [r1], #12
    str r5, [r1], #12
    cbz r2, 2f
1:
    ldmia.w r0!, {r4-r7}
    str r4, [r1], #12
    str r5, [r1], #12
    str r6, [r1], #12
    str r7, [r1], #12
    subs r2, r2, #1
    bne 1b
2:
    mov r0, r1
    pop {r4-r7}
    bx lr
    .size ofr_dsp_place, . - ofr_dsp_place

/* Eight taps of one pixel by four channels: r0 weights, r1 taps, r10 to r12 and lr sums. All of four bytes. */
    .macro four_by_four z, y
    ldmia.w r0!, {r6-r9}
    smlad r10, r6, \z, r10
    smlad r11, r7, \z, r11
    smlad r12, r8, \z, r12
    smlad lr, r9, \z, lr
    sxtb16 r6, r6
    sxtb16 r7, r7
    sxtb16 r8, r8
    sxtb16 r9, r9
    smlad r10, r6, \y, r10
    smlad r11, r7, \y, r11
    smlad r12, r8, \y, r12
    smlad lr, r9, \y, lr
    .endm

    .macro one_by_four
    ldmia.w r1!, {r2-r5}
    four_by_four r2, r3
    four_by_four r4, r5
    .endm

    .equ ROW_UNROLLED, 8
    .equ ROW_BYTES, 27 * 4

/* Stack: multiplier, offset, exponent, taps, end of taps, entry, out, end of out. */
    .section .text.ofr_dsp_multiply_row, "ax", %progbits
    .global ofr_dsp_multiply_row
    .type ofr_dsp_multiply_row, %function
    .thumb_func
ofr_dsp_multiply_row:
    push {r4-r11, lr}
    sub sp, sp, #32
    ldmia r3, {r4-r8} /* quads, eights, multiplier, offset, exponent */
    stmia sp, {r6-r8}
    add r4, r2, r4, lsl #2
    strd r2, r4, [sp, #24]
    add r6, r1, r5, lsl #4
    strd r1, r6, [sp, #12]
    sub r5, r5, #1
    and r5, r5, #ROW_UNROLLED - 1
    rsb r5, r5, #ROW_UNROLLED - 1
    mov r6, #ROW_BYTES
    ldr r7, =(2f + 1)
    mla r5, r5, r6, r7
    str r5, [sp, #20]
1:
    ldmia.w r0!, {r10, r11, r12, lr}
    ldr r1, [sp, #12]
    ldr pc, [sp, #20]
2:
    .rept ROW_UNROLLED
    one_by_four
    .endr
    ldr r2, [sp, #16]
    cmp r1, r2
    bne 2b
    ldmia.w sp, {r2-r4}
    ldr r1, [sp, #24]
    requantize r10, r2, r3, r4, r5
    strb r10, [r1], #1
    requantize r11, r2, r3, r4, r5
    strb r11, [r1], #1
    requantize r12, r2, r3, r4, r5
    strb r12, [r1], #1
    requantize lr, r2, r3, r4, r5
    strb lr, [r1], #1
    str r1, [sp, #24]
    ldr r5, [sp, #28]
    cmp r1, r5
    bne 1b
    add sp, sp, #32
    pop {r4-r11, pc}
    .size ofr_dsp_multiply_row, . - ofr_dsp_multiply_row
    .ltorg

/* r0 ofr_dsp_window, r1 taps. Stack: run, runs left, row, rows left, place in the first pixel's rest. */
    .section .text.ofr_dsp_gather, "ax", %progbits
    .global ofr_dsp_gather
    .type ofr_dsp_gather, %function
    .thumb_func
ofr_dsp_gather:
    push {r4-r11, lr}
    sub sp, sp, #20
    mov r11, r0
    mov r2, r1
    ldr r4, [r11]
    ldr r5, [r11, #12] /* rows */
    ldr r6, [r11, #36] /* rests */
    str r6, [sp, #16]
    mov r12, #0x007f007f
    mov lr, #0xff00ff00
1:
    strd r4, r5, [sp, #8]
    ldr r5, [r11, #20] /* runs */
2:
    strd r4, r5, [sp]
    mov r0, r4
    ldrd r1, r10, [r11, #4] /* the other two pixels */
    add r1, r1, r4
    add r10, r10, r4
    ldr r3, [r11, #28] /* fours */
    cbz r3, 4f
3:
    widen_group
    subs r3, r3, #1
    bne 3b
4:
    ldr r7, [r11, #32] /* bytes behind them */
    cbz r7, 5f
    ldr r4, [r0]
    ldr r5, [r1]
    ldr r6, [r10]
    ldr r3, [sp, #16]
    ldr r8, [r11, #40]
    str r4, [r3]
    str r5, [r3, r8]
    str r6, [r3, r8, lsl #1]
    add r3, r3, r7
    str r3, [sp, #16]
5:
    ldrd r4, r5, [sp]
    ldr r6, [r11, #24] /* step */
    add r4, r4, r6
    subs r5, r5, #1
    bne 2b
    ldrd r4, r5, [sp, #8]
    ldr r6, [r11, #16] /* jump */
    add r4, r4, r6
    subs r5, r5, #1
    bne 1b
    mov r0, r2
    add sp, sp, #20
    pop {r4-r11, pc}
    .size ofr_dsp_gather, . - ofr_dsp_gather

/* One element of ofr_dsp_add: bytes of r6 and r7 from bit 8 i on. */
    .macro add_one i
    uxtb r9, r7, ror #8 * \i
    sxtb r8, r6, ror #8 * \i
    ldr r9, [r12, r9, lsl #2]
    add r9, r9, r8, lsl #20
    add r8, r4, r9, asr #31
    smmlar r9, r9, r3, r8
    asr r9, r9, r5
    ssat r9, #8, r9
    strb r9, [r2], #1
    .endm

/* r0 exact input, r1 the other, r2 output, r3 fours, stack: ofr_dsp_add_params and its table. */
    .section .text.ofr_dsp_add, "ax", %progbits
    .global ofr_dsp_add
    .type ofr_dsp_add, %function
    .thumb_func
ofr_dsp_add:
    push {r4-r9, lr}
    mov lr, r3
    ldr r12, [sp, #28]
    ldr r3, [r12], #4
    ldr r4, [r12], #4
    ldr r5, [r12], #8 /* multiplier, offset, exponent; behind the range the table */
1:
    ldr r6, [r0], #4
    ldr r7, [r1], #4
    add_one 0
    add_one 1
    add_one 2
    add_one 3
    subs lr, lr, #1
    bne 1b
    pop {r4-r9, pc}
    .size ofr_dsp_add, . - ofr_dsp_add

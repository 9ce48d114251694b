/* Inner products of the dsp kernels with weights at int16, for Armv7E-M and Armv8-M with DSP: see multiply.h. */
    .syntax unified
    .thumb

#include "taps_16.h"

    .equ UNROLLED, 8 /* a power of 2 */

/* Twice a sum to an output byte. */
    .macro requantize sum, relu, multiplier, offset, exponent, temporary
    .if \relu
    smmlar \sum, \sum, \multiplier, \offset
    .else
    add \temporary, \offset, \sum, asr #31
    smmlar \sum, \sum, \multiplier, \temporary
    .endif
    asr \sum, \sum, \exponent
    ssat \sum, #8, \sum
    .endm

/* Stack: a, b and c of the outputs less a, end of a; taps, entry for the taps that are left by sixes, entry for the sixes,
 * end of taps. */
    .macro multiply name, relu
    .section .text.\name, "ax", %progbits
    .global \name
    .type \name, %function
    .thumb_func
\name:
    push {r4-r11, lr}
    sub sp, sp, #32
    ldr r5, [sp, #68] /* groups of four taps */
    ldmia r2, {r6-r8}
    sub r7, r7, r6
    sub r8, r8, r6
    add r9, r6, r3, lsl #1
    stmia sp, {r6-r9}
    lsl r5, r5, #1
    mov r6, #12
    mla r4, r5, r6, r1
    str r4, [sp, #28]
    sub r5, r5, #1 /* the first two taps take the biases */
    mov r6, #3
    udiv r4, r5, r6
    mls r5, r4, r6, r5
    rsbs r6, r4, #0
    and r6, r6, #UNROLLED - 1
    it eq
    moveq r6, #UNROLLED
    ldr r7, =(3f + 1)
    mov r8, #SIX_TAPS_BYTES
    mla r6, r6, r8, r7
    str r6, [sp, #24]
    cbz r5, 1f
    sub r6, r7, #4
    sub r6, r6, r5, lsl #5 /* TWO_TAPS_BYTES */
1:
    strd r1, r6, [sp, #16]
2:
    ldmia.w r0!, {r5, r6, r12, lr}
    ldr r1, [sp, #16]
    ldmia.w r1!, {r2-r4}
    smlad r7, r12, r2, r5
    smlad r8, r12, r3, r5
    smlad r9, r12, r4, r5
    smlad r10, lr, r2, r6
    smlad r11, lr, r3, r6
    smlad r12, lr, r4, r6
    ldr.w pc, [sp, #20]
    two_taps
    two_taps
    ldr.w pc, [sp, #24]
3:
    .rept UNROLLED
    six_taps
    .endr
    ldr r2, [sp, #28]
    cmp r1, r2
    bne 3b
    ldmia.w r0!, {r2-r4}
    ldmia.w sp, {r1, r5, r6, lr}
    requantize r8, \relu, r2, r3, r4, lr
    strb r8, [r1, r5]
    requantize r9, \relu, r2, r3, r4, lr
    strb r9, [r1, r6]
    requantize r7, \relu, r2, r3, r4, lr
    strb r7, [r1], #1
    ldmia.w r0!, {r2-r4}
    requantize r11, \relu, r2, r3, r4, lr
    strb r11, [r1, r5]
    requantize r12, \relu, r2, r3, r4, lr
    strb r12, [r1, r6]
    requantize r10, \relu, r2, r3, r4, lr
    strb r10, [r1], #1
    str r1, [sp]
    .if \relu == 0
    ldr lr, [sp, #12]
    .endif
    cmp r1, lr
    bne 2b
    add sp, sp, #32
    pop {r4-r11, pc}
    .size \name, . - \name
    .ltorg
    .endm

    multiply ofr_dsp_multiply_16, 0
    multiply ofr_dsp_multiply_16_relu, 1

    .section .text.ofr_dsp_widen_three_16, "ax", %progbits
    .global ofr_dsp_widen_three_16
    .type ofr_dsp_widen_three_16, %function
    .thumb_func
ofr_dsp_widen_three_16:
    push {r4-r10, lr}
    ldmia r0, {r0, r3, r10}
    mov lr, r2
    mov r2, r1
    mov r1, r3
    mov r3, lr
1:
    ldr r4, [r0], #4
    ldr r5, [r1], #4
    ldr r6, [r10], #4
    sxtb16 r7, r4, ror #8
    sxtb16 r8, r5, ror #8
    sxtb16 r9, r6, ror #8
    sxtb16 r4, r4
    sxtb16 r5, r5
    sxtb16 r6, r6
    stmia.w r2!, {r4-r9}
    subs r3, r3, #1
    bne 1b
    mov r0, r2
    pop {r4-r10, pc}
    .size ofr_dsp_widen_three_16, . - ofr_dsp_widen_three_16

    .section .text.ofr_dsp_widen_16, "ax", %progbits
    .global ofr_dsp_widen_16
    .type ofr_dsp_widen_16, %function
    .thumb_func
ofr_dsp_widen_16:
    push {r4-r7}
    add r0, r0, r2, lsl #2
    add r1, r1, r2, lsl #3
    lsrs r2, r2, #1
    bcc 1f
    ldr r5, [r0, #-4]!
    sxtb16 r4, r5
    sxtb16 r5, r5, ror #8
    stmdb r1!, {r4, r5}
    cbz r2, 2f
1:
    ldr r7, [r0, #-4]!
    ldr r5, [r0, #-4]!
    sxtb16 r6, r7
    sxtb16 r7, r7, ror #8
    sxtb16 r4, r5
    sxtb16 r5, r5, ror #8
    stmdb r1!, {r4-r7}
    subs r2, r2, #1
    bne 1b
2:
    pop {r4-r7}
    bx lr
    .size ofr_dsp_widen_16, . - ofr_dsp_widen_16

/* Two taps of one pixel by four channels: r0 weights, r10 to r12 and lr sums. All of four bytes. */
    .macro two_by_four taps
    ldmia.w r0!, {r6-r9}
    smlad r10, r6, \taps, r10
    smlad r11, r7, \taps, r11
    smlad r12, r8, \taps, r12
    smlad lr, r9, \taps, lr
    .endm

    .macro eight_by_four
    ldmia.w r1!, {r2-r5}
    two_by_four r2
    two_by_four r3
    two_by_four r4
    two_by_four r5
    .endm

    .equ ROW_UNROLLED, 8
    .equ ROW_BYTES, 21 * 4

/* Stack: multiplier, offset, exponent, taps, end of taps, entry, out, end of out. */
    .section .text.ofr_dsp_multiply_row_16, "ax", %progbits
    .global ofr_dsp_multiply_row_16
    .type ofr_dsp_multiply_row_16, %function
    .thumb_func
ofr_dsp_multiply_row_16:
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
    eight_by_four
    .endr
    ldr r2, [sp, #16]
    cmp r1, r2
    bne 2b
    ldmia.w sp, {r2-r4}
    ldr r1, [sp, #24]
    requantize r10, 0, r2, r3, r4, r5
    strb r10, [r1], #1
    requantize r11, 0, r2, r3, r4, r5
    strb r11, [r1], #1
    requantize r12, 0, r2, r3, r4, r5
    strb r12, [r1], #1
    requantize lr, 0, r2, r3, r4, r5
    strb lr, [r1], #1
    str r1, [sp, #24]
    ldr r5, [sp, #28]
    cmp r1, r5
    bne 1b
    add sp, sp, #32
    pop {r4-r11, pc}
    .size ofr_dsp_multiply_row_16, . - ofr_dsp_multiply_row_16
    .ltorg

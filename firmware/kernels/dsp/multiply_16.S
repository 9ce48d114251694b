/* Inner products of the dsp kernels with weights at int16, for Armv7E-M and Armv8-M with DSP: see multiply.h. */
    .syntax unified
    .thumb

#include "linear.h"
#include "taps_16.h"

    .equ UNROLLED, 8 /* a power of 2 */

/* Twice a sum to an output byte. */
    .macro requantize sum, multiplier, offset, exponent, temporary
    add \temporary, \offset, \sum, asr #31
    smmlar \sum, \sum, \multiplier, \temporary
    asr \sum, \sum, \exponent
    ssat \sum, #8, \sum
    .endm

/* Stack: b of the outputs less a, end of a, c less a, a; taps, entry for the taps that are left by sixes, entry for the
 * sixes, end of taps, requantization. */
    .section .text.ofr_dsp_multiply_16, "ax", %progbits
    .global ofr_dsp_multiply_16
    .type ofr_dsp_multiply_16, %function
    .thumb_func
ofr_dsp_multiply_16:
    push {r4-r11, lr}
    sub sp, sp, #40
    ldrd r5, r10, [sp, #76] /* groups of four taps, linear */
    ldmia r2, {r6-r8}
    subs r7, r7, r6
    sub r8, r8, r6
    add r4, r6, r3, lsl #1
    strd r7, r4, [sp]
    strd r8, r6, [sp, #8]
    lsls r5, r5, #1
    movs r6, #12
    mla r4, r5, r6, r1
    subs r5, r5, #1 /* the first two taps take the biases */
    movs r6, #3
    udiv r9, r5, r6
    mls r5, r9, r6, r5
    rsbs r6, r9, #0
    and r6, r6, #UNROLLED - 1
    it eq
    moveq r6, #UNROLLED
    ldr r7, =(3f + 1)
    mov r8, #SIX_TAPS_BYTES
    mla r6, r6, r8, r7
    strd r6, r4, [sp, #24]
    cmp r10, #0
    ite ne
    addne r10, r7, #4f - 3f
    addeq r10, r7, #6f - 3f
    str r10, [sp, #32]
    cbz r5, 1f
    subs r6, r7, #4
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
    ldr pc, [sp, #32]
4:
    ldmia r0!, {r4, r5}
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
    bne 2b
    add sp, sp, #40
    pop {r4-r11, pc}
6:
    ldmia.w sp, {r1, r2, r6, lr}
    ldmia r0!, {r2-r4}
    requantize r8, r2, r3, r4, r5
    strb r8, [lr, r1]
    requantize r9, r2, r3, r4, r5
    strb r9, [lr, r6]
    requantize r7, r2, r3, r4, r5
    strb r7, [lr], #1
    ldmia r0!, {r2-r4}
    requantize r11, r2, r3, r4, r5
    strb r11, [lr, r1]
    requantize r12, r2, r3, r4, r5
    strb r12, [lr, r6]
    requantize r10, r2, r3, r4, r5
    strb r10, [lr], #1
    ldr r2, [sp, #4]
    b 5b
    .size ofr_dsp_multiply_16, . - ofr_dsp_multiply_16
    .ltorg

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

    .equ ROW_UNROLLED, 4
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
    subs r5, r5, #1
    and r5, r5, #ROW_UNROLLED - 1
    rsb r5, r5, #ROW_UNROLLED - 1
    movs r6, #ROW_BYTES
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
    .size ofr_dsp_multiply_row_16, . - ofr_dsp_multiply_row_16
    .ltorg

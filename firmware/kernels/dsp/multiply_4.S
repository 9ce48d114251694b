/* Inner products of the dsp kernels with weights at four bits, for Armv7E-M and Armv8-M with DSP: see multiply.h. */
    .syntax unified
    .thumb

#include "linear.h"
#include "row_4.h"

    .equ UNROLLED, 4 /* a power of 2 */
    .equ ROW_UNROLLED, 4 /* the same */

/* 16 times a sum to an output byte. */
    .macro requantize sum, multiplier, offset, exponent, temporary
    add \temporary, \offset, \sum, asr #31
    asr \sum, \sum, #3
    smmlar \sum, \sum, \multiplier, \temporary
    asr \sum, \sum, \exponent
    ssat \sum, #8, \sum
    .endm

    .macro linear_4 sum, multiplier, more
    smmla \sum, \sum, \multiplier, \more
    ssat \sum, #8, \sum, asr #OFR_DSP_LINEAR_SHIFT_4
    .endm

    .macro channel_0 weights
    smlad r7, \weights, r2, r7
    smlad r8, \weights, r3, r8
    smlad r9, \weights, r4, r9
    .endm
    .macro channel_1 weights
    smlad r10, \weights, r2, r10
    smlad r11, \weights, r3, r11
    smlad r12, \weights, r4, r12
    .endm

/* Eight taps by three pixels and two channels: r0 weights, r1 taps, r7 to r12 sums. Every instruction has four bytes. */
    .macro eight_taps
    ldmia.w r1!, {r2-r4}
    ldmia.w r0!, {r5, r6}
    sxtb16 lr, r5
    channel_0 lr
    sxtb16 lr, r6
    channel_1 lr
    ldmia.w r1!, {r2-r4}
    and lr, r5, #0x000f000f
    channel_0 lr
    and lr, r6, #0x000f000f
    channel_1 lr
    ldmia.w r1!, {r2-r4}
    sxtb16 r5, r5, ror #8
    channel_0 r5
    sxtb16 r6, r6, ror #8
    channel_1 r6
    ldmia.w r1!, {r2-r4}
    and r5, r5, #0x000f000f
    channel_0 r5
    and r6, r6, #0x000f000f
    channel_1 r6
    .endm
    .equ EIGHT_TAPS_BYTES, 37 * 4

/* Stack: taps, what the offset of the weights adds to each pixel's sums, less; b of the outputs less a, end of a, c less
 * a, a; end of taps, first entry, entry for the eights, requantization. */
    .section .text.ofr_dsp_multiply_4, "ax", %progbits
    .global ofr_dsp_multiply_4
    .type ofr_dsp_multiply_4, %function
    .thumb_func
ofr_dsp_multiply_4:
    push {r4-r11, lr}
    sub sp, sp, #48
    ldmia r2, {r6-r8}
    subs r7, r7, r6
    sub r8, r8, r6
    add r4, r6, r3, lsl #1
    strd r7, r4, [sp, #16]
    strd r8, r6, [sp, #24]
    str r1, [sp]
    ldr r3, [sp, #84] /* groups of four taps */
    mvn r12, #0x00070007 /* -8 twice */
    movs r2, #0
    mov r10, r2
    mov r11, r2
1:
    ldmia.w r1!, {r4-r9}
    smlad r2, r4, r12, r2
    smlad r10, r5, r12, r10
    smlad r11, r6, r12, r11
    smlad r2, r7, r12, r2
    smlad r10, r8, r12, r10
    smlad r11, r9, r12, r11
    subs r3, r3, #1
    bne 1b
    strd r2, r10, [sp, #4]
    str r11, [sp, #12]
    str r1, [sp, #32]
    ldrd r5, r10, [sp, #84] /* groups, linear */
    ldr r7, =(3f + 1)
    cmp r10, #0
    ite ne
    addne r10, r7, #4f - 3f
    addeq r10, r7, #6f - 3f
    str r10, [sp, #44]
    lsrs r6, r5, #1 /* eights */
    beq 8f
    rsbs r6, r6, #0
    and r6, r6, #UNROLLED - 1
    mov r8, #EIGHT_TAPS_BYTES
    mla r10, r6, r8, r7
8:
    mov r6, r10
    tst r5, #1
    it ne
    subne r6, r7, #3f - 9f
    strd r6, r10, [sp, #36]
2:
    ldmia.w r0!, {r5, r6}
    ldmia.w sp, {r1-r4}
    add r7, r5, r2
    add r8, r5, r3
    add r9, r5, r4
    add r10, r6, r2
    add r11, r6, r3
    add r12, r6, r4
    ldr.w pc, [sp, #36]
9:
    ldmia.w r1!, {r2-r4}
    ldr.w r5, [r0], #4
    sxtb16 lr, r5
    channel_0 lr
    sxtb16 r6, r5, ror #8
    channel_1 r6
    ldmia.w r1!, {r2-r4}
    and r5, r5, #0x000f000f
    channel_0 r5
    and r6, r6, #0x000f000f
    channel_1 r6
    ldr.w pc, [sp, #40]
3:
    .rept UNROLLED
    eight_taps
    .endr
    ldr r2, [sp, #32]
    cmp r1, r2
    bne 3b
    ldr pc, [sp, #44]
4:
    ldmia r0!, {r2-r5}
    ldr r1, [sp, #16]
    ldrd r6, lr, [sp, #24]
    linear_4 r8, r2, r3
    strb r8, [lr, r1]
    linear_4 r9, r2, r3
    strb r9, [lr, r6]
    linear_4 r7, r2, r3
    strb r7, [lr], #1
    linear_4 r11, r4, r5
    strb r11, [lr, r1]
    linear_4 r12, r4, r5
    strb r12, [lr, r6]
    linear_4 r10, r4, r5
    strb r10, [lr], #1
    ldr r2, [sp, #20]
5:
    str lr, [sp, #28]
    cmp lr, r2
    bne 2b
    add sp, sp, #48
    pop {r4-r11, pc}
6:
    ldrd r1, r2, [sp, #16]
    ldrd r6, lr, [sp, #24]
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
    ldr r2, [sp, #20]
    b 5b
    .size ofr_dsp_multiply_4, . - ofr_dsp_multiply_4
    .ltorg

/* Sixteen taps of one pixel by four channels: r0 weights, r1 taps, r9 to r12 sums. All of four bytes. */
    .macro row_first weights, sum
    smlad \sum, \weights, r2, \sum
    and lr, \weights, #0x000f000f
    smlad \sum, lr, r3, \sum
    sxtb16 \weights, \weights, ror #8
    smlad \sum, \weights, r4, \sum
    .endm
    .macro row_second weights, sum
    and \weights, \weights, #0x000f000f
    smlad \sum, \weights, r2, \sum
    .endm
    .macro row_third weights, sum
    smlad \sum, \weights, r3, \sum
    and lr, \weights, #0x000f000f
    smlad \sum, lr, r4, \sum
    sxtb16 \weights, \weights, ror #8
    .endm
    .macro row_fourth weights, sum
    smlad \sum, \weights, r2, \sum
    and \weights, \weights, #0x000f000f
    smlad \sum, \weights, r3, \sum
    .endm
    .macro by_four step
    \step r5, r9
    \step r6, r10
    \step r7, r11
    \step r8, r12
    .endm
    .macro sixteen_taps
    ldmia.w r1!, {r2-r4}
    ldmia.w r0!, {r5-r8}
    by_four row_first
    ldmia.w r1!, {r2-r4}
    by_four row_second
    ldmia.w r0!, {r5-r8}
    by_four row_third
    ldmia.w r1!, {r2, r3}
    by_four row_fourth
    .endm
    .equ SIXTEEN_TAPS_BYTES, 61 * 4

/* Stack: multiplier, offset, exponent, end of taps, taps, what stands in front of them, entry, out, end of out. */
    .section .text.ofr_dsp_multiply_row_4, "ax", %progbits
    .global ofr_dsp_multiply_row_4
    .type ofr_dsp_multiply_row_4, %function
    .thumb_func
ofr_dsp_multiply_row_4:
    push {r4-r11, lr}
    sub sp, sp, #40
    ldmia r3, {r4-r8} /* quads, eights, multiplier, offset, exponent */
    stmia sp, {r6-r8}
    add r4, r2, r4, lsl #2
    strd r2, r4, [sp, #28]
    adds r5, r5, #1
    lsrs r5, r5, #1 /* sixteens */
    ldr r7, [r1], #OFR_DSP_ROW_4_HEAD
    add r6, r1, r5, lsl #5
    strd r6, r1, [sp, #12]
    str r7, [sp, #20]
    rsbs r5, r5, #0
    and r5, r5, #ROW_UNROLLED - 1
    movs r6, #SIXTEEN_TAPS_BYTES
    ldr r7, =(2f + 1)
    mla r5, r5, r6, r7
    str r5, [sp, #24]
1:
    ldmia.w r0!, {r9-r12}
    ldrd r1, r2, [sp, #16]
    add r9, r9, r2
    add r10, r10, r2
    add r11, r11, r2
    add r12, r12, r2
    ldr pc, [sp, #24]
2:
    .rept ROW_UNROLLED
    sixteen_taps
    .endr
    ldr r2, [sp, #12]
    cmp r1, r2
    bne 2b
    ldmia.w sp, {r2-r4}
    ldr r1, [sp, #28]
    requantize r9, r2, r3, r4, r5
    strb r9, [r1], #1
    requantize r10, r2, r3, r4, r5
    strb r10, [r1], #1
    requantize r11, r2, r3, r4, r5
    strb r11, [r1], #1
    requantize r12, r2, r3, r4, r5
    strb r12, [r1], #1
    str r1, [sp, #28]
    ldr r5, [sp, #32]
    cmp r1, r5
    bne 1b
    add sp, sp, #40
    pop {r4-r11, pc}
    .size ofr_dsp_multiply_row_4, . - ofr_dsp_multiply_row_4
    .ltorg

/* r0 bytes, r1 taps, r2 eights, from the end; r8 0, r9 to lr constants, r3 and r12 what is added up. */
    .section .text.ofr_dsp_widen_row_4, "ax", %progbits
    .global ofr_dsp_widen_row_4
    .type ofr_dsp_widen_row_4, %function
    .thumb_func
ofr_dsp_widen_row_4:
    push {r4-r11, lr}
    add r0, r0, r2, lsl #3
    add r1, r1, r2, lsl #4
    movs r3, #0
    mov r12, r3
    mov r8, r3
    mov r9, #0xff00ff00
    mov r10, #0x01000100
    movw lr, #0x0ff0
    movt lr, #0x0ff0
1:
    ldr r7, [r0, #-4]!
    ldr r5, [r0, #-4]!
    sxtb16 r4, r5, ror #8
    eor r5, r5, #0x80808080
    eor r7, r7, #0x80808080
    usada8 r3, r5, r8, r3
    uxtb16 r6, r7, ror #8
    and r5, lr, r5, lsl #4
    and r7, lr, r7, lsl #4
    smlad r12, r7, r10, r12
    ssub16 r5, r5, r4
    ssub16 r6, r6, r10
    ssub16 r7, r7, r6
    and r11, r9, r4, lsl #8
    ssub16 r6, r6, r11
    stmdb r1!, {r4-r7}
    subs r2, r2, #1
    bne 1b
    lsls r3, r3, #7
    add r3, r3, r12, asr #5 /* 256 times 16 to 128 times */
    rsbs r0, r3, #0
    pop {r4-r11, pc}
    .size ofr_dsp_widen_row_4, . - ofr_dsp_widen_row_4

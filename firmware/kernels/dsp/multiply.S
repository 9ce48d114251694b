/* Inner products of the dsp kernels, for Armv7E-M and Armv8-M with DSP: see multiply.h for layouts and arithmetic. */
#include "linear.h"
#include "taps.h"

    .syntax unified
    .thumb

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
    subs r7, r7, r6
    sub r8, r8, r6
    add r4, r6, r3, lsl #1
    strd r7, r4, [sp]
    strd r8, r6, [sp, #8]
    subs r5, r5, #1
    lsrs r6, r5, #UNROLLED_BITS
    adds r6, r6, #1
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
    bne 1b
    add sp, sp, #32
    pop {r4-r11, pc}
4:
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
    .size ofr_dsp_multiply, . - ofr_dsp_multiply
    .ltorg

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

    .equ ROW_UNROLLED, 4
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

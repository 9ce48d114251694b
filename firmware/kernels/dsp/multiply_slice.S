/* ofr_dsp_multiply for a layer whose weights stand apart from the rest: see multiply.h and slice.h. */
#include "linear.h"

    .syntax unified
    .thumb

#include "taps.h"

    .equ UNROLLED_BITS, 3
    .equ UNROLLED, 1 << UNROLLED_BITS
    .equ GROUP_BYTES, 17 * 4

/* Stack: as that of ofr_dsp_multiply, then the next pair's numbers, bytes of weights to skip, the slice. */
    .section .text.ofr_dsp_multiply_slice, "ax", %progbits
    .global ofr_dsp_multiply_slice
    .type ofr_dsp_multiply_slice, %function
    .thumb_func
ofr_dsp_multiply_slice:
    push {r4-r11, lr}
    sub sp, sp, #44
    ldrd r5, r10, [sp, #80] /* groups, linear */
    str r0, [sp, #40]
    ldmia r0, {r0, r6, r7}
    strd r6, r7, [sp, #32]
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
    ldr r2, [sp, #32]
    ldrd r1, lr, [sp, #16]
    ldrd r7, r10, [r2]
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
    ldrd r3, r5, [sp, #32]
    ldmia.w sp, {r1, r2, r6, lr}
    add r0, r0, r5
    ldrd r4, r5, [r3, #8]
    adds r3, r3, #16
    str r3, [sp, #32]
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
    ldrd r2, r3, [sp, #32]
    ldr r1, [sp, #40]
    adds r1, r1, #12
    stmia.w r1, {r0, r2, r3}
    mov r0, r1
    add sp, sp, #44
    pop {r4-r11, pc}
4:
    ldrd r2, r3, [sp, #32]
    add r0, r0, r3
    add r5, r2, #8
    ldmia r5!, {r2-r4}
    str r5, [sp, #32]
    ldr r1, [sp]
    ldrd r6, lr, [sp, #8]
    requantize r8, r2, r3, r4, r5
    strb r8, [lr, r1]
    requantize r9, r2, r3, r4, r5
    strb r9, [lr, r6]
    requantize r7, r2, r3, r4, r5
    strb r7, [lr], #1
    ldr r5, [sp, #32]
    ldmia r5!, {r2-r4}
    str r5, [sp, #32]
    requantize r11, r2, r3, r4, r5
    strb r11, [lr, r1]
    requantize r12, r2, r3, r4, r5
    strb r12, [lr, r6]
    requantize r10, r2, r3, r4, r5
    strb r10, [lr], #1
    ldr r2, [sp, #4]
    b 5b
    .size ofr_dsp_multiply_slice, . - ofr_dsp_multiply_slice
    .ltorg

/* Depthwise 3x3 lines of the dsp set, for Armv7E-M and Armv8-M with DSP: see depthwise.h. */
#include "linear.h"

    .syntax unified
    .thumb

/* Stack of the lines: M, c, e, then these; in the linear form M is at 8. */
    .equ STEP, 12 /* 0 for a last odd output */
    .equ BIAS, 16 /* twice */
    .equ END, 24
    .equ LINE_BYTES, 28 /* of the outputs in pairs */
    .equ ODD, 32 /* STEP if an output is left behind them */
    .equ REWIND, 36
    .equ OUT_LINE, 40 /* from there to the next line */
    .equ LINES_LEFT, 44
    .equ IN, 48
    .equ PLANE, 52
    .equ CHANNELS, 56
    .equ BLOCK, 60
    .equ FIRST_OUT, 64
    .equ LINES, 68
    .equ PITCH, 72
    .equ FRAME, 76

/* One row of three weights, two outputs at stride 1. */
    .macro row_s1 row, w01, w12
    ldrd r3, r4, [\row], #4
    smlad r11, r3, \w01, r11
    smlatb r12, r3, \w01, r12
    smlabt r11, r4, \w12, r11
    smlad r12, r4, \w12, r12
    .endm

/* The same at stride 2. */
    .macro row_s2 row, w01, w12
    ldrd r3, r4, [\row], #8
    smlad r11, r3, \w01, r11
    ldr r3, [\row]
    smlabt r11, r4, \w12, r11
    smlad r12, r4, \w01, r12
    smlabt r12, r3, \w12, r12
    .endm

    .macro lines name, row, advance, linear
    .section .text.\name, "ax", %progbits
    .global \name
    .type \name, %function
    .thumb_func
\name:
    push {r4-r11, lr}
    sub sp, sp, #FRAME
    ldrd r10, r11, [r0, #32] /* plane, channels */
    strd r10, r11, [sp, #PLANE]
    str r1, [sp, #BLOCK]
    ldmia r0, {r2-r9} /* in, pitch, next line, out, step, line step, outputs, lines */
    str r2, [sp, #IN]
    str r3, [sp, #PITCH]
    strd r5, r9, [sp, #FIRST_OUT]
    str r6, [sp, #STEP]
    and r10, r8, #1
    lsr r11, r8, #1
    mul r12, r11, r6
    lsl r12, r12, #1
    sub r7, r7, r12
    str r7, [sp, #OUT_LINE]
    mul r7, r10, r6
    strd r12, r7, [sp, #LINE_BYTES]
    add r11, r11, r10
    mov r12, #\advance
    mls r4, r11, r12, r4
    str r4, [sp, #REWIND]
0:
    ldr lr, [sp, #BLOCK]
    ldmia lr!, {r5-r10}
    .if \linear
    ldmia lr!, {r3, r4} /* bias, M */
    str r4, [sp, #8]
    .else
    ldmia lr!, {r3, r4, r11, r12} /* bias, M, c, e */
    strd r4, r11, [sp]
    str r12, [sp, #8]
    .endif
    str lr, [sp, #BLOCK]
    strd r3, r3, [sp, #BIAS]
    ldr r0, [sp, #IN]
    ldr r3, [sp, #PITCH]
    add r1, r0, r3
    add r2, r1, r3
    ldrd lr, r4, [sp, #FIRST_OUT]
    str r4, [sp, #LINES_LEFT]
1:
    ldr r3, [sp, #LINE_BYTES]
    add r4, lr, r3
    str r4, [sp, #END]
    cmp r3, #0
    beq 3f
2:
    ldrd r11, r12, [sp, #BIAS]
    \row r0, r5, r6
    \row r1, r7, r8
    \row r2, r9, r10
    .if \linear
    ldrd r4, r3, [sp, #8]
    smmul r11, r11, r4
    smmul r12, r12, r4
    ssat r11, #8, r11, asr #OFR_DSP_LINEAR_SHIFT
    ssat r12, #8, r12, asr #OFR_DSP_LINEAR_SHIFT
    .else
    ldrd r3, r4, [sp]
    add r4, r4, r11, asr #31
    smmlar r11, r11, r3, r4
    ldr r4, [sp, #4]
    add r4, r4, r12, asr #31
    smmlar r12, r12, r3, r4
    ldrd r4, r3, [sp, #8]
    asr r11, r11, r4
    asr r12, r12, r4
    ssat r11, #8, r11
    ssat r12, #8, r12
    .endif
    strb r12, [lr, r3]
    strb r11, [lr]
    add lr, lr, r3, lsl #1
    ldr r3, [sp, #END]
    cmp lr, r3
    bne 2b
3:
    ldr r4, [sp, #ODD]
    cbz r4, 4f
    ldr r3, [sp, #STEP] /* the last output alone: its neighbour is written first, to the same place */
    eors r3, r3, r4
    str r3, [sp, #STEP]
    beq 2b
4:
    ldrd r3, r4, [sp, #REWIND]
    add r0, r0, r3
    add r1, r1, r3
    add r2, r2, r3
    add lr, lr, r4
    ldr r4, [sp, #LINES_LEFT]
    subs r4, r4, #1
    str r4, [sp, #LINES_LEFT]
    bne 1b
    ldrd r3, r4, [sp, #IN]
    add r3, r3, r4
    str r3, [sp, #IN]
    ldr r3, [sp, #FIRST_OUT]
    adds r3, r3, #1
    str r3, [sp, #FIRST_OUT]
    ldr r3, [sp, #CHANNELS]
    subs r3, r3, #1
    str r3, [sp, #CHANNELS]
    bne 0b
    add sp, sp, #FRAME
    pop {r4-r11, pc}
    .size \name, . - \name
    .endm

    lines ofr_dsp_lines_s1, row_s1, 4, 0
    lines ofr_dsp_lines_s2, row_s2, 8, 0
    lines ofr_dsp_lines_linear_s1, row_s1, 4, 1
    lines ofr_dsp_lines_linear_s2, row_s2, 8, 1

/* Four channels of two pixels, in r4 and r5, to a word of each plane. */
    .macro split
    pkhbt r6, r4, r5, lsl #16
    pkhtb r7, r5, r4, asr #16
    sxtb16 r8, r6, ror #8
    sxtb16 r6, r6
    sxtb16 r9, r7, ror #8
    sxtb16 r7, r7
    str r8, [r2, r3]
    str r7, [r2, r3, lsl #1]
    str r9, [r2, lr]
    str r6, [r2], #4
    .endm

    .section .text.ofr_dsp_planar, "ax", %progbits
    .global ofr_dsp_planar
    .type ofr_dsp_planar, %function
    .thumb_func
ofr_dsp_planar:
    push {r4-r10, lr}
    mov r10, r0
    ldmia r10, {r0-r3, r12} /* pixels, bytes between them, planes, words between planes, zero */
    lsl r3, r3, #2
    add lr, r3, r3, lsl #1
    ldr r4, [r10, #20] /* head */
    cbz r4, 1f
    mov r4, r12
    ldr r5, [r0]
    add r0, r0, r1
    split
1:
    ldr r4, [r10, #24] /* pairs */
    cbz r4, 3f
    push {r12}
    mov r12, r4
2:
    ldr r4, [r0]
    ldr r5, [r0, r1]
    add r0, r0, r1, lsl #1
    split
    subs r12, r12, #1
    bne 2b
    pop {r12}
3:
    ldr r4, [r10, #28] /* tail */
    cbz r4, 4f
    ldr r4, [r0]
    mov r5, r12
    split
4:
    pop {r4-r10, pc}
    .size ofr_dsp_planar, . - ofr_dsp_planar

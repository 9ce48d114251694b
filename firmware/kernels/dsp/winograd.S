/* Inner parts of the Winograd convolution, for Armv7E-M and Armv8-M with DSP: see winograd.h. */
    .syntax unified
    .thumb

#include "linear.h"
#include "taps_16.h"

/* r0 ofr_dsp_rows, r1 where to, r2 the end of that. Stored, of channels 0 and 2 (E) and 1 and 3 (O): E0 O1 E2 E3 E1 O0 O2
 * O3. */
    .section .text.ofr_dsp_winograd_columns, "ax", %progbits
    .global ofr_dsp_winograd_columns
    .type ofr_dsp_winograd_columns, %function
    .thumb_func
ofr_dsp_winograd_columns:
    push {r0, r4-r11, lr}
    push {r2}
    mov lr, r1
    ldmia r0, {r0-r3}
1:
    ldr r4, [r0], #4
    ldr r5, [r1], #4
    ldr r6, [r2], #4
    ldr r7, [r3], #4
    sxtb16 r9, r4, ror #8
    sxtb16 r10, r5, ror #8
    sxtb16 r11, r6, ror #8
    sxtb16 r12, r7, ror #8
    sxtb16 r4, r4
    sxtb16 r5, r5
    sxtb16 r6, r6
    sxtb16 r7, r7
    sadd16 r8, r5, r6
    ssub16 r4, r4, r6
    ssub16 r7, r5, r7
    ssub16 r6, r6, r5
    sadd16 r5, r10, r11
    ssub16 r9, r9, r11
    ssub16 r12, r10, r12
    ssub16 r11, r11, r10
    stmia lr!, {r4-r9, r11, r12}
    ldr r10, [sp]
    cmp lr, r10
    bne 1b
    pop {r4, r5}
    stmia r5, {r0-r3}
    pop {r4-r11, pc}
    .size ofr_dsp_winograd_columns, . - ofr_dsp_winograd_columns

/* Four planes of two channels: r0 to r3 columns, r5 plane, r11 three planes. */
    .macro four_planes at, out
    ldr r6, [r0, #4 * \at]
    ldr r7, [r1, #4 * \at]
    ldr r8, [r2, #4 * \at]
    ldr r9, [r3, #4 * \at]
    sadd16 lr, r7, r8
    ssub16 r6, r6, r8
    ssub16 r9, r7, r9
    ssub16 r8, r8, r7
    str r6, [\out]
    str lr, [\out, r5]
    str r8, [\out, r5, lsl #1]
    str r9, [\out, r11]
    add \out, \out, r5, lsl #2
    .endm

/* r0 ofr_dsp_patch. */
    .section .text.ofr_dsp_winograd_patch, "ax", %progbits
    .global ofr_dsp_winograd_patch
    .type ofr_dsp_winograd_patch, %function
    .thumb_func
ofr_dsp_winograd_patch:
    push {r0, r4-r11, lr}
    ldmia r0, {r0-r5, r12} /* columns, out, plane, quads */
    add r10, r4, #12
    add r11, r5, r5, lsl #1
1:
    four_planes 0, r4
    four_planes 4, r4
    four_planes 2, r4
    four_planes 3, r4
    four_planes 5, r10
    four_planes 1, r10
    four_planes 6, r10
    four_planes 7, r10
    sub r4, r4, r5, lsl #4
    add r4, r4, #24
    add r10, r4, #12
    add r0, r0, #32
    add r1, r1, #32
    add r2, r2, #32
    add r3, r3, #32
    subs r12, r12, #1
    bne 1b
    pop {r4}
    stmia r4, {r0-r3}
    pop {r4-r11, pc}
    .size ofr_dsp_winograd_patch, . - ofr_dsp_winograd_patch

/* A column of sums: top and bottom are those of its two outputs. r2 first sum, r4 four planes, r5 twelve. */
    .macro column_sums top, bottom, bias
    ldr r6, [r2]
    ldr r7, [r2, r4]
    ldr r8, [r2, r4, lsl #1]
    ldr r9, [r2, r5]
    .ifnb \bias
    add r7, r7, \bias
    .endif
    add \top, r6, r7
    add \top, \top, r8
    sub \bottom, r7, r8
    sub \bottom, \bottom, r9
    .endm

/* Four times a sum to an output byte. */
    .macro requantize_fourfold sum
    asr r9, \sum, #31
    add r9, r3, r9, lsl #1
    smmla \sum, \sum, r2, r9
    asr \sum, \sum, r4
    ssat \sum, #8, \sum
    .endm

    .macro first_taps
    ldmia.w r1!, {r2-r4}
    ldmia.w r0!, {r5, r6}
    smuad r7, r5, r2
    smuad r8, r5, r3
    smuad r9, r5, r4
    smuad r10, r6, r2
    smuad r11, r6, r3
    smuad r12, r6, r4
    .endm
    .equ SIXES, 10

/* Stack: where the sums of an output's tile are, plane, 4 planes, 12 planes, end of tiles, channels left of a pair; end of
 * planes, entries as ofr_dsp_multiply_16 has them, pairs left, arguments, requantization. */
    .equ SUM, 0
    .equ TILES_END, 16
    .equ CHANNELS, 20
    .equ END, 24
    .equ ENTRY, 28
    .equ ENTRY_SIXES, 32
    .equ PAIRS, 36
    .equ ARGUMENTS, 40
    .equ REQUANTIZATION, 44
    .equ FRAME, 48
    .section .text.ofr_dsp_winograd_channels, "ax", %progbits
    .global ofr_dsp_winograd_channels
    .type ofr_dsp_winograd_channels, %function
    .thumb_func
ofr_dsp_winograd_channels:
    push {r4-r11, lr}
    sub sp, sp, #FRAME
    strd r2, r1, [sp, #PAIRS]
    ldr r3, [r1, #28] /* linear */
    ldr r7, =(3f + 1)
    cmp r3, #0
    ite ne
    addwne r3, r7, #6f - 3f
    addweq r3, r7, #7f - 3f
    str r3, [sp, #REQUANTIZATION]
    ldmia r1, {r3-r7} /* planes, sums, plane, end, pairs of taps */
    lsl r8, r5, #2
    add r9, r8, r8, lsl #1
    ldr r10, [r1, #20]
    add r10, r10, #48
    strd r5, r8, [sp, #SUM + 4]
    strd r9, r10, [sp, #SUM + 12]
    str r6, [sp, #END]
    subs r7, r7, #2 /* the first are always there */
    movs r6, #3
    udiv r4, r7, r6
    mls r5, r4, r6, r7
    rsb r4, r4, #SIXES
    ldr r7, =(3f + 1)
    movs r6, #SIX_TAPS_BYTES
    mla r6, r4, r6, r7
    str r6, [sp, #ENTRY_SIXES]
    cbz r5, 1f
    subs r6, r7, #4
    sub r6, r6, r5, lsl #5 /* TWO_TAPS_BYTES */
1:
    str r6, [sp, #ENTRY]
    mov r1, r3
2:
    first_taps
    two_taps
    ldr.w pc, [sp, #ENTRY]
    two_taps
    two_taps
    ldr.w pc, [sp, #ENTRY_SIXES]
3:
    .rept SIXES
    six_taps
    .endr
    stmia.w r1!, {r7-r12}
    ldr r2, [sp, #END]
    cmp r1, r2
    bne 2b
    ldr r1, [sp, #ARGUMENTS]
    ldr r3, [r1, #24] /* add */
    cbz r3, 4f
    mov r4, r0
    mov r0, r1
    blx r3
    mov r0, r4
    ldr r1, [sp, #ARGUMENTS]
4:
    ldr r2, [r1, #4] /* sums */
    str r2, [sp, #SUM]
    ldr r1, [r1, #20] /* tiles */
    movs r2, #2
    str r2, [sp, #CHANNELS]
5: /* all outputs of a channel */
    ldmia.w sp, {r2-r5}
    add r6, r2, #4
    str r6, [sp, #SUM]
    column_sums r10, r12
    add r2, r2, r3
    ldr lr, [r0] /* bias */
    column_sums r11, lr, lr
    add r10, r10, r11
    add r12, r12, lr
    add r2, r2, r3
    column_sums r6, r7
    add r10, r10, r6
    sub r11, r11, r6
    add r12, r12, r7
    sub lr, lr, r7
    add r2, r2, r3
    column_sums r6, r7
    sub r11, r11, r6
    sub lr, lr, r7
    ldmia.w r1!, {r5-r8} /* out, to the next row, to the next column, to both */
    ldr.w pc, [sp, #REQUANTIZATION]
6:
    ldr r2, [r0, #4]
    linear lr, r2
    strb lr, [r5, r8]
    linear r12, r2
    strb r12, [r5, r6]
    linear r11, r2
    strb r11, [r5, r7]
    linear r10, r2
    strb r10, [r5], #1
    str r5, [r1, #-16]
    ldr r2, [sp, #TILES_END]
    cmp r1, r2
    bne 5b
    add r0, r0, #8
    b 8f
7:
    ldrd r2, r3, [r0, #4]
    ldr r4, [r0, #12]
    requantize_fourfold lr
    strb lr, [r5, r8]
    requantize_fourfold r12
    strb r12, [r5, r6]
    requantize_fourfold r11
    strb r11, [r5, r7]
    requantize_fourfold r10
    strb r10, [r5], #1
    str r5, [r1, #-16]
    ldr r2, [sp, #TILES_END]
    cmp r1, r2
    bne 5b
    add r0, r0, #16
8:
    subs r1, r1, #48
    ldr r2, [sp, #CHANNELS]
    subs r2, r2, #1
    str r2, [sp, #CHANNELS]
    bne 5b
    ldrd r2, r1, [sp, #PAIRS]
    ldr r1, [r1] /* planes */
    subs r2, r2, #1
    str r2, [sp, #PAIRS]
    bne 2b
    add sp, sp, #FRAME
    pop {r4-r11, pc}
    .size ofr_dsp_winograd_channels, . - ofr_dsp_winograd_channels
    .ltorg

/* One position of a depthwise convolution, for Armv7E-M and Armv8-M with DSP: see depthwise_conv_2d.h. */
    .syntax unified
    .thumb

/* Stack: offsets, pairs, fours, multiplier, out, outputs left of these four channels. */
    .equ FOURS, 8
    .equ MULTIPLIER, 12
    .equ OUT, 16
    .equ LEFT, 20
    .equ FRAME, 24

/* r6 where to, r7 distance of the lanes. */
    .macro lane sum
    ldmia.w r2!, {r3-r5}
    add r4, r4, \sum, asr #31
    smmlar \sum, \sum, r3, r4
    asr \sum, \sum, r5
    ssat \sum, #8, \sum
    strb \sum, [r6]
    add r6, r6, r7
    .endm

    .section .text.ofr_dsp_depthwise_position, "ax", %progbits
    .global ofr_dsp_depthwise_position
    .type ofr_dsp_depthwise_position, %function
    .thumb_func
ofr_dsp_depthwise_position:
    push {r4-r11, lr}
    sub sp, sp, #FRAME
    ldmia r1, {r3-r7}
    stmia sp, {r3-r7}
0:
    ldr r3, [sp, #MULTIPLIER]
    str r3, [sp, #LEFT]
1:
    ldrd r1, lr, [sp]
    ldmia r2!, {r9-r12}
2:
    ldmia r1!, {r3, r4}
    ldr r3, [r0, r3]
    ldr r4, [r0, r4]
    ldrd r7, r8, [r2], #8
    pkhbt r5, r3, r4, lsl #16
    pkhtb r6, r4, r3, asr #16
    sxtb16 r3, r5
    sxtb16 r5, r5, ror #8
    sxtb16 r4, r6
    sxtb16 r6, r6, ror #8
    smlad r9, r3, r7, r9
    smlad r10, r5, r8, r10
    ldrd r7, r8, [r2], #8
    smlad r11, r4, r7, r11
    smlad r12, r6, r8, r12
    subs lr, lr, #1
    bne 2b
    ldrd r7, r6, [sp, #MULTIPLIER]
    lane r9
    lane r10
    lane r11
    lane r12
    ldrd r4, r5, [sp, #OUT]
    adds r4, r4, #1
    subs r5, r5, #1
    strd r4, r5, [sp, #OUT]
    bne 1b
    adds r0, r0, #4
    add r7, r7, r7, lsl #1 /* the other three lanes' */
    add r4, r4, r7
    str r4, [sp, #OUT]
    ldr r5, [sp, #FOURS]
    subs r5, r5, #1
    str r5, [sp, #FOURS]
    bne 0b
    mov r0, r2
    add sp, sp, #FRAME
    pop {r4-r11, pc}
    .size ofr_dsp_depthwise_position, . - ofr_dsp_depthwise_position

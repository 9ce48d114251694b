/* Inner products of the dsp kernels, for Armv7E-M and Armv8-M with DSP: see multiply.h for layouts and arithmetic. */
    .syntax unified
    .thumb

/* Four taps by two pixels and two channels: r0 weights, r1 taps, r8 to r11 sums. Every instruction has four bytes. */
    .macro two_by_two
    ldmia.w r1!, {r2-r5}
    ldmia.w r0!, {r6, r7}
    smlad r8, r6, r2, r8
    smlad r10, r6, r3, r10
    smlad r9, r7, r2, r9
    smlad r11, r7, r3, r11
    sxtb16 r6, r6
    sxtb16 r7, r7
    smlad r8, r6, r4, r8
    smlad r10, r6, r5, r10
    smlad r9, r7, r4, r9
    smlad r11, r7, r5, r11
    .endm

/* 256 times a sum to an output byte. */
    .macro requantize sum, multiplier, offset, exponent, temporary
    add \temporary, \offset, \sum, asr #31
    asr \sum, \sum, #7
    smmlar \sum, \sum, \multiplier, \temporary
    asr \sum, \sum, \exponent
    ssat \sum, #8, \sum
    .endm

    .equ TWO_UNROLLED, 16
    .equ TWO_BYTES, 12 * 4

/* Stack of ofr_dsp_multiply: taps, rounds, entry, out_b - out_a, end of out_a. */
    .section .text.ofr_dsp_multiply, "ax", %progbits
    .global ofr_dsp_multiply
    .type ofr_dsp_multiply, %function
    .thumb_func
ofr_dsp_multiply:
    push {r4-r11, lr}
    sub sp, sp, #20
    ldrd r4, r5, [sp, #56] /* pairs, groups */
    sub r3, r3, r2
    add r4, r2, r4, lsl #1
    strd r3, r4, [sp, #12]
    sub r5, r5, #1
    lsr r6, r5, #4
    add r6, r6, #1
    strd r1, r6, [sp]
    and r5, r5, #TWO_UNROLLED - 1
    rsb r5, r5, #TWO_UNROLLED - 1
    mov r6, #TWO_BYTES
    ldr r7, =(2f + 1)
    mla r5, r5, r6, r7
    str r5, [sp, #8]
    mov lr, r2
1:
    ldmia.w r0!, {r8, r9}
    mov r10, r8
    mov r11, r9
    ldrd r1, r12, [sp]
    ldr pc, [sp, #8]
2:
    .rept TWO_UNROLLED
    two_by_two
    .endr
    subs r12, r12, #1
    bne 2b
    ldmia.w r0!, {r2-r7}
    ldr r1, [sp, #12]
    requantize r10, r2, r3, r4, r12
    strb r10, [lr, r1]
    requantize r8, r2, r3, r4, r12
    strb r8, [lr], #1
    requantize r11, r5, r6, r7, r12
    strb r11, [lr, r1]
    requantize r9, r5, r6, r7, r12
    strb r9, [lr], #1
    ldr r12, [sp, #16]
    cmp lr, r12
    bne 1b
    add sp, sp, #20
    pop {r4-r11, pc}
    .size ofr_dsp_multiply, . - ofr_dsp_multiply
    .ltorg

/* Four taps of two pixels, in r4 and r5: to r6 z_a, r7 z_b, r8 y_a, r9 y_b. */
    .macro widen_two
    sxtb16 r6, r4, ror #8
    sxtb16 r7, r5, ror #8
    ssub16 r6, r6, r12
    ssub16 r7, r7, r12
    and r8, lr, r4, lsl #8
    and r9, lr, r5, lsl #8
    ssub16 r8, r8, r6
    ssub16 r9, r9, r7
    .endm

    .section .text.ofr_dsp_widen_pair, "ax", %progbits
    .global ofr_dsp_widen_pair
    .type ofr_dsp_widen_pair, %function
    .thumb_func
ofr_dsp_widen_pair:
    push {r4-r9, lr}
    mov r12, #0x007f007f
    mov lr, #0xff00ff00
    lsrs r3, r3, #1
    bcc 1f
    ldr r4, [r0], #4
    ldr r5, [r1], #4
    widen_two
    stmia.w r2!, {r6-r9}
    cbz r3, 2f
1:
    ldr r4, [r0], #4
    ldr r5, [r1], #4
    widen_two
    stmia.w r2!, {r6-r9}
    ldr r4, [r0], #4
    ldr r5, [r1], #4
    widen_two
    stmia.w r2!, {r6-r9}
    subs r3, r3, #1
    bne 1b
2:
    mov r0, r2
    pop {r4-r9, pc}
    .size ofr_dsp_widen_pair, . - ofr_dsp_widen_pair

    .section .text.ofr_dsp_widen, "ax", %progbits
    .global ofr_dsp_widen
    .type ofr_dsp_widen, %function
    .thumb_func
ofr_dsp_widen:
    push {r4-r9, lr}
    mov r12, #0x007f007f
    mov lr, #0xff00ff00
    lsrs r2, r2, #1
    bcc 1f
    ldr r4, [r0], #4
    mov r5, r4
    widen_two
    stmia.w r1!, {r6, r8}
    cbz r2, 2f
1:
    ldr r4, [r0], #4
    ldr r5, [r0], #4
    widen_two
    mov r3, r7
    mov r7, r8
    mov r8, r3
    stmia.w r1!, {r6-r9}
    subs r2, r2, #1
    bne 1b
2:
    mov r0, r1
    pop {r4-r9, pc}
    .size ofr_dsp_widen, . - ofr_dsp_widen

    .section .text.ofr_dsp_interleave, "ax", %progbits
    .global ofr_dsp_interleave
    .type ofr_dsp_interleave, %function
    .thumb_func
ofr_dsp_interleave:
    push {r4-r11, lr}
    lsrs r3, r3, #1
    bcc 1f
    ldmia.w r0!, {r4, r6}
    ldmia.w r1!, {r5, r7}
    stmia.w r2!, {r4-r7}
    cbz r3, 2f
1:
    ldmia.w r0!, {r4, r6, r8, r10}
    ldmia.w r1!, {r5, r7, r9, r11}
    stmia.w r2!, {r4-r11}
    subs r3, r3, #1
    bne 1b
2:
    mov r0, r2
    pop {r4-r11, pc}
    .size ofr_dsp_interleave, . - ofr_dsp_interleave

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

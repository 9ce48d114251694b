/* Four elements at a time of two int8 rows, for Armv7E-M and Armv8-M with DSP: see rows.h. */
    .syntax unified
    .thumb

/* Twice a sum to an output byte: r4 M, r5 c, r6 e. */
    .macro put sum, temporary
    add \temporary, r5, \sum, asr #31
    smmlar \sum, \sum, r4, \temporary
    asr \sum, \sum, r6
    ssat \sum, #8, \sum
    strb \sum, [r2], #1
    .endm

/* Bytes of r9 and r10 from bit 8 i on: r7 factor, r8 table. */
    .macro sum_one i
    uxtb r12, r10, ror #8 * \i
    sxtb r11, r9, ror #8 * \i
    ldr r12, [r8, r12, lsl #2]
    mla r12, r11, r7, r12
    put r12, r11
    .endm

/* r0 a, r1 b, r2 output, r3 fours, stack: job. */
    .macro fours name
    .section .text.\name, "ax", %progbits
    .global \name
    .type \name, %function
    .thumb_func
\name:
    push {r4-r12, lr}
    ldr r4, [sp, #40]
    ldmia r4, {r4-r8} /* M, c, e, then factor and table or what centres a and b */
1:
    .endm

    fours ofr_dsp_sum_fours
    ldr r9, [r0], #4
    ldr r10, [r1], #4
    sum_one 0
    sum_one 1
    sum_one 2
    sum_one 3
    subs r3, r3, #1
    bne 1b
    pop {r4-r12, pc}
    .size ofr_dsp_sum_fours, . - ofr_dsp_sum_fours

    fours ofr_dsp_multiply_fours
    ldr r9, [r0], #4
    ldr r11, [r1], #4
    sxtab16 r10, r7, r9
    sxtab16 r9, r7, r9, ror #8
    sadd16 r10, r10, r10 /* products are wanted twice */
    sadd16 r9, r9, r9
    sxtab16 r12, r8, r11
    sxtab16 r11, r8, r11, ror #8
    smulbb lr, r10, r12
    smultt r10, r10, r12
    smulbb r12, r9, r11
    smultt r9, r9, r11
    put lr, r11
    put r12, r11
    put r10, r11
    put r9, r11
    subs r3, r3, #1
    bne 1b
    pop {r4-r12, pc}
    .size ofr_dsp_multiply_fours, . - ofr_dsp_multiply_fours

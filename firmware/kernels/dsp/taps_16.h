/* Assembler macros: taps and weights at int16, by three pixels and two channels. */
    .macro six w0, w1
    smlad r7, \w0, r2, r7
    smlad r8, \w0, r3, r8
    smlad r9, \w0, r4, r9
    smlad r10, \w1, r2, r10
    smlad r11, \w1, r3, r11
    smlad r12, \w1, r4, r12
    .endm

/* Two taps by three pixels and two channels: r0 weights, r1 taps, r7 to r12 sums. Every instruction has four bytes. */
    .macro two_taps
    ldmia.w r1!, {r2-r4}
    ldmia.w r0!, {r5, r6}
    six r5, r6
    .endm
    .equ TWO_TAPS_BYTES, 8 * 4

/* Six of them: as many words at once as there are registers for. */
    .macro six_taps
    ldmia.w r1!, {r2-r4}
    ldmia.w r0!, {r5, r6, lr}
    six r5, r6
    ldmia.w r1!, {r2-r4}
    smlad r7, lr, r2, r7
    smlad r8, lr, r3, r8
    smlad r9, lr, r4, r9
    ldmia.w r0!, {r5, r6, lr}
    smlad r10, r5, r2, r10
    smlad r11, r5, r3, r11
    smlad r12, r5, r4, r12
    ldmia.w r1!, {r2-r4}
    six r6, lr
    .endm
    .equ SIX_TAPS_BYTES, 23 * 4

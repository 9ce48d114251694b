/* Activations of the dsp kernels widened, for Armv7E-M and Armv8-M with DSP: see multiply.h for layouts. */
    .syntax unified
    .thumb

/* For weights at so many bits. */
    .macro constants bits
    .if \bits == 8
    mov r12, #0x007f007f
    mov lr, #0xff00ff00
    .elseif \bits == 4
    movw lr, #0x0ff0
    movt lr, #0x0ff0
    .endif
    .endm

/* Four taps of a pixel: the first word of x; then the second in its place. */
    .macro widen_first bits, x, first
    .if \bits == 16
    sxtb16 \first, \x
    .elseif \bits == 8
    sxtb16 \first, \x, ror #8
    ssub16 \first, \first, r12
    .else
    eor \x, \x, #0x80808080
    uxtb16 \first, \x, ror #8
    .endif
    .endm
    .macro widen_second bits, x, first
    .if \bits == 16
    sxtb16 \x, \x, ror #8
    .elseif \bits == 8
    and \x, lr, \x, lsl #8
    ssub16 \x, \x, \first
    .else
    and \x, lr, \x, lsl #4
    ssub16 \x, \x, \first
    .endif
    .endm

/* Four taps of the three pixels at r0, r1 and r10 to r2 on. */
    .macro widen_group bits
    ldr r7, [r0], #4
    ldr r8, [r1], #4
    ldr r9, [r10], #4
    widen_first \bits, r7, r4
    widen_first \bits, r8, r5
    widen_first \bits, r9, r6
    widen_second \bits, r7, r4
    widen_second \bits, r8, r5
    widen_second \bits, r9, r6
    stmia.w r2!, {r4-r9}
    .endm

    .macro function name
    .section .text.\name, "ax", %progbits
    .global \name
    .type \name, %function
    .thumb_func
\name:
    .endm

    .macro widen_three name, bits
    function \name
    push {r4-r10, lr}
    ldmia r0, {r0, r4, r10}
    mov r3, r2
    mov r2, r1
    mov r1, r4
    constants \bits
1:
    widen_group \bits
    subs r3, r3, #1
    bne 1b
    mov r0, r2
    pop {r4-r10, pc}
    .size \name, . - \name
    .endm

    widen_three ofr_dsp_widen_three, 8
    widen_three ofr_dsp_widen_three_16, 16
    widen_three ofr_dsp_widen_three_4, 4

    .macro widen name, bits
    function \name
    push {r4-r7, lr}
    constants \bits
    add r0, r0, r2, lsl #2
    add r1, r1, r2, lsl #3
    lsrs r2, r2, #1
    bcc 1f
    ldr r5, [r0, #-4]!
    widen_first \bits, r5, r4
    widen_second \bits, r5, r4
    stmdb r1!, {r4, r5}
    cbz r2, 2f
1:
    ldr r7, [r0, #-4]!
    ldr r5, [r0, #-4]!
    widen_first \bits, r5, r4
    widen_first \bits, r7, r6
    widen_second \bits, r5, r4
    widen_second \bits, r7, r6
    stmdb r1!, {r4-r7}
    subs r2, r2, #1
    bne 1b
2:
    pop {r4-r7, pc}
    .size \name, . - \name
    .endm

    widen ofr_dsp_widen, 8
    widen ofr_dsp_widen_16, 16
    widen ofr_dsp_widen_4, 4

/* r0 first pixel, r1 bytes to the next, r2 taps, r3 groups. */
    function ofr_dsp_interleave
    push {r4-r10, lr}
    add r10, r0, r1
    add r12, r10, r1
    lsrs r3, r3, #1
    bcc 1f
    ldmia.w r0!, {r4, r7}
    ldmia.w r10!, {r5, r8}
    ldmia.w r12!, {r6, r9}
    stmia.w r2!, {r4-r9}
    cbz r3, 2f
1:
    .rept 2
    ldmia.w r0!, {r4, r7}
    ldmia.w r10!, {r5, r8}
    ldmia.w r12!, {r6, r9}
    stmia.w r2!, {r4-r9}
    .endr
    subs r3, r3, #1
    bne 1b
2:
    mov r0, r2
    pop {r4-r10, pc}
    .size ofr_dsp_interleave, . - ofr_dsp_interleave

/* r0 widened pixel, r1 one of three places among taps, r2 groups. */
    function ofr_dsp_place
    push {r4, r5}
1:
    ldmia r0!, {r4, r5}
    str r4, [r1], #12
    str r5, [r1], #12
    subs r2, r2, #1
    bne 1b
    mov r0, r1
    pop {r4, r5}
    bx lr
    .size ofr_dsp_place, . - ofr_dsp_place

/* r0 ofr_dsp_window, r1 taps. Stack: run, runs left, row, rows left, place in the first pixel's rest, bytes behind
 * a run's fours, rest_fours. */
    .macro gather name, bits
    function \name
    push {r4-r11, lr}
    sub sp, sp, #28
    mov r11, r0
    mov r2, r1
    ldrd r4, r5, [r11, #12] /* offset, rows */
    ldrd r6, r7, [r11, #36] /* rest, rests */
    ldr r8, [r11, #48]
    strd r6, r8, [sp, #20]
    str r7, [sp, #16]
    constants \bits
1:
    strd r4, r5, [sp, #8]
    ldr r5, [r11, #24] /* runs */
2:
    strd r4, r5, [sp]
    ldmia.w r11, {r0, r1, r10} /* pixels */
    adds r0, r0, r4
    add r1, r1, r4
    add r10, r10, r4
    ldr r3, [r11, #32] /* fours */
    cbz r3, 4f
3:
    widen_group \bits
    subs r3, r3, #1
    bne 3b
4:
    ldr r7, [sp, #20]
    cbz r7, 5f
    ldr r4, [r0]
    ldr r5, [r1]
    ldr r6, [r10]
    ldr r3, [sp, #16]
    ldr r8, [r11, #44]
    str r4, [r3]
    str r5, [r3, r8]
    str r6, [r3, r8, lsl #1]
    add r3, r3, r7
    str r3, [sp, #16]
5:
    ldrd r4, r5, [sp]
    ldr r6, [r11, #28] /* step */
    add r4, r4, r6
    subs r5, r5, #1
    bne 2b
    ldrd r4, r5, [sp, #8]
    ldr r6, [r11, #20] /* jump */
    add r4, r4, r6
    subs r5, r5, #1
    bne 1b
    ldr r3, [sp, #24]
    cbz r3, 6f
    ldrd r0, r7, [r11, #40] /* the rests as one run more */
    adds r1, r0, r7
    add r10, r1, r7
    movs r4, #1
    strd r4, r4, [sp]
    str r4, [sp, #12]
    movs r4, #0
    strd r4, r4, [sp, #20]
    b 3b
6:
    add sp, sp, #28
    pop {r4-r11, pc}
    .size \name, . - \name
    .endm

    gather ofr_dsp_gather, 8
    gather ofr_dsp_gather_16, 16
    gather ofr_dsp_gather_4, 4

/* Inner products that skip zeros, for Armv7E-M and Armv8-M with DSP: see sparse.h. */
    .syntax unified
    .thumb

#include "linear.h"

/* Twice a sum to an output byte: r1 M, r2 c, r3 e. */
    .macro requantize sum
    add r4, r2, \sum, asr #31
    smmlar \sum, \sum, r1, r4
    asr \sum, \sum, r3
    ssat \sum, #8, \sum
    .endm

    .macro function name
    .section .text.\name, "ax", %progbits
    .global \name
    .type \name, %function
    .thumb_func
\name:
    .endm

/* One weight by six pixels, added to the sums r8 to r12 and lr: r0 stream, r1 taps, r2 mask. All of four bytes. */
    .macro entry_1 a=r8, b=r9, c=r10, d=r11, e=r12, f=lr
    ldr.w r4, [r0], #4
    and.w r5, r4, r2
    add.w r5, r5, r1
    ldmia.w r5, {r5-r7}
    smlatt r9, r5, r4, \b
    smlabt r10, r6, r4, \c
    smlatt r11, r6, r4, \d
    smlabt r12, r7, r4, \e
    smlatt lr, r7, r4, \f
    smlabt r8, r5, r4, \a
    .endm
    .equ ENTRY_1_BYTES, 10 * 4
    .equ UNROLLED_1, 8

/* Four weights of neighbouring taps. */
    .macro entry_4
    ldmia.w r0!, {r3, r4}
    and.w r3, r3, r2
    add.w r3, r3, r1
    half_4
    ldr.w r4, [r0], #4
    half_4
    .endm
    .macro half_4
    ldmia.w r3!, {r5-r7}
    smlad r8, r5, r4, r8
    smlad r9, r6, r4, r9
    smlad r10, r7, r4, r10
    ldmia.w r3!, {r5-r7}
    smlad r11, r5, r4, r11
    smlad r12, r6, r4, r12
    smlad lr, r7, r4, lr
    .endm
    .equ ENTRY_4_BYTES, 20 * 4
    .equ UNROLLED_4, 4

/* Where to enter a round of as many entries as are left in it. */
    .macro entries unrolled, bytes
    .set left, 0
    .rept \unrolled
    .hword (8f - 7b + (\unrolled - left) * \bytes) / 2
    .set left, left + 1
    .endr
    .endm

/* r0 stream, r1 ofr_dsp_tile, which goes to the stack: taps, mask, out, distances of the other five pixels, end of out,
 * requantization; entries left. */
    .macro sparse name, taps
    function \name
    push {r4-r11, lr}
    sub sp, sp, #44
    ldmia r1, {r2-r11}
    add r10, r10, r4
    cmp r11, #0
    ldr r11, =(4f + 1)
    it ne
    addne r11, r11, #6f - 4f
    stmia sp, {r2-r11}
1:
    ldmia.w r0!, {r3, r8}
    ldrd r1, r2, [sp]
    .if \taps == 1
    entry_1 r8, r8, r8, r8, r8, r8
    and r5, r3, #UNROLLED_1 - 1
    .else
    str r3, [sp, #40]
    ldmia.w r0!, {r3, r4}
    and.w r3, r3, r2
    add.w r3, r3, r1
    ldmia.w r3!, {r5-r7, r9-r11}
    smlad lr, r11, r4, r8
    smlad r12, r10, r4, r8
    smlad r11, r9, r4, r8
    smlad r10, r7, r4, r8
    smlad r9, r6, r4, r8
    smlad r8, r5, r4, r8
    ldr.w r4, [r0], #4
    half_4
    ldr r5, [sp, #40]
    and r5, r5, #UNROLLED_4 - 1
    .endif
    tbh [pc, r5, lsl #1]
7:
    .if \taps == 1
    entries UNROLLED_1, ENTRY_1_BYTES
8:
    .rept UNROLLED_1
    entry_1
    .endr
    subs r3, r3, #UNROLLED_1
    bhs 8b
    .else
    entries UNROLLED_4, ENTRY_4_BYTES
8:
    .rept UNROLLED_4
    entry_4
    .endr
    ldr r3, [sp, #40]
    subs r3, r3, #UNROLLED_4
    str r3, [sp, #40]
    bhs 8b
    .endif
    ldr pc, [sp, #36]
4:
    ldmia.w r0!, {r1-r3}
    ldrd r5, r6, [sp, #8]
    requantize r9
    strb r9, [r5, r6]
    ldrd r6, r7, [sp, #16]
    requantize r10
    strb r10, [r5, r6]
    requantize r11
    strb r11, [r5, r7]
    ldrd r6, r7, [sp, #24]
    requantize r12
    strb r12, [r5, r6]
    requantize lr
    strb lr, [r5, r7]
    requantize r8
5:
    strb r8, [r5], #1
    str r5, [sp, #8]
    ldr r6, [sp, #32]
    cmp r5, r6
    bne 1b
    add sp, sp, #44
    pop {r4-r11, pc}
6:
    ldr r1, [r0], #4
    ldrd r5, r6, [sp, #8]
    linear r9, r1
    strb r9, [r5, r6]
    ldrd r6, r7, [sp, #16]
    linear r10, r1
    strb r10, [r5, r6]
    linear r11, r1
    strb r11, [r5, r7]
    ldrd r6, r7, [sp, #24]
    linear r12, r1
    strb r12, [r5, r6]
    linear lr, r1
    strb lr, [r5, r7]
    linear r8, r1
    b 5b
    .size \name, . - \name
    .ltorg
    .endm

    sparse ofr_dsp_sparse, 1
    sparse ofr_dsp_blocks, 4

/* Two pixels' bytes to the taps of one of three pairs: r0, r1 bytes, r2 taps, r3 fours. */
    function ofr_dsp_spread
    push {r4-r8, lr}
1:
    ldr r4, [r0], #4
    ldr r5, [r1], #4
    sxtb16 r6, r4
    sxtb16 r7, r5
    sxtb16 r4, r4, ror #8
    sxtb16 r5, r5, ror #8
    pkhbt r8, r6, r7, lsl #16
    pkhtb r7, r7, r6, asr #16
    pkhbt r6, r4, r5, lsl #16
    pkhtb r5, r5, r4, asr #16
    str r6, [r2, #12]
    str r7, [r2, #24]
    str r5, [r2, #36]
    str r8, [r2], #48
    subs r3, r3, #1
    bne 1b
    pop {r4-r8, pc}
    .size ofr_dsp_spread, . - ofr_dsp_spread

    function ofr_dsp_spread_fours
    push {r4-r8, lr}
1:
    ldr r4, [r0], #4
    ldr r5, [r1], #4
    sxtb16 r6, r4
    sxtb16 r7, r5
    sxtb16 r4, r4, ror #8
    sxtb16 r5, r5, ror #8
    strd r4, r5, [r2, #24]
    strd r6, r7, [r2], #48
    subs r3, r3, #1
    bne 1b
    pop {r4-r8, pc}
    .size ofr_dsp_spread_fours, . - ofr_dsp_spread_fours

/* Four weights by one row of bytes, added to r12: r0 stream, r1 bytes, r2 mask. All of four bytes. */
    .macro row_1
    ldmia.w r0!, {r4-r7}
    and.w r8, r4, r2
    and.w r9, r5, r2
    and.w r10, r6, r2
    and.w r11, r7, r2
    ldrsb.w r8, [r1, r8]
    ldrsb.w r9, [r1, r9]
    ldrsb.w r10, [r1, r10]
    ldrsb.w r11, [r1, r11]
    smlabt r12, r8, r4, r12
    smlabt r12, r9, r5, r12
    smlabt r12, r10, r6, r12
    smlabt r12, r11, r7, r12
    .endm
    .equ ROW_1_BYTES, 13 * 4

/* Two blocks of four by one row of widened taps. */
    .macro row_4
    ldmia.w r0!, {r4-r9}
    and.w r10, r4, r2
    add.w r10, r10, r1
    ldrd r10, r11, [r10]
    and.w r4, r7, r2
    add.w r4, r4, r1
    smlad r12, r10, r5, r12
    smlad r12, r11, r6, r12
    ldrd r4, r5, [r4]
    smlad r12, r4, r8, r12
    smlad r12, r5, r9, r12
    .endm
    .equ ROW_4_BYTES, 11 * 4
    .equ UNROLLED_ROW, 4

/* r0 stream, r1 taps, r2 mask, r3 out, stack: channels. */
    .macro sparse_row name, step, bytes
    function \name
    push {r4-r11, lr}
    mov lr, r3
    ldr r4, [sp, #36]
    add r4, r4, lr
    push {r4}
1:
    ldmia.w r0!, {r3, r12}
    and r4, r3, #UNROLLED_ROW - 1
    tbh [pc, r4, lsl #1]
7:
    entries UNROLLED_ROW, \bytes
8:
    .rept UNROLLED_ROW
    \step
    .endr
    subs r3, r3, #UNROLLED_ROW
    bhs 8b
    ldmia r0!, {r4-r6}
    add r5, r5, r12, asr #31
    smmlar r12, r12, r4, r5
    asr r12, r12, r6
    ssat r12, #8, r12
    strb r12, [lr], #1
    ldr r4, [sp]
    cmp lr, r4
    bne 1b
    pop {r3-r11, pc}
    .size \name, . - \name
    .endm

    sparse_row ofr_dsp_sparse_row, row_1, ROW_1_BYTES
    sparse_row ofr_dsp_blocks_row, row_4, ROW_4_BYTES

/* r0 bytes, r1 nibbles. Two loops: what is skipped stands in the low nibble of a byte, or, behind an odd number of
 * nibbles that only skip, in the high one. `skip` adds r6 to r4, `put` uses the weight in r7 and counts two nibbles. */
    .macro of_nibbles skip, put
    movs r4, #0
    cbz r1, 3f
1:
    ldrb r5, [r0], #1
    and r6, r5, #15
    \skip
    cmp r6, #15
    beq 4f
    sbfx r7, r5, #4, #4
    \put
    bhi 1b
    b 3f
4:
    subs r1, r1, #1
    beq 3f
2:
    lsrs r6, r5, #4
    \skip
    cmp r6, #15
    beq 5f
    ldrb r5, [r0], #1
    sbfx r7, r5, #0, #4
    \put
    bhi 2b
    b 3f
5:
    subs r1, r1, #1
    bhi 1b
3:
    .endm

/* r2 entries, r3 bytes from one place to the next. */
    .macro skip_places
    mla r4, r6, r3, r4
    .endm
    .macro put_entry
    pkhbt r7, r4, r7, lsl #17
    str r7, [r2], #4
    add r4, r4, r3
    subs r1, r1, #2
    .endm

    function ofr_dsp_unpack_int4
    push {r4-r7, lr}
    of_nibbles skip_places, put_entry
    mov r0, r2
    pop {r4-r7, pc}
    .size ofr_dsp_unpack_int4, . - ofr_dsp_unpack_int4

/* r2 bytes to multiply, r3 mask; r12 sum. */
    .macro skip_bytes
    add r4, r4, r6
    .endm
    .macro put_product
    and r6, r4, r3
    ldrsb r6, [r2, r6]
    add r4, r4, #1
    subs r1, r1, #2
    mla r12, r6, r7, r12
    .endm

    function ofr_dsp_multiply_nibbles
    push {r4-r7, lr}
    mov r12, #0
    of_nibbles skip_bytes, put_product
    mov r0, r12
    pop {r4-r7, pc}
    .size ofr_dsp_multiply_nibbles, . - ofr_dsp_multiply_nibbles

/* The products of conv_2d_pair.c on Armv6-M: gcc has no use for high registers there, and takes half as many more. */
#if defined(__ARM_ARCH_6M__)

        .syntax unified
        .text
        .section .text.ofr_generic_multiply_pair, "ax", %progbits
        .thumb
        .balign 4

/* Offsets in ofr_generic_pair_job, whose copy is the stack frame. */
        .equ X, 0
        .equ END, 4
        .equ WEIGHTS, 8
        .equ SKIP, 12
        .equ BIAS, 16
        .equ SCALE, 20
        .equ STEP, 24
        .equ OUT, 28
        .equ LAST, 32
        .equ PARTNER, 36
        .equ CENTER, 40
        .equ START, 44
        .equ RELU, 48
        .equ FRAME, 52

/* Two taps of two channels: two products in r6 and r7, then apart. Offsets in registers load with the sign.
 * r8, r9: both and high of the first channel; r10, r11: of the second; r12: 2^15; lr: end of the words. */
        .macro TWO_TAPS
        ldmia   r2!, {r4, r5}
        ldrsb   r6, [r1, r0]
        muls    r6, r4
        ldrsb   r7, [r1, r3]
        muls    r7, r4
        adds    r1, #2
        ldrsb   r4, [r1, r0]
        muls    r4, r5
        adds    r6, r4
        ldrsb   r4, [r1, r3]
        muls    r4, r5
        adds    r7, r4
        adds    r1, #2
        add     r6, r12
        add     r8, r6
        asrs    r6, #16
        add     r9, r6
        add     r7, r12
        add     r10, r7
        asrs    r7, #16
        add     r11, r7
        .endm

/* r5, twice an accumulator, to its output; see ofr_requantize_doubled. r1, r2: low and high half of the multiplier,
 * r3: shift, \half: what is added before it, r12: 2^15. Uses r0, r4, r6. The middle sum fits 32 bits, because
 * |r5| < 2^29. Where the zero point is -128 (relu) what is negative gives -128, and the rest only rounds up. */
        .macro REQUANTIZE half, relu
        .if \relu
        cmp     r5, #0
        bgt     .Lhigh\@
        movs    r5, #0
        b       .Lin\@
.Lhigh\@:
        .else
        asrs    r6, r5, #31
        .endif
        sxth    r0, r5
        subs    r5, r0
        asrs    r5, #16
        movs    r4, r0
        muls    r4, r1
        asrs    r4, #16
        muls    r0, r2
        adds    r0, r4
        movs    r4, r5
        muls    r4, r1
        adds    r0, r4
        add     r0, r12
        asrs    r0, #16
        muls    r5, r2
        adds    r5, r0
        .if \relu
        asrs    r5, r3          /* the last bit out is the half that rounds up */
        adcs    r5, r6
        cmp     r5, #255
        bls     .Lin\@
        movs    r5, #255
.Lin\@:
        subs    r5, #128
        .else
        adds    r5, r6
        add     r5, \half
        asrs    r5, r3
        sxtb    r0, r5
        cmp     r0, r5
        beq     .Ldone\@
        asrs    r5, #31
        movs    r0, #127
        eors    r5, r0
        .endif
.Ldone\@:
        .endm

/* Both outputs of a channel; equal when it was the last. */
        .macro CHANNEL both, high, relu
        ldr     r7, [sp, #SCALE]
        ldrh    r1, [r7, #0]
        ldrh    r2, [r7, #2]
        ldr     r3, [r7, #4]
        ldr     r0, [sp, #STEP]
        adds    r7, r0
        str     r7, [sp, #SCALE]
        ldr     r7, [sp, #BIAS]
        ldmia   r7!, {r6}
        str     r7, [sp, #BIAS]
        mov     r0, \high
        mov     r5, \both
        lsls    r4, r0, #16
        subs    r5, r4
        lsls    r5, #1
        adds    r5, r6
        lsls    r0, #1
        adds    r0, r6
        mov     \both, r0
        .if \relu
        movs    r6, #0
        .else
        ldr     r4, [sp, #CENTER]
        lsls    r4, r3
        asrs    r4, #1
        mov     \high, r4
        .endif
        ldr     r7, [sp, #OUT]
        REQUANTIZE \high, \relu
        strb    r5, [r7]
        mov     r5, \both
        REQUANTIZE \high, \relu
        ldr     r0, [sp, #PARTNER]
        strb    r5, [r7, r0]
        adds    r7, #1
        str     r7, [sp, #OUT]
        ldr     r0, [sp, #LAST]
        cmp     r7, r0
        .endm

/* void ofr_generic_multiply_pair(const ofr_generic_pair_job *job) */
        .global ofr_generic_multiply_pair
        .type   ofr_generic_multiply_pair, %function
        .thumb_func
ofr_generic_multiply_pair:
        push    {r4-r7, lr}
        mov     r4, r8
        mov     r5, r9
        mov     r6, r10
        mov     r7, r11
        push    {r4-r7}
        sub     sp, #FRAME
        mov     r1, sp
        ldmia   r0!, {r2-r7}
        stmia   r1!, {r2-r7}
        mov     lr, r3
        ldmia   r0!, {r2-r7}
        stmia   r1!, {r2-r7}
        ldr     r2, [r0]
        str     r2, [r1]
        movs    r0, #1
        lsls    r0, #15
        mov     r12, r0
.Lpair:
        ldr     r0, [sp, #START]
        mov     r8, r0
        mov     r10, r0
        movs    r0, #0
        mov     r9, r0
        mov     r11, r0
        movs    r3, #1
        ldr     r1, [sp, #WEIGHTS]
        ldr     r2, [sp, #X]
        mov     r4, lr
        subs    r4, r2
        lsls    r4, #28         /* an odd number of twos begins with the second */
        bmi     .Lsecond
.Lfirst:
        TWO_TAPS
.Lsecond:
        TWO_TAPS
        cmp     r2, lr
        bne     .Lfirst
        ldr     r0, [sp, #SKIP]
        adds    r1, r0
        str     r1, [sp, #WEIGHTS]
        ldr     r0, [sp, #RELU]
        cmp     r0, #0
        bne     .Lrelu
        b       .Lany
.Lrelu:
        CHANNEL r8, r9, 1
        beq     .Lout
        CHANNEL r10, r11, 1
        beq     .Lout
        b       .Lpair
.Lout:
        add     sp, #FRAME
        pop     {r4-r7}
        mov     r8, r4
        mov     r9, r5
        mov     r10, r6
        mov     r11, r7
        pop     {r4-r7, pc}
.Lany:
        CHANNEL r8, r9, 0
        bne     .Lsecond_channel
        b       .Lout
.Lsecond_channel:
        CHANNEL r10, r11, 0
        beq     .Lout_far
        b       .Lpair
.Lout_far:
        b       .Lout

/* void ofr_generic_pack_pair(int32_t *x, const int8_t *a, int32_t apart, uint32_t n, uint32_t columns,
 *                            int32_t step, uint32_t pitch); n and columns are not 0. */
        .section .text.ofr_generic_pack_pair, "ax", %progbits
        .global ofr_generic_pack_pair
        .type   ofr_generic_pack_pair, %function
        .thumb_func
ofr_generic_pack_pair:
        push    {r4-r7, lr}
        mov     r4, r8
        push    {r4}
        ldr     r4, [sp, #24]   /* columns */
        ldr     r5, [sp, #28]   /* step */
        ldr     r6, [sp, #32]   /* pitch */
        subs    r6, r3
        lsls    r6, #2
        subs    r5, r3
        mov     r8, r5
        mov     r12, r6
        mov     lr, r4
        movs    r7, #0
        cmp     r3, #1
        beq     .Lone
.Lcolumn:
        adds    r4, r1, r3
.Lword:
        ldrsb   r5, [r1, r7]
        ldrsb   r6, [r1, r2]
        lsls    r6, #16
        adds    r5, r6
        stmia   r0!, {r5}
        adds    r1, #1
        cmp     r1, r4
        bne     .Lword
        add     r1, r8
        add     r0, r12
        mov     r5, lr
        subs    r5, #1
        mov     lr, r5
        bne     .Lcolumn
        b       .Lpacked
.Lone:
        adds    r6, #4          /* bytes from word to word */
        mov     r12, r6
        adds    r5, #1
        muls    r4, r5
        adds    r4, r1
        mov     lr, r4          /* where the last column ends */
        mov     r8, r5
.Lone_column:
        ldrsb   r5, [r1, r7]
        ldrsb   r6, [r1, r2]
        lsls    r6, #16
        adds    r5, r6
        str     r5, [r0]
        add     r0, r12
        add     r1, r8
        cmp     r1, lr
        bne     .Lone_column
.Lpacked:
        pop     {r4}
        mov     r8, r4
        pop     {r4-r7, pc}

#endif

/* Inner parts of products with weights at int8 size, for assembly: see multiply.h. */
#ifndef OFR_DSP_TAPS_H
#define OFR_DSP_TAPS_H

/* Two of four taps by three pixels and two channels, added to these. */
    .macro six_products a, b, c, d, e, f
    smlad r8, r5, r3, \b
    smlad r9, r5, r4, \c
    smlad r7, r5, r2, \a
    smlad r11, r6, r3, \e
    smlad r12, r6, r4, \f
    smlad r10, r6, r2, \d
    .endm

/* Four taps: r0 weights, r1 taps, r7 to r12 sums, added to these. Every instruction has four bytes. */
    .macro three_by_two a=r7, b=r8, c=r9, d=r10, e=r11, f=r12
    ldmia.w r1!, {r2-r4}
    ldmia.w r0!, {r5, r6}
    six_products \a, \b, \c, \d, \e, \f
    ldmia.w r1!, {r2-r4}
    sxtb16 r5, r5
    sxtb16 r6, r6
    six_products r7, r8, r9, r10, r11, r12
    .endm

/* 256 times a sum to an output byte. */
    .macro requantize sum, multiplier, offset, exponent, temporary
    add \temporary, \offset, \sum, asr #31
    asr \sum, \sum, #7
    smmlar \sum, \sum, \multiplier, \temporary
    asr \sum, \sum, \exponent
    ssat \sum, #8, \sum
    .endm

#endif

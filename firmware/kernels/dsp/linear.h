/* The linear form of requantization, for C and assembly: ((sum * multiplier) >> 32) >> this, saturated to int8.
 *
 * The sum holds an offset and a power of two times the accumulator. The host uses the form after a ReLU where it has
 * found an offset and a multiplier of each channel that give gemmlowp's results for every accumulator. */
#ifndef OFR_DSP_LINEAR_H
#define OFR_DSP_LINEAR_H

#define OFR_DSP_LINEAR_SHIFT 11
/* With weights at four bits, whose sums are kept less finely: (((sum * multiplier) >> 32) + more) >> this. */
#define OFR_DSP_LINEAR_SHIFT_4 5

#ifdef __ASSEMBLER__
    .macro linear sum, multiplier
    smmul \sum, \sum, \multiplier
    ssat \sum, #8, \sum, asr #OFR_DSP_LINEAR_SHIFT
    .endm
#endif

#endif

/* Requantization of eight sums by hand, as gemmlowp rounds, between the products of one pair of channels and the next.
 *
 * VQRDMULH is gemmlowp's doubling high multiply. VRSHL rounds halves up where gemmlowp rounds them away from zero: the
 * signed form takes one from negative numbers first; where a ReLU follows, both give what it clamps. */
#ifndef OFR_MVE_REQUANTIZE_H
#define OFR_MVE_REQUANTIZE_H

/* Sums of the first channel into vector a, of the second into b. */
#define OFR_MVE_SUMS(a, b)                      \
    "vmov " a "[2], " a "[0], r0, r4\n"         \
    "vmov " a "[3], " a "[1], r2, r6\n"         \
    "vmov " b "[2], " b "[0], r8, r12\n"        \
    "vmov " b "[3], " b "[1], r10, r14\n"

/* Bias, multiplier and -exponent of both channels from the stream at r9; the exponents stay in r8 and r10. */
#define OFR_MVE_MULTIPLY(a, b)                  \
    "ldm r9!, {r0, r2, r4, r6, r8, r10}\n"      \
    "vadd.i32 " a ", " a ", r0\n"               \
    "vadd.i32 " b ", " b ", r2\n"               \
    "vqrdmulh.s32 " a ", " a ", r4\n"           \
    "vqrdmulh.s32 " b ", " b ", r6\n"

#define OFR_MVE_COLLECT(a, b) OFR_MVE_SUMS(a, b) OFR_MVE_MULTIPLY(a, b)

#define OFR_MVE_SCALE_RELU(a, b, t) \
    "vrshl.s32 " a ", r8\n"         \
    "vrshl.s32 " b ", r10\n"

#define OFR_MVE_SCALE_SIGNED(a, b, t)   \
    "vshr.s32 " t ", " a ", #31\n"      \
    "vqadd.s32 " a ", " a ", " t "\n"   \
    "vshr.s32 " t ", " b ", #31\n"      \
    "vqadd.s32 " b ", " b ", " t "\n"   \
    "vrshl.s32 " a ", r8\n"             \
    "vrshl.s32 " b ", r10\n"

/* Outputs in 16-bit lanes of a: each pixel's first, second channel. Only their low bytes count. */
#define OFR_MVE_NARROW_RELU(a, b, add0, add1)   \
    "vqmovunb.s32 " a ", " a "\n"               \
    "vqmovunt.s32 " a ", " b "\n"               \
    "vqadd.u16 " a ", " a ", " add0 "\n"        \
    "vadd.i16 " a ", " a ", " add1 "\n"

#define OFR_MVE_NARROW_SIGNED(a, b, add0, add1) \
    "vqmovnb.s32 " a ", " a "\n"                \
    "vqmovnt.s32 " a ", " b "\n"                \
    "vqadd.s16 " a ", " a ", " add0 "\n"        \
    "vqmovnb.s16 " a ", " a "\n"

#endif

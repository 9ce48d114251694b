/* Depthwise 3x3 on Helium: what strides 1 and 2 share.
 *
 * Eight channels of a strip of rows are spread into scratch, a plane each, with the padding; four outputs of a channel
 * come from gathered patches of 4x4 and one product each. The block: struct, int32 bias, multiplier and -exponent of
 * each channel, 16 zeros, then 16 bytes of weights for each channel: rows of four whose last is 0, five zeros at the
 * end, so that loads up to five bytes earlier give the weights of an output further right or below. */
#ifndef OFR_MVE_DEPTHWISE_H
#define OFR_MVE_DEPTHWISE_H

#include "kernel.h"
#include "requantize.h"

enum { OFR_MVE_PLANES = 8 };

typedef struct ofr_mve_planes {
    const uint8_t *plane; /* of the first channel, at the first patch */
    int8_t *out;
    const int32_t *words;
    const int8_t *weights;
    uint32_t channels, rows;
    uint32_t groups, edge;   /* groups of four outputs in a row; outputs of one more, 0 to 3 */
    uint32_t plane_step, out_step; /* from behind the last whole group to the next row's first */
    uint32_t group_step;     /* of out */
    uint32_t plane_bytes;
    uint32_t add[2];
    uint32_t below; /* 4: the lower outputs' weights lie four bytes earlier; 0: they repeat the upper ones */
    uint32_t spare;
    uint32_t places[4];  /* of the outputs of a group */
    uint16_t patch[8];   /* of the halves of a patch's rows */
} ofr_mve_planes;

_Static_assert(offsetof(ofr_mve_planes, plane_step) == 32 && offsetof(ofr_mve_planes, patch) == 80, "the code");

/* Sums of a group in r0, r2, r4, r6. r8, r9, r10: bias, multiplier, -exponent; r11, r12: add[]. */
#define OFR_MVE_GROUP(products, round, narrow)  \
    products                                    \
    "vmov q1[2], q1[0], r0, r4\n"               \
    "vmov q1[3], q1[1], r2, r6\n"               \
    "vadd.i32 q1, q1, r8\n"                     \
    "vqrdmulh.s32 q1, q1, r9\n"                 \
    round                                       \
    "vrshl.s32 q1, r10\n"                       \
    narrow

#define OFR_MVE_ROUND_RELU
#define OFR_MVE_ROUND_SIGNED      \
    "vshr.s32 q0, q1, #31\n"      \
    "vqadd.s32 q1, q1, q0\n"

#define OFR_MVE_LOW_RELU           \
    "vqmovunb.s32 q1, q1\n"        \
    "vqadd.u16 q1, q1, r11\n"      \
    "vadd.i16 q1, q1, r12\n"

#define OFR_MVE_LOW_SIGNED         \
    "vqmovnb.s32 q1, q1\n"         \
    "vqadd.s16 q1, q1, r11\n"      \
    "vqmovnb.s16 q1, q1\n"

/* The struct's 80 bytes lie on the stack. r1: patch, r3: out, r5: group_step, r7: rows; q2: places. */
#define OFR_MVE_DEPTHWISE(begin, load_weights, products, advance, round, narrow) \
    "push {r3-r11, lr}\n"                       \
    "vpush {d8-d15}\n"                          \
    begin                                       \
    "vldrw.32 q2, [r0, #64]\n"                  \
    "sub sp, #64\n"                             \
    "vldrw.32 q0, [r0], #16\n"                  \
    "vldrw.32 q1, [r0], #16\n"                  \
    "vstrw.32 q0, [sp]\n"                       \
    "vstrw.32 q1, [sp, #16]\n"                  \
    "vldrw.32 q0, [r0], #16\n"                  \
    "vldrw.32 q1, [r0], #16\n"                  \
    "vstrw.32 q0, [sp, #32]\n"                  \
    "vstrw.32 q1, [sp, #48]\n"                  \
    "ldr r5, [sp, #40]\n"                       \
    "ldrd r11, r12, [sp, #48]\n"                \
    "1:\n" /* a channel */                      \
    "ldrd r1, r3, [sp]\n"                       \
    "ldr r0, [sp, #44]\n"                       \
    "adds r0, r0, r1\n"                         \
    "adds r2, r3, #1\n"                         \
    "strd r0, r2, [sp]\n"                       \
    "ldrd r0, r2, [sp, #8]\n"                   \
    "ldm r0!, {r8, r9, r10}\n"                  \
    load_weights                                \
    "adds r2, #16\n"                            \
    "strd r0, r2, [sp, #8]\n"                   \
    "ldr r7, [sp, #20]\n"                       \
    "2:\n" /* a row of groups */                \
    "ldr r0, [sp, #24]\n"                       \
    "wls lr, r0, 4f\n"                          \
    "3:\n"                                      \
    OFR_MVE_GROUP(products, round, narrow)      \
    "vstrb.32 q1, [r3, q2]\n"                   \
    advance                                     \
    "add r3, r5\n"                              \
    "le lr, 3b\n"                               \
    "4:\n"                                      \
    "ldr r0, [sp, #28]\n"                       \
    "cbz r0, 5f\n"                              \
    OFR_MVE_GROUP(products, round, narrow)      \
    "ldr r0, [sp, #28]\n"                       \
    "vctp.32 r0\n"                              \
    "vpst\n"                                    \
    "vstrbt.32 q1, [r3, q2]\n"                  \
    "5:\n"                                      \
    "ldrd r0, r2, [sp, #32]\n"                  \
    "add r1, r0\n"                              \
    "add r3, r2\n"                              \
    "subs r7, #1\n"                             \
    "bne 2b\n"                                  \
    "ldr r0, [sp, #16]\n"                       \
    "subs r0, #1\n"                             \
    "str r0, [sp, #16]\n"                       \
    "bne 1b\n"                                  \
    "add sp, #64\n"                             \
    "vpop {d8-d15}\n"                           \
    "pop {r3-r11, pc}\n"

/* Bytes of a row and of all rows of a plane. */
typedef struct ofr_mve_plane {
    uint32_t pitch, rows;
} ofr_mve_plane;

/* Sizes and types; plane as the stride has it. */
ofr_status ofr_mve_check_depthwise(const ofr_call *call, ofr_mve_plane plane);

/* Spreads `channels` channels of the input from `first` on, rows from y0 on, into the planes. */
void ofr_mve_spread(const ofr_call *call, ofr_mve_plane plane, int32_t y0, uint32_t first, uint32_t channels);

/* What all calls of a layer have in common: everything but plane, out, words, weights, channels, rows and places. */
void ofr_mve_begin_planes(ofr_mve_planes *t, const ofr_call *call, ofr_mve_plane plane);

/* Points t at the channel's parameters and at its first output in row oy. */
void ofr_mve_at_channel(ofr_mve_planes *t, const ofr_call *call, uint32_t oy, uint32_t channel);

#endif

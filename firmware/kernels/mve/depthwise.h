/* Depthwise 3x3 on Helium: what strides 1 and 2 share.
 *
 * Eight channels of a strip of rows are spread into scratch, a plane each, with the padding; the outputs of a channel
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
    uint32_t channels, rows; /* rows of groups */
    uint32_t groups, edge;   /* whole groups of outputs in a row; which outputs there are of one more, 0: no more */
    uint32_t plane_step, out_step; /* from behind the last whole group to the next row's first */
    uint32_t group_step;           /* of out */
    uint32_t plane_bytes;
    uint32_t add[2];
    uint32_t mask, below; /* stride 1: predicate of a group's outputs; from the upper patch of a group to the lower */
    uint8_t places[16];   /* of the outputs of a group: uint16_t[8] at stride 1, uint32_t[4] at stride 2 */
    uint16_t patch[8];    /* of the halves of a patch's rows */
} ofr_mve_planes;

_Static_assert(offsetof(ofr_mve_planes, places) == 64 && offsetof(ofr_mve_planes, patch) == 80, "the code");

/* The struct's first 80 bytes lie on the stack. r1: patch, r3: out, r5: group_step; r8, r9, r10: bias, multiplier and
 * -exponent; r11, r12: add[]; q2: places. `group` leaves its outputs in q1. */
#define OFR_MVE_DEPTHWISE(begin, load_weights, begin_row, group, store, advance, store_edge) \
    "push {r3-r11, lr}\n"                       \
    "vpush {d8-d15}\n"                          \
    "sub sp, #88\n"                             \
    "vldrw.32 q3, [r0, #80]\n"                  \
    "vldrw.32 q2, [r0, #64]\n"                  \
    "vldrw.32 q0, [r0], #16\n"                  \
    "vldrw.32 q1, [r0], #16\n"                  \
    "vstrw.32 q0, [sp]\n"                       \
    "vstrw.32 q1, [sp, #16]\n"                  \
    "vldrw.32 q0, [r0], #16\n"                  \
    "vldrw.32 q1, [r0], #16\n"                  \
    "vstrw.32 q0, [sp, #32]\n"                  \
    "vstrw.32 q1, [sp, #48]\n"                  \
    "vstrw.32 q2, [sp, #64]\n"                  \
    begin                                       \
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
    "ldr r6, [sp, #20]\n"                       \
    "2:\n" /* a row of groups */                \
    "str r6, [sp, #80]\n"                       \
    begin_row                                   \
    "ldr r0, [sp, #24]\n"                       \
    "wls lr, r0, 4f\n"                          \
    "3:\n"                                      \
    group                                       \
    store                                       \
    advance                                     \
    "add r3, r5\n"                              \
    "le lr, 3b\n"                               \
    "4:\n"                                      \
    "ldr r0, [sp, #28]\n"                       \
    "cmp r0, #0\n"                              \
    "beq.w 5f\n"                                \
    group                                       \
    "ldr r0, [sp, #28]\n"                       \
    store_edge                                  \
    "5:\n"                                      \
    "ldrd r0, r2, [sp, #32]\n"                  \
    "add r1, r0\n"                              \
    "add r3, r2\n"                              \
    "ldr r6, [sp, #80]\n"                       \
    "subs r6, #1\n"                             \
    "bne.w 2b\n"                                \
    "ldr r0, [sp, #16]\n"                       \
    "subs r0, #1\n"                             \
    "str r0, [sp, #16]\n"                       \
    "bne.w 1b\n"                                \
    "add sp, #88\n"                             \
    "vpop {d8-d15}\n"                           \
    "pop {r3-r11, pc}\n"

/* Four sums in r0, r2, r4, r6 into q, scaled as requantize.h has it. */
#define OFR_MVE_SCALE(q, round)                 \
    "vmov " q "[2], " q "[0], r0, r4\n"         \
    "vmov " q "[3], " q "[1], r2, r6\n"         \
    "vadd.i32 " q ", " q ", r8\n"               \
    "vqrdmulh.s32 " q ", " q ", r9\n"           \
    round                                       \
    "vrshl.s32 " q ", r10\n"

/* Eight planes in scratch: bytes of a row, rows, bytes behind the last plane that are read with its last rows. */
typedef struct ofr_mve_plane {
    uint32_t pitch, rows, behind;
} ofr_mve_plane;

/* Sizes and types; scratch has `more` bytes behind the planes. */
ofr_status ofr_mve_check_depthwise(const ofr_call *call, ofr_mve_plane plane, uint32_t more);

/* Brings `channels` channels of the input from `first` on into the planes' rows [begin, end), of which the first holds
 * input row y0. */
void ofr_mve_spread(const ofr_call *call, ofr_mve_plane plane, int32_t y0, uint32_t first, uint32_t channels,
                    uint32_t begin, uint32_t end);

/* What all calls of a layer have in common: add, plane_bytes and patch. */
void ofr_mve_begin_planes(ofr_mve_planes *t, const ofr_call *call, ofr_mve_plane plane);

/* Points t at the channel's parameters and, in `out`, at its first output. */
void ofr_mve_at_channel(ofr_mve_planes *t, const ofr_call *call, uint8_t *out, uint32_t channel);

#endif

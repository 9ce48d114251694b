/* Fully connected over few rows on Helium, eight channels of one row at a time, for weights of any width.
 *
 * Behind an eight's weights the stream holds int32 bias, multiplier and -exponent of all. Channels stand in the order
 * 0, 2, 4, 6, 1, 3, 5, 7, in which narrowing interleaves them. */
#ifndef OFR_MVE_FULLY_CONNECTED_H
#define OFR_MVE_FULLY_CONNECTED_H

#include "requantize.h"
#include "sizes.h"
#include "tile.h"

typedef struct ofr_mve_rows {
    const int8_t *x; /* a multiple of 16 inputs readable */
    uint32_t loops, skip; /* as of ofr_mve_tile */
    uint32_t left; /* channels */
    const int8_t *stream;
    int8_t *out;
    uint32_t add[2];
} ofr_mve_row;

_Static_assert(offsetof(ofr_mve_row, left) == 12 && offsetof(ofr_mve_row, out) == 20 && sizeof(ofr_mve_row) == 32, "the code below");

enum { OFR_MVE_UNROLLED = 4, OFR_MVE_EIGHT_TAIL = 96 }; /* steps in the code; bytes behind an eight's weights */

#define OFR_MVE_ROUND_RELU
#define OFR_MVE_ROUND_SIGNED                \
    "vshr.s32 q2, q0, #31\n"        \
    "vqadd.s32 q0, q0, q2\n"        \
    "vshr.s32 q3, q1, #31\n"        \
    "vqadd.s32 q1, q1, q3\n"

/* Sums q0 and q1 to outputs at r7, by what follows the weights at r9; on to 1, the next eight, while r3 is above 8. */
#define OFR_MVE_EIGHT_OUTPUTS(round, narrow) \
    "vldrw.32 q2, [r9], #16\n"          \
    "vadd.i32 q0, q0, q2\n"             \
    "vldrw.32 q3, [r9], #16\n"          \
    "vadd.i32 q1, q1, q3\n"             \
    "vldrw.32 q2, [r9], #16\n"          \
    "vqrdmulh.s32 q0, q0, q2\n"         \
    "vldrw.32 q3, [r9], #16\n"          \
    "vqrdmulh.s32 q1, q1, q3\n"         \
    round                               \
    "vldrw.32 q2, [r9], #16\n"          \
    "vrshl.s32 q0, q0, q2\n"            \
    "vldrw.32 q3, [r9], #16\n"          \
    "vrshl.s32 q1, q1, q3\n"            \
    narrow("q0", "q1", "q4", "q5")      \
    "vctp.16 r3\n"                      \
    "vpst\n"                            \
    "vstrbt.16 q0, [r7], #8\n"          \
    "subs r3, #8\n"                     \
    "bgt 1b\n"

/* All channels of a row at r0. `step`: 16 inputs times the weights at r9, in 68 bytes of code; `sums`: what makes of q0 and
 * q1 the sums of even and of odd channels. On the stack: x, loops. r3, r5, r7: channels left, address of the first step, out.
 * `open` may prepare further registers, those saved, of the row. */
#define OFR_MVE_CHANNELS(saved, open, step, sums, round, narrow) \
    "push {r3-r11, lr}\n"               \
    "vpush {" saved "}\n"               \
    open                                \
    "ldm r0, {r1, r2, r4, r6, r8, r9, r10, r11}\n" \
    "mov r9, r8\n"                      \
    "ldr r7, [r0, #20]\n"               \
    "vdup.16 q4, r10\n"                 \
    "vdup.16 q5, r11\n"                 \
    "mov r3, r6\n"                      \
    "sub sp, #8\n"                      \
    "strd r1, r2, [sp]\n"               \
    "adr.w r5, 2f\n"                    \
    "movs r2, #68\n"                    \
    "mla r5, r4, r2, r5\n"              \
    "orr r5, r5, #1\n"                  \
    "1:\n"                              \
    "ldrd r1, r11, [sp]\n"              \
    step("vmladav.s8")                  \
    "bx r5\n"                           \
    ".balign 4\n"                       \
    "2:\n"                              \
    ".rept 4\n"                         \
    step("vmladava.s8")                 \
    ".endr\n"                           \
    "subs r11, #1\n"                    \
    "bne 2b\n"                          \
    "vmov q0[2], q0[0], r0, r4\n"       \
    "vmov q0[3], q0[1], r2, r6\n"       \
    "vmov q1[2], q1[0], r8, r12\n"      \
    "vmov q1[3], q1[1], r10, r14\n"     \
    sums                                \
    OFR_MVE_EIGHT_OUTPUTS(round, narrow) \
    "add sp, #8\n"                      \
    "vpop {" saved "}\n"                \
    "pop {r3-r11, pc}\n"

/* Refuses what `ofr_mve_rows` does not take; 16 inputs times eight channels have `step_bytes` of weights. */
static inline ofr_status ofr_mve_check_rows(const ofr_call *call, uint32_t step_bytes) {
    const ofr_mve_pointwise_params *p = call->params;
    if (p->pixels == 0 || p->in_c == 0 || p->out_c == 0) {
        return ofr_refuse(call, OFR_E_VALUE, 0, 1);
    }
    const uint32_t steps = ofr_plus(p->in_c, 15) / 16u;
    const uint32_t stream = ofr_times((p->out_c + 7u) / 8u, ofr_plus(ofr_times(steps, step_bytes), OFR_MVE_EIGHT_TAIL));
    return ofr_mve_check_sizes(call, ofr_times(p->pixels, p->in_c), ofr_times(p->pixels, p->out_c),
                               ofr_plus(sizeof *p, stream), p->in_c % 16u != 0 ? 16u * steps : 0);
}

/* All rows, one by one. */
static inline void ofr_mve_rows(const ofr_call *call, void channels(const ofr_mve_row *)) {
    const ofr_mve_pointwise_params *p = call->params;
    const uint32_t steps = (p->in_c + 15u) / 16u - 1u; /* the first is not part of the loop */
    const int8_t *in = (const int8_t *)call->in[0].data;
    int8_t *out = (int8_t *)call->out[0].data;
    for (uint32_t i = 0; i < p->pixels; i++, in += p->in_c, out += p->out_c) {
        ofr_mve_row r = {in, steps / OFR_MVE_UNROLLED + 1u, OFR_MVE_UNROLLED - steps % OFR_MVE_UNROLLED, p->out_c, (const int8_t *)(p + 1), out,
                 {p->add[0], p->add[1]}};
        if (p->in_c % 16u != 0) { /* what is read past a row must be the input's */
            r.x = memcpy(call->scratch, in, p->in_c);
        }
        channels(&r);
    }
}

#endif

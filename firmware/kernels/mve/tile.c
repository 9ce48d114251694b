/* Four pixels by two channels of a matrix product on Helium, by hand: the accumulators fill all even registers. */
#pragma GCC optimize("Os")

#include "tile.h"

#include "requantize.h"
#include "sizes.h"

_Static_assert(offsetof(ofr_mve_tile, skip) == 20 && offsetof(ofr_mve_tile, end) == 28, "the code below");
_Static_assert(offsetof(ofr_mve_tile, stream) == 44 && offsetof(ofr_mve_tile, places) == 48, "the code below");

void ofr_mve_begin(ofr_mve_tile *t, uint32_t taps, uint32_t unrolled, const uint16_t *add) {
    const uint32_t steps = (taps + 15u) / 16u - 1u; /* the first step is not part of the loop */
    t->loops = steps / unrolled + 1u;
    t->skip = unrolled - steps % unrolled;
    t->add[0] = add[0];
    t->add[1] = add[1];
}

void ofr_mve_place(ofr_mve_tile *t, uint32_t n, uint32_t out_c) {
    for (uint32_t i = 0; i < 4; i++) {
        const uint32_t at = (i < n ? i : n - 1u) * out_c;
        t->places[2 * i] = (uint16_t)at;
        t->places[2 * i + 1] = (uint16_t)(at + (out_c > 1));
    }
}

void ofr_mve_run(ofr_mve_tile *t, const ofr_mve_layer *l, int8_t *out, uint32_t n, ofr_mve_pairs *pairs) {
    t->tiles = n;
    t->out_step = 4u * l->out_c;
    t->out = out;
    t->stream = l->stream;
    t->end = l->stream + l->out_c / 2u * l->pair_bytes;
    if (l->out_c > 1) {
        pairs(t);
    }
    if (l->out_c & 1u) {
        t->out = l->out_c > 1 ? out + l->out_c - 2 : out;
        t->stream = t->end;
        t->end += l->pair_bytes;
        pairs(t);
    }
}

ofr_status ofr_mve_check_conv_2d(const ofr_call *call, uint32_t scratch) {
    const ofr_mve_conv_2d_params *p = call->params;
    if (p->in_c == 0 || p->kernel_h == 0 || p->kernel_w == 0 || p->out_rows == 0 || p->out_cols == 0 || p->strip == 0) {
        return ofr_refuse(call, OFR_E_VALUE, 0, 1);
    }
    if (p->out_c == 0 || p->out_c > 16383) { /* places have 16 bits */
        return ofr_refuse(call, OFR_E_VALUE, p->out_c, 16383);
    }
    if (!ofr_window_is_sane(p->kernel_h, p->stride_h, p->dilation_h) || !ofr_window_is_sane(p->kernel_w, p->stride_w, 1)) {
        return ofr_refuse(call, OFR_E_VALUE, p->kernel_h, 4096);
    }
    const uint32_t in = ofr_times(ofr_times(p->rows, p->cols), p->in_c);
    const uint32_t out = ofr_times(ofr_times(p->out_rows, p->out_cols), p->out_c);
    const uint32_t taps = ofr_times(ofr_times(p->kernel_h, p->kernel_w), p->in_c);
    const uint32_t stream = ofr_times((p->out_c + 1u) / 2u, ofr_mve_pair_bytes(taps));
    return ofr_mve_check_sizes(call, in, out, ofr_plus(sizeof *p, stream), scratch);
}

/* 16 taps: weights in q0 and q1; r0, r2, r4, r6 are the first channel's sums, r8, r10, r12, r14 the second's. */
#define STEP(op)                 \
    "vldrb.8 q0, [r9], #16\n"    \
    "vldrb.8 q1, [r9], #16\n"    \
    "vldrb.8 q2, [r1], #16\n"    \
    op " r0, q0, q2\n"           \
    op " r8, q1, q2\n"           \
    "vldrb.8 q3, [r3], #16\n"    \
    op " r2, q0, q3\n"           \
    op " r10, q1, q3\n"          \
    "vldrb.8 q2, [r5], #16\n"    \
    op " r4, q0, q2\n"           \
    op " r12, q1, q2\n"          \
    "vldrb.8 q3, [r7], #16\n"    \
    op " r6, q0, q3\n"           \
    op " r14, q1, q3\n"

/* On the stack: out, x[0], end, x[1] to x[3] and loops, all loaded at once; address of the first step; then the struct's
 * second half. q4 and q5 hold add[], q6 twos, q7 the places. */
#define LOAD "ldm.w sp, {r0, r1, r2, r3, r5, r7, r11}\n"

#define PAIRS(scale, narrow)           \
    "push {r3-r11, lr}\n"              \
    "vpush {d8-d15}\n"                 \
    "sub sp, #64\n"                    \
    "vldrw.32 q2, [r0, #32]\n"         \
    "vldrw.32 q7, [r0, #48]\n"         \
    "ldrd r1, r2, [r0, #64]\n"         \
    "vdup.16 q4, r1\n"                 \
    "vdup.16 q5, r2\n"                 \
    "movs r1, #2\n"                    \
    "vdup.16 q6, r1\n"                 \
    "ldrd r11, r8, [r0, #16]\n"        \
    "movs r2, #56\n"                   \
    "adr.w r12, 2f\n"                  \
    "mla r8, r8, r2, r12\n"            \
    "orr r8, r8, #1\n"                 \
    "ldr r2, [r0, #28]\n"              \
    "ldr r4, [r0, #24]\n"              \
    "ldm r0, {r1, r3, r5, r7}\n"       \
    "mov r0, r4\n"                     \
    "stm.w sp, {r0, r1, r2, r3, r5, r7, r11}\n" \
    "str r8, [sp, #28]\n"              \
    "vstrw.32 q2, [sp, #32]\n"         \
    "vstrw.32 q7, [sp, #48]\n"         \
    "0:\n" /* a tile */                \
    "ldr r9, [sp, #44]\n"              \
    "1:\n" /* a pair of channels */    \
    STEP("vmladav.s8")                 \
    "ldr.w pc, [sp, #28]\n"            \
    ".balign 4\n"                      \
    "2:\n"                             \
    ".rept 4\n"                        \
    STEP("vmladava.s8")                \
    ".endr\n"                          \
    "subs r11, #1\n"                   \
    "bne 2b\n"                         \
    OFR_MVE_COLLECT("q0", "q1")        \
    scale("q0", "q1", "q2")            \
    LOAD                               \
    narrow("q0", "q1", "q4", "q5")     \
    "vstrb.16 q0, [r0, q7]\n"          \
    "vadd.i16 q7, q7, q6\n"            \
    "cmp r9, r2\n"                     \
    "bne 1b\n"                         \
    "ldrd r4, r6, [sp, #32]\n"         \
    "add r1, r6\n"                     \
    "add r3, r6\n"                     \
    "add r5, r6\n"                     \
    "add r7, r6\n"                     \
    "ldr r6, [sp, #40]\n"              \
    "add r0, r6\n"                     \
    "stm.w sp, {r0, r1, r2, r3, r5, r7}\n" \
    "vldrw.32 q7, [sp, #48]\n"         \
    "subs r4, #1\n"                    \
    "str r4, [sp, #32]\n"              \
    "bne.w 0b\n"                       \
    "add sp, #64\n"                    \
    "vpop {d8-d15}\n"                  \
    "pop {r3-r11, pc}\n"

__attribute__((naked)) void ofr_mve_pairs_relu(const ofr_mve_tile *tile __attribute__((unused))) {
    __asm__ volatile(PAIRS(OFR_MVE_SCALE_RELU, OFR_MVE_NARROW_RELU));
}

__attribute__((naked)) void ofr_mve_pairs_signed(const ofr_mve_tile *tile __attribute__((unused))) {
    __asm__ volatile(PAIRS(OFR_MVE_SCALE_SIGNED, OFR_MVE_NARROW_SIGNED));
}

/* Four pixels by two channels of a matrix product on Helium, by hand: the accumulators fill all even registers. */
#pragma GCC optimize("Os")

#include "tile.h"

#include "requantize.h"
#include "sizes.h"

enum { UNROLLED = 4 }; /* steps of the product in the code */

_Static_assert(offsetof(ofr_mve_tile, loops) == 28 && offsetof(ofr_mve_tile, skip) == 40, "the code below");
_Static_assert(offsetof(ofr_mve_tile, x_step) == 48 && offsetof(ofr_mve_tile, places) == 60, "the code below");

void ofr_mve_begin(ofr_mve_tile *t, uint32_t taps, uint32_t out_c, const uint16_t *add) {
    const uint32_t steps = (taps + 15u) / 16u - 1u; /* the first step is not part of the loop */
    t->loops = steps / UNROLLED + 1u;
    t->skip = UNROLLED - steps % UNROLLED + (steps == 0);
    t->two = 2;
    t->out_step = 4u * out_c;
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

void ofr_mve_run(ofr_mve_tile *t, const ofr_mve_layer *l, int8_t *out, uint32_t n, uint32_t is_signed) {
    t->tiles = n;
    t->out = out;
    t->stream = l->stream;
    t->end = l->stream + l->out_c / 2u * l->pair_bytes;
    if (l->out_c > 1) {
        ofr_mve_pairs(t, is_signed);
    }
    if (l->out_c & 1u) {
        t->out = l->out_c > 1 ? out + l->out_c - 2 : out;
        t->stream = t->end;
        t->end += l->pair_bytes;
        ofr_mve_pairs(t, is_signed);
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
#define PIXEL(op, x, first, second) op " " first ", q0, " x "\n" op " " second ", q1, " x "\n"

#define STEP                                             \
    "vldrb.8 q0, [r9], #16\n"                            \
    "vldrb.8 q1, [r9], #16\n"                            \
    "vldrb.8 q2, [r1], #16\n"                            \
    PIXEL("vmladava.s8", "q2", "r0", "r8")               \
    "vldrb.8 q2, [r3], #16\n"                            \
    PIXEL("vmladava.s8", "q2", "r2", "r10")              \
    "vldrb.8 q2, [r5], #16\n"                            \
    PIXEL("vmladava.s8", "q2", "r4", "r12")              \
    "vldrb.8 q2, [r7], #16\n"                            \
    PIXEL("vmladava.s8", "q2", "r6", "r14")

/* From sums to outputs, and on to the next pair. LOAD: out, x[], end, two, loops, add[]. */
#define LOAD "ldm.w sp, {r0, r1, r3, r5, r7, r8, r10, r11, r12, lr}\n"
#define TAIL(scale, narrow)            \
    OFR_MVE_COLLECT("q0", "q1")        \
    scale("q0", "q1", "q2")            \
    LOAD                               \
    narrow("q0", "q1", "r12", "lr")    \
    "vstrb.16 q0, [r0, q7]\n"          \
    "vadd.i16 q7, q7, r10\n"           \
    "cmp r9, r8\n"                     \
    "bne 1b\n"

/* The struct lies on the stack, x[] behind the first 16 taps, which q3 to q6 hold for all channels; q7: places. At 40
 * the address of what follows the first step, behind the struct that of what follows the unrolled ones: the form's
 * tail, or the end of their loop; then the form's tail. */
__attribute__((naked)) void ofr_mve_pairs(const ofr_mve_tile *tile __attribute__((unused)),
                                          uint32_t is_signed __attribute__((unused))) {
    __asm__ volatile("push {r3-r11, lr}\n"
                     "vpush {d8-d15}\n"
                     "sub sp, #88\n"
                     "vldrw.32 q0, [r0]\n"
                     "vldrw.32 q1, [r0, #16]\n"
                     "vldrw.32 q2, [r0, #32]\n"
                     "vldrw.32 q3, [r0, #48]\n"
                     "vldrw.32 q7, [r0, #60]\n"
                     "vstrw.32 q0, [sp]\n"
                     "vstrw.32 q1, [sp, #16]\n"
                     "vstrw.32 q2, [sp, #32]\n"
                     "vstrw.32 q3, [sp, #48]\n"
                     "vstrw.32 q7, [sp, #60]\n"
                     "adr.w r4, 4f\n"
                     "cmp r1, #0\n"
                     "it ne\n"
                     "addne.w r4, r4, #5f - 4f\n"
                     "adr.w r5, 3f\n"
                     "adr.w r6, 2f\n"
                     "adds r4, #1\n" /* Thumb */
                     "adds r5, #1\n"
                     "adds r6, #1\n"
                     "ldr r2, [r0, #28]\n"
                     "cmp r2, #1\n"
                     "it eq\n"
                     "moveq r5, r4\n"
                     "ldr r2, [r0, #40]\n"
                     "movs r3, #56\n"
                     "mla r6, r2, r3, r6\n"
                     "cmp r2, #4\n"
                     "it hi\n"
                     "movhi r6, r4\n"
                     "str r6, [sp, #40]\n"
                     "strd r5, r4, [sp, #76]\n"
                     LOAD
                     "0:\n" /* a tile */
                     "vldrb.8 q3, [r1], #16\n"
                     "vldrb.8 q4, [r3], #16\n"
                     "vldrb.8 q5, [r5], #16\n"
                     "vldrb.8 q6, [r7], #16\n"
                     "stm.w sp, {r0, r1, r3, r5, r7}\n"
                     "ldr r9, [sp, #56]\n"
                     "1:\n" /* a pair of channels */
                     "vldrb.8 q0, [r9], #16\n"
                     "vldrb.8 q1, [r9], #16\n"
                     PIXEL("vmladav.s8", "q3", "r0", "r8")
                     PIXEL("vmladav.s8", "q4", "r2", "r10")
                     PIXEL("vmladav.s8", "q5", "r4", "r12")
                     PIXEL("vmladav.s8", "q6", "r6", "r14")
                     "ldr.w pc, [sp, #40]\n"
                     ".balign 4\n"
                     "2:\n"
                     ".rept 4\n"
                     STEP
                     ".endr\n"
                     "ldr.w pc, [sp, #76]\n"
                     "3:\n"
                     "subs r11, #1\n"
                     "bne 2b\n"
                     "ldr.w pc, [sp, #80]\n"
                     "4:\n"
                     TAIL(OFR_MVE_SCALE_RELU, OFR_MVE_NARROW_RELU)
                     "b 6f\n"
                     "5:\n"
                     TAIL(OFR_MVE_SCALE_SIGNED, OFR_MVE_NARROW_SIGNED)
                     "6:\n"
                     "ldrd r6, r4, [sp, #44]\n"
                     "subs r4, #16\n" /* x[] are so far ahead */
                     "add r1, r4\n"
                     "add r3, r4\n"
                     "add r5, r4\n"
                     "add r7, r4\n"
                     "ldr r4, [sp, #52]\n"
                     "add r0, r4\n"
                     "vldrw.32 q7, [sp, #60]\n"
                     "subs r6, #1\n"
                     "str r6, [sp, #44]\n"
                     "bne.w 0b\n"
                     "add sp, #88\n"
                     "vpop {d8-d15}\n"
                     "pop {r3-r11, pc}\n");
}

/* Four pixels by two channels of a matrix product on Helium, by hand: the accumulators fill all even registers. */
#pragma GCC optimize("Os")

#include "tile_code.h"

#include "sizes.h"

enum { UNROLLED = 4 }; /* steps of the product in the code */

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
    ofr_mve_run_pairs(ofr_mve_pairs, t, l, out, n, is_signed);
}

static inline __attribute__((always_inline)) ofr_status check_conv_2d(const ofr_call *call, uint32_t scratch, int is_int8,
                                                                      uint32_t other) {
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
    const uint32_t stream = !is_int8 ? other : ofr_times((p->out_c + 1u) / 2u, ofr_mve_pair_bytes(taps));
    return ofr_mve_check_sizes(call, in, out, ofr_plus(sizeof *p, stream), scratch);
}

ofr_status ofr_mve_check_conv_2d(const ofr_call *call, uint32_t scratch) {
    return check_conv_2d(call, scratch, 1, 0);
}

ofr_status ofr_mve_check_conv_2d_of(const ofr_call *call, uint32_t scratch, uint32_t stream) {
    return check_conv_2d(call, scratch, 0, stream);
}

#define WEIGHTS "vldrb.8 q0, [r9], #16\n" "vldrb.8 q1, [r9], #16\n"

__attribute__((naked)) void ofr_mve_pairs(const ofr_mve_tile *tile __attribute__((unused)),
                                          uint32_t is_signed __attribute__((unused))) {
    __asm__ volatile(OFR_MVE_PAIRS_CODE(WEIGHTS, "56", OFR_MVE_COLLECT));
}

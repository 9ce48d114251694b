/* Multiplication, int8, with broadcasts: centred products, requantized. */
#pragma GCC optimize("Os")

#include "rows.h"

static ofr_status check(const ofr_call *call) {
    return ofr_dsp_check_rows(call, sizeof(ofr_mul_params));
}

/* In both halves. */
static uint32_t negative(int32_t zero_point) {
    return ((0u - (uint32_t)zero_point) & 0xffffu) * 0x00010001u;
}

static void mul_row(const void *params, const int8_t *a, uint32_t stride_a, const int8_t *b, uint32_t stride_b,
                    int8_t *out, uint32_t n) {
    const ofr_mul_params *p = params;
    const ofr_dsp_products products = {ofr_dsp_scale_of(p->multiplier, 0u - (uint32_t)p->shift, p->out_zero_point),
                                       {negative(p->zero_point[0]), negative(p->zero_point[1])}};
    ofr_dsp_each(ofr_dsp_multiply_fours, &products, a, stride_a, b, stride_b, out, n);
}

static void run(const ofr_call *call) {
    const ofr_mul_params *p = call->params;
    ofr_for_rows(call, mul_row);
    ofr_dsp_clamp((int8_t *)call->out[0].data, call->out[0].bytes, p->act_min, p->act_max);
}

const ofr_kernel ofr_kernel_dsp_mul = {
    OFR_KERNEL_DSP_MUL, OFR_PACKING_DSP_MUL, sizeof(ofr_mul_params), 2, 1, 3, check, run,
};

/* Convolution, int8, whose outputs are added to another tensor when they are made, and are not stored. */
#ifdef __ARM_FEATURE_DSP
#pragma GCC optimize("Os") /* other sets serve nearly all layers there */
#endif

#include "add_table.h"
#include "conv_2d_pair.h"

/* The end of the block, behind conv_2d_pair's: a multiple of 4 bytes, as `check` has shown. */
static const ofr_generic_sum *sum_of(const ofr_call *call) {
    const uint8_t *end = (const uint8_t *)call->params + call->params_bytes;
    return (const ofr_generic_sum *)(const void *)(end - OFR_GENERIC_SUM_BYTES);
}

static ofr_status check(const ofr_call *call) {
    const ofr_conv_2d_pair_params *p = call->params;
    ofr_status status = ofr_generic_check_pair(call, OFR_GENERIC_SUM_BYTES, 2u * p->out_c);
    if (status == OFR_OK) {
        status = ofr_expect(call, OFR_E_DTYPE, call->in[1].dtype, OFR_S8);
    }
    if (status == OFR_OK) {
        status = ofr_expect(call, OFR_E_SHAPE, call->in[1].bytes, call->out[0].bytes);
    }
    if (status == OFR_OK && sum_of(call)->lookup > 1) {
        status = ofr_refuse(call, OFR_E_VALUE, sum_of(call)->lookup, 1);
    }
    return status;
}

/* The pixel that is made twice: the one in the middle of the last row, where there is one; it is added as a partner. */
static const int8_t *middle_of(const ofr_call *call) {
    const ofr_conv_2d_pair_params *p = call->params;
    const int8_t *out = (const int8_t *)call->out[0].data;
    return p->out_rows & p->out_cols & 1 ? out + call->out[0].bytes - (p->out_cols / 2u + 1) * p->out_c : NULL;
}

static void make_pixels(const layer *l, const ofr_call *call, uint32_t group, const int32_t *x, uint32_t pitch,
                        uint32_t n, int8_t *out, uint32_t partner) {
    const ofr_generic_sum *stored = sum_of(call), sum = *stored; /* a copy, which no output can be part of */
    const int8_t *middle = middle_of(call);
    const uint32_t made = l->group_out;
    int8_t *values = (int8_t *)call->scratch + call->scratch_bytes - 2 * made;
    const int8_t *other = (const int8_t *)call->in[1].data + (out - (int8_t *)call->out[0].data);
    for (; n != 0; n--, x += pitch, out += l->p->out_c, other += l->p->out_c) {
        multiply(l, group, x, pitch, 1, values, made);
        ofr_clamp_s8(values, 2 * made, l->p->act_min, l->p->act_max);
        for (uint32_t at = middle == out - group * made ? 1 : 0; at < 2; at++) {
            ofr_generic_add(&sum, (const void *)(stored + 1), values + at * made, 1, other + at * partner, 1,
                            out + at * partner, made);
        }
    }
}

static void run(const ofr_call *call) {
    const ofr_generic_sum *sum = sum_of(call);
    run_pairs(call);
    ofr_clamp_s8((int8_t *)call->out[0].data, call->out[0].bytes, sum->act_min, sum->act_max);
}

const ofr_kernel ofr_kernel_generic_conv_2d_pair_add = {
    OFR_KERNEL_GENERIC_CONV_2D_PAIR_ADD,
    OFR_PACKING_GENERIC_CONV_2D_PAIR_ADD,
    sizeof(ofr_conv_2d_pair_params) + OFR_GENERIC_SUM_BYTES,
    2,
    1,
    2,
    check,
    run,
};

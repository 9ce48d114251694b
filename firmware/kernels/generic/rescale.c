/* Functions of one value that are a line below zero and one above, int8 or int16 to either. */
#pragma GCC optimize("Os") /* a few values a run: size counts */

#include "fixed_point.h"
#include "kernel.h"

static uint32_t size_of(uint8_t dtype) {
    return dtype == OFR_S16 ? 2 : 1;
}

static ofr_status check(const ofr_call *call) {
    const uint8_t in = call->in[0].dtype, out = call->out[0].dtype;
    if ((in != OFR_S8 && in != OFR_S16) || (out != OFR_S8 && out != OFR_S16)) {
        return ofr_refuse(call, OFR_E_DTYPE, in, OFR_S16);
    }
    const ofr_status status = ofr_expect(call, OFR_E_PARAMS, call->params_bytes, sizeof(ofr_rescale_params));
    const uint32_t values = call->in[0].bytes / size_of(in);
    return status != OFR_OK ? status : ofr_expect(call, OFR_E_SHAPE, call->out[0].bytes, ofr_times(values, size_of(out)));
}

/* What ofr_requantize makes of multiplier and shift, so that no value decides what is executed. */
typedef struct scaling {
    int32_t multiplier;
    uint32_t left, right;
} scaling;

static scaling scaling_of(int32_t multiplier, int32_t shift) {
    return (scaling){multiplier, shift > 0 ? (uint32_t)shift & 31u : 0, shift < 0 ? (0u - (uint32_t)shift) & 31u : 0};
}

static inline int32_t rescaled(const ofr_rescale_params *p, const scaling sides[2], int32_t value) {
    const int32_t x = value - p->in_zero_point;
    const scaling *s = sides + (x >= 0);
    const int32_t high = ofr_doubling_high_mul((int32_t)((uint32_t)x << s->left), s->multiplier);
    const int32_t y = ofr_wrap_add(ofr_rounding_divide_by_pot(high, s->right), p->out_zero_point);
    return ofr_clamp(y, p->act_min, p->act_max);
}

static void run(const ofr_call *call) {
    const ofr_rescale_params *p = call->params;
    const scaling sides[2] = {scaling_of(p->multiplier[0], p->shift[0]), scaling_of(p->multiplier[1], p->shift[1])};
    const uint32_t wide_in = call->in[0].dtype == OFR_S16, wide_out = call->out[0].dtype == OFR_S16;
    const uint8_t *in = call->in[0].data;
    uint8_t *out = call->out[0].data;
    for (const uint8_t *end = out + call->out[0].bytes; out != end; in += 1 + wide_in, out += 1 + wide_out) {
        const int32_t value = wide_in ? *(const int16_t *)(const void *)in : *(const int8_t *)in;
        const int32_t y = rescaled(p, sides, value);
        if (wide_out) {
            *(int16_t *)(void *)out = (int16_t)y;
        } else {
            *(int8_t *)out = (int8_t)y;
        }
    }
}

const ofr_kernel ofr_kernel_generic_rescale = {
    OFR_KERNEL_GENERIC_RESCALE, OFR_PACKING_GENERIC_RESCALE, sizeof(ofr_rescale_params), 1, 1, 1, check, run,
};

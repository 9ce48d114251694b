/* Mean over any axes, int16: the sum of a window, then one requantization that holds the division. */
#pragma GCC optimize("Os") /* a few values a run: size counts */

#include "fixed_point.h"
#include "mean.h"

static ofr_status check(const ofr_call *call) {
    return ofr_check_mean_of(call, OFR_S16);
}

static uint32_t sum(const ofr_mean_params *p, const int16_t *in) {
    uint32_t total = 0;
    for (uint32_t i = 0; i < p->reduced[0]; i++) {
        const int16_t *at = in + i * p->reduced_strides[0];
        for (uint32_t j = 0; j < p->reduced[1]; j++) {
            const int32_t value = at[j * p->reduced_strides[1]];
            total += (uint32_t)value;
        }
    }
    return total;
}

static void run(const ofr_call *call) {
    const ofr_mean_params *p = call->params;
    const int16_t *in = (const void *)call->in[0].data;
    int16_t *out = (void *)call->out[0].data;
    for (uint32_t i = 0; i < p->kept[0]; i++) {
        for (uint32_t j = 0; j < p->kept[1]; j++) {
            const uint32_t total = sum(p, in + i * p->kept_strides[0] + j * p->kept_strides[1]);
            const int32_t q = ofr_requantize((int32_t)(total + (uint32_t)p->bias), p->multiplier, p->shift);
            *out++ = (int16_t)ofr_clamp(ofr_wrap_add(q, p->out_zero_point), INT16_MIN, INT16_MAX);
        }
    }
}

const ofr_kernel ofr_kernel_generic_mean_s16 = {
    OFR_KERNEL_GENERIC_MEAN_S16, OFR_PACKING_GENERIC_MEAN_S16, sizeof(ofr_mean_params), 1, 1, 0, check, run,
};

/* Mean over any axes, int8: the sum of a window, then one requantization that holds the division. */
#pragma GCC optimize("Os") /* a few values a run: size counts */

#include "fixed_point.h"
#include "mean.h"

static uint32_t sum(const ofr_mean_params *p, const int8_t *in) {
    uint32_t total = 0;
    for (uint32_t i = 0; i < p->reduced[0]; i++) {
        const int8_t *at = in + i * p->reduced_strides[0];
        for (uint32_t j = 0; j < p->reduced[1]; j++) {
            const int32_t value = at[j * p->reduced_strides[1]];
            total += (uint32_t)value;
        }
    }
    return total;
}

static void run(const ofr_call *call) {
    const ofr_mean_params *p = call->params;
    const int8_t *in = (const int8_t *)call->in[0].data;
    int8_t *out = (int8_t *)call->out[0].data;
    for (uint32_t i = 0; i < p->kept[0]; i++) {
        for (uint32_t j = 0; j < p->kept[1]; j++) {
            const uint32_t total = sum(p, in + i * p->kept_strides[0] + j * p->kept_strides[1]);
            const int32_t q = ofr_requantize((int32_t)(total + (uint32_t)p->bias), p->multiplier, p->shift);
            *out++ = (int8_t)ofr_clamp(ofr_wrap_add(q, p->out_zero_point), -128, 127);
        }
    }
}

const ofr_kernel ofr_kernel_generic_mean = {
    OFR_KERNEL_GENERIC_MEAN, OFR_PACKING_GENERIC_MEAN, sizeof(ofr_mean_params), 1, 1, 0, ofr_check_mean, run,
};

/* Mean over rows and columns, int8: four channels at a time. */
#pragma GCC optimize("Os")

#include <arm_acle.h>

#include "fixed_point.h"
#include "mean.h"

enum { LANES = 4, MOST = 255 }; /* values whose sum fits int16 */

static ofr_status check(const ofr_call *call) {
    const ofr_mean_params *p = call->params;
    return p->kept[1] < LANES || p->kept_strides[1] != 1 ? ofr_refuse(call, OFR_E_VALUE, p->kept[1], LANES)
                                                         : ofr_check_mean(call);
}

/* Adds up four channels of a window. */
static void sum_four(const ofr_mean_params *p, const int8_t *in, uint32_t sums[LANES]) {
    const uint32_t step = p->reduced_strides[1];
    for (uint32_t i = 0; i < p->reduced[0]; i++) {
        const int8_t *at = in + i * p->reduced_strides[0];
        for (uint32_t left = p->reduced[1]; left != 0;) {
            uint32_t n = left < MOST ? left : MOST;
            int16x2_t even = 0, odd = 0;
            left -= n;
            for (; n != 0; n--, at += step) {
                uint32_t x;
                memcpy(&x, at, 4);
                __asm__("sxtab16 %0, %0, %2\n\tsxtab16 %1, %1, %2, ror #8" : "+r"(even), "+r"(odd) : "r"(x));
            }
            sums[0] += (uint32_t)(int16_t)even;
            sums[1] += (uint32_t)(int16_t)odd;
            sums[2] += (uint32_t)(even >> 16);
            sums[3] += (uint32_t)(odd >> 16);
        }
    }
}

static void run(const ofr_call *call) {
    const ofr_mean_params *p = call->params;
    const int8_t *in = (const int8_t *)call->in[0].data;
    int8_t *out = (int8_t *)call->out[0].data;
    const uint32_t channels = p->kept[1];
    for (uint32_t i = 0; i < p->kept[0]; i++, in += p->kept_strides[0], out += channels) {
        for (uint32_t c = 0; c < channels; c += LANES) {
            const uint32_t at = c + LANES <= channels ? c : channels - LANES; /* some of the last four again */
            uint32_t sums[LANES];
            for (uint32_t lane = 0; lane < LANES; lane++) {
                sums[lane] = (uint32_t)p->bias;
            }
            sum_four(p, in + at, sums);
            for (uint32_t lane = 0; lane < LANES; lane++) {
                const int32_t q = ofr_requantize((int32_t)sums[lane], p->multiplier, p->shift);
                out[at + lane] = (int8_t)ofr_clamp(ofr_wrap_add(q, p->out_zero_point), -128, 127);
            }
        }
    }
}

const ofr_kernel ofr_kernel_dsp_mean = {
    OFR_KERNEL_DSP_MEAN, OFR_PACKING_DSP_MEAN, sizeof(ofr_mean_params), 1, 1, 0, check, run,
};

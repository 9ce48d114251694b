/* Average pooling of windows of up to 255 taps, int8: four channels at a time, halves round away from zero. */
#pragma GCC optimize("Os")

#include <arm_acle.h>

#include "pool.h"

enum { MAX_TAPS = 255 }; /* whose sum fits int16 */

static ofr_status check(const ofr_call *call) {
    const ofr_pool *p = call->params;
    const ofr_status status = ofr_check_pool(call);
    return status == OFR_OK && ofr_times(p->filter_h, p->filter_w) > MAX_TAPS
               ? ofr_refuse(call, OFR_E_VALUE, ofr_times(p->filter_h, p->filter_w), MAX_TAPS)
               : status;
}

/* Sums of channels 0 and 2 and of 1 and 3 of a window of rows by cols pixels. */
static void sum_four(const int8_t *at, uint32_t rows, uint32_t cols, uint32_t row_step, uint32_t step,
                     int16x2_t sums[2]) {
    int16x2_t even = 0, odd = 0;
    for (; rows != 0; rows--, at += row_step) {
        const int8_t *pixel = at;
        for (uint32_t i = 0; i < cols; i++, pixel += step) {
            uint32_t x;
            memcpy(&x, pixel, 4);
            __asm__("sxtab16 %0, %0, %2\n\tsxtab16 %1, %1, %2, ror #8" : "+r"(even), "+r"(odd) : "r"(x));
        }
    }
    sums[0] = even;
    sums[1] = odd;
}

static int32_t sum_one(const int8_t *at, uint32_t rows, uint32_t cols, uint32_t row_step, uint32_t step) {
    int32_t sum = 0;
    for (; rows != 0; rows--, at += row_step) {
        for (uint32_t i = 0; i < cols; i++) {
            sum += at[i * step];
        }
    }
    return sum;
}

static int8_t mean(const ofr_pool *p, int32_t sum, int32_t count) {
    const int32_t value = count == 0 ? 0 : ofr_rounded_average(sum, count);
    return (int8_t)ofr_clamp(value, p->act_min, p->act_max);
}

static void run(const ofr_call *call) {
    const ofr_pool *p = call->params;
    const int8_t *in = (const int8_t *)call->in[0].data;
    int8_t *out = (int8_t *)call->out[0].data;
    const uint32_t channels = p->channels, row_step = p->cols * channels;
    for (uint32_t oy = 0; oy < p->out_rows; oy++) {
        const ofr_range y = ofr_window(oy, p->stride_h, p->pad_top, p->filter_h, p->rows);
        for (uint32_t ox = 0; ox < p->out_cols; ox++, out += channels) {
            const ofr_range x = ofr_window(ox, p->stride_w, p->pad_left, p->filter_w, p->cols);
            const uint32_t rows = (uint32_t)(y.last - y.first), cols = (uint32_t)(x.last - x.first);
            const int32_t count = (int32_t)(rows * cols);
            const int8_t *at = in + (uint32_t)y.first * row_step + (uint32_t)x.first * channels;
            uint32_t c = 0;
            for (; c + 4 <= channels; c += 4) {
                int16x2_t sums[2];
                sum_four(at + c, rows, cols, row_step, channels, sums);
                out[c] = mean(p, (int16_t)sums[0], count);
                out[c + 1] = mean(p, (int16_t)sums[1], count);
                out[c + 2] = mean(p, sums[0] >> 16, count);
                out[c + 3] = mean(p, sums[1] >> 16, count);
            }
            for (; c < channels; c++) {
                out[c] = mean(p, sum_one(at + c, rows, cols, row_step, channels), count);
            }
        }
    }
}

const ofr_kernel ofr_kernel_dsp_average_pool_2d = {
    OFR_KERNEL_DSP_AVERAGE_POOL_2D, OFR_PACKING_DSP_AVERAGE_POOL_2D, sizeof(ofr_pool), 1, 1, 0, check, run,
};

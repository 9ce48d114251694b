/* Max pooling, int8: four channels at a time. */
#pragma GCC optimize("O2")

#include <arm_acle.h>

#include "multiply.h"
#include "pool.h"

enum { LANES = 4 };

static ofr_status check(const ofr_call *call) {
    const ofr_pool *p = call->params;
    return p->channels < LANES ? ofr_refuse(call, OFR_E_VALUE, p->channels, LANES) : ofr_check_pool(call);
}

static inline uint32_t load(const int8_t *at) {
    uint32_t x;
    memcpy(&x, at, 4);
    return x;
}

/* The larger of each of four int8. */
static inline uint32_t larger(uint32_t a, uint32_t b) {
    (void)__ssub8((int8x4_t)a, (int8x4_t)b);
    return __sel(a, b);
}

/* Largest of four channels over a window of rows by cols pixels. */
static inline uint32_t largest(const int8_t *at, uint32_t rows, uint32_t cols, uint32_t row_step, uint32_t step) {
    uint32_t max = 0x80808080u;
    for (; rows != 0; rows--, at += row_step) {
        const int8_t *pixel = at;
        for (uint32_t i = cols; i != 0; i--, pixel += step) {
            max = larger(load(pixel), max);
        }
    }
    return max;
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
            const int8_t *at = in + (uint32_t)y.first * row_step + (uint32_t)x.first * channels;
            const uint32_t rows = (uint32_t)(y.last - y.first), cols = (uint32_t)(x.last - x.first);
            for (uint32_t i = 0; i < channels; i += LANES) {
                const uint32_t c = i + LANES <= channels ? i : channels - LANES; /* some of the last four again */
                const uint32_t max = largest(at + c, rows, cols, row_step, channels);
                memcpy(out + c, &max, 4);
            }
        }
    }
    ofr_dsp_clamp((int8_t *)call->out[0].data, call->out[0].bytes, p->act_min, p->act_max);
}

const ofr_kernel ofr_kernel_dsp_max_pool_2d = {
    OFR_KERNEL_DSP_MAX_POOL_2D, OFR_PACKING_DSP_MAX_POOL_2D, sizeof(ofr_pool), 1, 1, 0, check, run,
};

/* Max pooling, int8. */
#include "pool.h"

static int32_t largest(const ofr_pool *p, const int8_t *in, ofr_range y, ofr_range x) {
    int32_t max = -128;
    for (int32_t row = y.first; row < y.last; row++) {
        const int8_t *at = in + ((uint32_t)row * p->cols + (uint32_t)x.first) * p->channels;
        for (int32_t col = x.first; col < x.last; col++, at += p->channels) {
            max = *at > max ? *at : max;
        }
    }
    return max;
}

static void run(const ofr_call *call) {
    const ofr_pool *p = call->params;
    int8_t *out = (int8_t *)call->out[0].data;
    for (uint32_t oy = 0; oy < p->out_rows; oy++) {
        const ofr_range y = ofr_window(oy, p->stride_h, p->pad_top, p->filter_h, p->rows);
        for (uint32_t ox = 0; ox < p->out_cols; ox++) {
            const ofr_range x = ofr_window(ox, p->stride_w, p->pad_left, p->filter_w, p->cols);
            for (uint32_t c = 0; c < p->channels; c++) {
                const int32_t max = largest(p, (const int8_t *)call->in[0].data + c, y, x);
                *out++ = (int8_t)ofr_clamp(max, p->act_min, p->act_max);
            }
        }
    }
}

const ofr_kernel ofr_kernel_generic_max_pool_2d = {
    OFR_KERNEL_GENERIC_MAX_POOL_2D, OFR_PACKING_GENERIC_MAX_POOL_2D, sizeof(ofr_pool), 1, 1, 0, ofr_check_pool, run,
};

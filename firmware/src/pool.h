/* Sliding windows of the pooling kernels: one parameter layout, one check, one walk. */
#ifndef OFR_POOL_H
#define OFR_POOL_H

#include "fixed_point.h"
#include "kernel.h"

/* ofr_average_pool_2d_params and ofr_max_pool_2d_params have the same layout. */
typedef ofr_average_pool_2d_params ofr_pool;
_Static_assert(sizeof(ofr_max_pool_2d_params) == sizeof(ofr_pool), "layout");

static inline ofr_status ofr_check_pool_of(const ofr_call *call, uint8_t dtype) {
    const ofr_pool *p = call->params;
    const uint32_t most = dtype == OFR_S16 ? 32768 : 65536, size = dtype == OFR_S16 ? 2 : 1;
    if (!ofr_window_is_sane(p->filter_h, p->stride_h, 1) || !ofr_window_is_sane(p->filter_w, p->stride_w, 1)) {
        return ofr_refuse(call, OFR_E_VALUE, p->filter_h, 4096);
    }
    if ((uint32_t)p->filter_h * p->filter_w > most) { /* so that sums of a window fit int32 */
        return ofr_refuse(call, OFR_E_VALUE, (uint32_t)p->filter_h * p->filter_w, most);
    }
    if (p->channels == 0) { /* pixels without bytes could be any number */
        return ofr_refuse(call, OFR_E_VALUE, 0, 1);
    }
    if (call->in[0].dtype != dtype || call->out[0].dtype != dtype) {
        return ofr_refuse(call, OFR_E_DTYPE, call->in[0].dtype, dtype);
    }
    const uint32_t in = ofr_times(ofr_times(p->rows, p->cols), p->channels * size);
    const uint32_t out = ofr_times(ofr_times(p->out_rows, p->out_cols), p->channels * size);
    ofr_status status = ofr_expect(call, OFR_E_PARAMS, call->params_bytes, sizeof *p);
    if (status == OFR_OK) {
        status = ofr_expect(call, OFR_E_SHAPE, call->in[0].bytes, in);
    }
    return status != OFR_OK ? status : ofr_expect(call, OFR_E_SHAPE, call->out[0].bytes, out);
}

static inline ofr_status ofr_check_pool(const ofr_call *call) {
    return ofr_check_pool_of(call, OFR_S8);
}

/* The part of a window that lies on the input: [first, last) of one axis. */
typedef struct ofr_range {
    int32_t first, last;
} ofr_range;

static inline ofr_range ofr_window(uint32_t out, uint32_t stride, uint32_t pad, uint32_t taps, uint32_t length) {
    const int32_t start = (int32_t)(out * stride) - (int32_t)pad;
    const int32_t end = start + (int32_t)taps;
    const int32_t limit = (int32_t)length;
    const ofr_range r = {start < 0 ? 0 : start, end > limit ? limit : end};
    return r.first < r.last ? r : (ofr_range){0, 0};
}

/* Calls `reduce` for every output value: the channel's first element, and the window's rows and columns. Values have
 * `size` bytes, 1 or 2. */
static inline __attribute__((always_inline)) void
ofr_pool_windows(const ofr_call *call, uint32_t size,
                 int32_t (*reduce)(const ofr_pool *, const void *in, ofr_range y, ofr_range x)) {
    const ofr_pool *p = call->params;
    uint8_t *out = call->out[0].data;
    for (uint32_t oy = 0; oy < p->out_rows; oy++) {
        const ofr_range y = ofr_window(oy, p->stride_h, p->pad_top, p->filter_h, p->rows);
        for (uint32_t ox = 0; ox < p->out_cols; ox++) {
            const ofr_range x = ofr_window(ox, p->stride_w, p->pad_left, p->filter_w, p->cols);
            for (uint32_t c = 0; c < p->channels; c++) {
                const int32_t value = ofr_clamp(reduce(p, call->in[0].data + c * size, y, x), p->act_min, p->act_max);
                if (size == 1) {
                    *(int8_t *)out = (int8_t)value;
                } else {
                    *(int16_t *)(void *)out = (int16_t)value;
                }
                out += size;
            }
        }
    }
}

#endif

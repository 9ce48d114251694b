/* Depthwise convolution of 3x3 taps, int8: two output positions at a time, each channel's constants together. */
#ifdef __ARM_FEATURE_DSP
#pragma GCC optimize("Os") /* other sets serve nearly all layers there */
#endif

#include "doubled.h"
#include "gather.h"
#include "kernel.h"

enum { KERNEL = 3, TAPS = KERNEL * KERNEL };

/* All that one channel needs, in the order of its use. */
typedef struct channel {
    int8_t weights[TAPS];
    int8_t zero[3];
    int32_t bias; /* doubled, input zero point folded in */
    ofr_scale scale;
} channel;
_Static_assert(sizeof(channel) == 24, "layout");

static ofr_status check(const ofr_call *call) {
    const ofr_depthwise_conv_2d_3x3_params *p = call->params;
    if (p->channels == 0) { /* pixels without bytes could be any number */
        return ofr_refuse(call, OFR_E_VALUE, 0, 1);
    }
    if (p->input_zero_point < -128 || p->input_zero_point > 127) {
        return ofr_refuse(call, OFR_E_VALUE, (uint32_t)p->input_zero_point, 127);
    }
    if (!ofr_window_is_sane(KERNEL, p->stride_h, p->dilation_h) ||
        !ofr_window_is_sane(KERNEL, p->stride_w, p->dilation_w)) {
        return ofr_refuse(call, OFR_E_VALUE, p->stride_h, 4096);
    }
    if (call->in[0].dtype != OFR_S8 || call->out[0].dtype != OFR_S8) {
        return ofr_refuse(call, OFR_E_DTYPE, call->in[0].dtype, OFR_S8);
    }
    const uint32_t in = ofr_times(ofr_times(p->rows, p->cols), p->channels);
    const uint32_t out = ofr_times(ofr_times(p->out_rows, p->out_cols), p->channels);
    const uint32_t block = (uint32_t)sizeof *p + p->channels * (uint32_t)sizeof(channel);
    const uint32_t scratch = 2u * TAPS * p->channels;
    ofr_status status = ofr_expect(call, OFR_E_SHAPE, call->in[0].bytes, in);
    if (status == OFR_OK) {
        status = ofr_expect(call, OFR_E_SHAPE, call->out[0].bytes, out);
    }
    if (status == OFR_OK) {
        status = ofr_expect(call, OFR_E_PARAMS, call->params_bytes, block);
    }
    if (status == OFR_OK && call->scratch_bytes < scratch) {
        status = ofr_refuse(call, OFR_E_SCRATCH, call->scratch_bytes, scratch);
    }
    return status;
}

/* Two positions' windows: the first channel's first tap, and the distances of taps in a row and between rows. */
typedef struct windows {
    const int8_t *a, *b;
    uint32_t tap, row;
} windows;

/* All channels of two positions; one position when out_a == out_b. */
static __attribute__((noinline)) void multiply(windows in, const channel *c, uint32_t n, int32_t center,
                                               int8_t *out_a, int8_t *out_b) {
    for (const channel *end = c + n; c != end; c++) {
        const int8_t *a = in.a++, *b = in.b++, *w = c->weights;
        int32_t sum_a = 0, sum_b = 0;
        for (int i = 0; i < KERNEL; i++, a += in.row, b += in.row, w += KERNEL) {
            sum_a += a[0] * w[0] + a[in.tap] * w[1] + a[2 * in.tap] * w[2];
            sum_b += b[0] * w[0] + b[in.tap] * w[1] + b[2 * in.tap] * w[2];
            __asm__ volatile("" : "+r"(sum_a), "+r"(sum_b) : : "memory"); /* loads no more than it has registers */
        }
        const ofr_doubled d = ofr_doubled_of(&c->scale, center);
        const uint32_t bias = (uint32_t)c->bias;
        *out_a++ = ofr_requantize_doubled(d, bias + 2 * (uint32_t)sum_a);
        *out_b++ = ofr_requantize_doubled(d, bias + 2 * (uint32_t)sum_b);
    }
}

/* Whether all taps along one axis lie inside. */
static inline int inside(int32_t at, uint32_t dilation, uint32_t length) {
    return at >= 0 && at + (int32_t)(KERNEL - 1) * (int32_t)dilation < (int32_t)length;
}

/* Once in the image, for two calls. */
static __attribute__((noinline)) const int8_t *gather(const ofr_taps *t, int32_t y, int32_t x, int8_t *taps) {
    ofr_gather(t, y, x, 0, (uint32_t)t->channels, taps);
    return taps;
}

static void run(const ofr_call *call) {
    const ofr_depthwise_conv_2d_3x3_params *p = call->params;
    const uint32_t n = p->channels, pixels = (uint32_t)p->out_rows * p->out_cols;
    const ofr_taps taps = {(const int8_t *)call->in[0].data, p->rows, p->cols, p->channels, KERNEL, KERNEL,
                           p->dilation_h, p->dilation_w, p->input_zero_point};
    int8_t *out = (int8_t *)call->out[0].data, *gathered = call->scratch;
    const int32_t center = 2 * p->output_zero_point + 1;
    int32_t y = -p->pad_top, x = -p->pad_left;
    uint32_t col = 0;
    for (uint32_t i = 0; i < pixels; i += 2) {
        const uint32_t last = i + 1 < pixels ? 1 : 0;
        int32_t ys[2], xs[2]; /* top left corners */
        int all = 1;
#pragma GCC unroll 1
        for (uint32_t j = 0; j <= last; j++) {
            ys[j] = y;
            xs[j] = x;
            all &= inside(y, p->dilation_h, p->rows) && inside(x, p->dilation_w, p->cols);
            x += p->stride_w;
            if (++col == p->out_cols) {
                col = 0;
                x = -p->pad_left;
                y += p->stride_h;
            }
        }
        windows w = {NULL, NULL, n, KERNEL * n};
        if (all) {
            w.a = taps.in + ((uint32_t)ys[0] * p->cols + (uint32_t)xs[0]) * n;
            w.b = taps.in + ((uint32_t)ys[last] * p->cols + (uint32_t)xs[last]) * n;
            w.tap = p->dilation_w * n;
            w.row = p->dilation_h * p->cols * n;
        } else {
            w.a = gather(&taps, ys[0], xs[0], gathered);
            w.b = last ? gather(&taps, ys[1], xs[1], gathered + TAPS * n) : w.a;
        }
        multiply(w, (const channel *)(const void *)(p + 1), n, center, out, out + last * n);
        out += (1 + last) * n;
    }
    ofr_clamp_s8((int8_t *)call->out[0].data, call->out[0].bytes, p->act_min, p->act_max);
}

const ofr_kernel ofr_kernel_generic_depthwise_conv_2d_3x3 = {
    OFR_KERNEL_GENERIC_DEPTHWISE_CONV_2D_3X3,
    OFR_PACKING_GENERIC_DEPTHWISE_CONV_2D_3X3,
    sizeof(ofr_depthwise_conv_2d_3x3_params),
    1,
    1,
    0,
    check,
    run,
};

/* 1x1 convolution without padding at any stride, int8: three pixels by two channels at a time, over its input if asked.
 */
/* The time goes into multiply.S and its like: what is left is compiled for size. */
#pragma GCC optimize("Os")

#include "layer.h"

ofr_status ofr_dsp_check_pointwise(const ofr_call *call, uint32_t weight_bytes) {
    const ofr_dsp_conv_2d_params *p = call->params;
    if ((uint32_t)p->kernel_h * p->kernel_w != 1 || (p->pad_top | p->pad_left) != 0 || p->groups != 1) {
        return ofr_refuse(call, OFR_E_VALUE, p->kernel_h, 1);
    }
    if ((uint32_t)(p->out_rows - 1) * p->stride_h >= p->rows || (uint32_t)(p->out_cols - 1) * p->stride_w >= p->cols) {
        return ofr_refuse(call, OFR_E_SHAPE, p->out_rows, p->rows);
    }
    const ofr_status status = ofr_dsp_check_scratch(call, (p->in_c + 3u) / 4u * OFR_DSP_TAP_BYTES);
    return status != OFR_OK ? status : ofr_dsp_check_layer(call, weight_bytes);
}

static const int8_t *pixel(const ofr_dsp_conv_2d_params *p, const int8_t *in, uint32_t i) {
    const uint32_t y = i / p->out_cols, x = i % p->out_cols;
    return in + (y * p->stride_h * p->cols + x * p->stride_w) * p->in_c;
}

/* The last 1 to 3 channels, so that nothing behind the input is read. */
static void widen_rest(ofr_dsp_widen_three_run *widen, const int8_t *const in[OFR_DSP_PIXELS], uint32_t first,
                       uint32_t *taps, uint32_t n) {
    int8_t rest[OFR_DSP_PIXELS][4] = {{0}};
    const int8_t *const at[OFR_DSP_PIXELS] = {rest[0], rest[1], rest[2]};
    for (uint32_t pixel = 0; pixel < OFR_DSP_PIXELS; pixel++) {
        for (uint32_t i = 0; i < n; i++) {
            rest[pixel][i] = in[pixel][first + i];
        }
    }
    (void)widen(at, taps, 1);
}

void ofr_dsp_pointwise(const ofr_call *call, const uint32_t *stream, ofr_dsp_multiply_run *multiply,
                       ofr_dsp_widen_three_run *widen) {
    const ofr_dsp_conv_2d_params *p = call->params;
    const int8_t *in = (const int8_t *)call->in[0].data;
    int8_t *out = (int8_t *)call->out[0].data;
    const uint32_t pixels = (uint32_t)p->out_rows * p->out_cols, in_c = p->in_c, out_c = p->out_c;
    const uint32_t dense = p->stride_h == 1 && p->stride_w == 1 && p->cols == p->out_cols;
    for (uint32_t left = pixels; left != 0;) {
        const uint32_t count = left < OFR_DSP_PIXELS ? left : OFR_DSP_PIXELS;
        const uint32_t first = p->backwards ? left - count : pixels - left;
        const uint32_t second = first + (count > 1), third = second + (count > 2); /* where there are less, again */
        const int8_t *from[OFR_DSP_PIXELS] = {in + first * in_c, in + second * in_c, in + third * in_c};
        int8_t *const to[OFR_DSP_PIXELS] = {out + first * out_c, out + second * out_c, out + third * out_c};
        left -= count;
        if (!dense) {
            from[0] = pixel(p, in, first);
            from[1] = pixel(p, in, second);
            from[2] = pixel(p, in, third);
        }
        uint32_t *taps = call->scratch;
        if (in_c >= 4) {
            taps = widen(from, taps, in_c / 4);
        }
        if (in_c % 4 != 0) {
            widen_rest(widen, from, in_c & ~3u, taps, in_c % 4);
        }
        (void)ofr_dsp_channels(multiply, stream, call->scratch, to, out_c, (in_c + 3) / 4, p->linear);
    }
    ofr_dsp_clamp(out, pixels * out_c, p->act_min, p->act_max);
}

static ofr_status check(const ofr_call *call) {
    return ofr_dsp_check_pointwise(call, OFR_DSP_INT8_SIZE);
}

static void run(const ofr_call *call) {
    ofr_dsp_pointwise(call, ofr_dsp_stream(call), ofr_dsp_multiply, ofr_dsp_widen_three);
}

const ofr_kernel ofr_kernel_dsp_pointwise_conv_2d = {
    OFR_KERNEL_DSP_POINTWISE_CONV_2D,
    OFR_PACKING_DSP_POINTWISE_CONV_2D,
    sizeof(ofr_dsp_conv_2d_params),
    1,
    1,
    OFR_SAME_START(0),
    check,
    run,
};

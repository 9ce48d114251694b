/* What the convolutions of the dsp set share: the check of geometry and block, channels of three pixels. */
/* The time goes into multiply.S and its like: what is left is compiled for size. */
#pragma GCC optimize("Os")

#include "layer.h"

#include <arm_acle.h>

ofr_status ofr_dsp_check_layer(const ofr_call *call, uint32_t weight_bytes) {
    const ofr_dsp_conv_2d_params *p = call->params;
    const uint32_t groups = p->groups;
    uint32_t in_c = p->in_c, out_c = p->out_c; /* of a group */
    if (groups != 1) {
        if (groups == 0 || in_c % groups != 0 || out_c % groups != 0) {
            return ofr_refuse(call, OFR_E_VALUE, groups, in_c);
        }
        in_c /= groups;
        out_c /= groups;
    }
    const uint32_t bits = p->kernel_h | p->stride_h | p->dilation_h | p->kernel_w | p->stride_w | p->dilation_w;
    if (bits > 4096 && (!ofr_window_is_sane(p->kernel_h, p->stride_h, p->dilation_h) ||
                        !ofr_window_is_sane(p->kernel_w, p->stride_w, p->dilation_w))) {
        return ofr_refuse(call, OFR_E_VALUE, p->kernel_h, 4096);
    }
    const uint32_t k = ofr_dsp_volume(p->kernel_h, p->kernel_w, in_c);
    if (k - 1 >= 65536) {
        return ofr_refuse(call, OFR_E_VALUE, k, 65536);
    }
    const uint32_t pairs = (out_c + 1u) / 2u * groups;
    const uint32_t pair_words = p->linear ? OFR_DSP_LINEAR_PAIR_WORDS + (weight_bytes & OFR_DSP_INT4) : OFR_DSP_PAIR_WORDS;
    const uint32_t pair_bytes = 4u * pair_words + 2u * weight_bytes * ((k + 3u) / 4u);
    const uint32_t block = ofr_times(pairs, pair_bytes) + sizeof *p; /* less than sizeof *p where it wraps */
    const ofr_status status = ofr_expect(call, OFR_E_PARAMS, call->params_bytes, block);
    return status != OFR_OK ? status
                            : ofr_dsp_check_operands(call, ofr_dsp_volume(p->rows, p->cols, p->in_c),
                                                     ofr_dsp_volume(p->out_rows, p->out_cols, p->out_c));
}

const uint32_t *ofr_dsp_odd_channels(ofr_dsp_multiply_run *multiply, const uint32_t *stream, const uint32_t *taps,
                                     int8_t *const out[OFR_DSP_PIXELS], uint32_t out_c, uint32_t groups,
                                     uint32_t linear) {
    if (out_c > 1) {
        stream = multiply(stream, taps, out, out_c / 2, groups, linear);
    }
    int8_t last[OFR_DSP_PIXELS][2]; /* the host has filled the pair up */
    int8_t *const spare[OFR_DSP_PIXELS] = {last[0], last[1], last[2]};
    stream = multiply(stream, taps, spare, 1, groups, linear);
    for (uint32_t i = OFR_DSP_PIXELS; i-- != 0;) {
        out[i][out_c - 1] = last[i][0];
    }
    return stream;
}

void ofr_dsp_clamp(int8_t *values, uint32_t n, int32_t low, int32_t high) {
    if (low <= -128 && high >= 127) {
        return;
    }
    const uint32_t lows = ((uint32_t)low & 255u) * 0x01010101u, highs = ((uint32_t)high & 255u) * 0x01010101u;
    for (int8_t *end = values + (n & ~3u); values != end; values += 4) {
        uint32_t x;
        memcpy(&x, values, 4);
        (void)__ssub8((int8x4_t)x, (int8x4_t)lows);
        x = __sel(x, lows);
        (void)__ssub8((int8x4_t)highs, (int8x4_t)x);
        x = __sel(x, highs);
        memcpy(values, &x, 4);
    }
    for (int8_t *end = values + (n & 3u); values != end; values++) {
        const int32_t x = *values;
        *values = (int8_t)(x < low ? low : x > high ? high : x);
    }
}

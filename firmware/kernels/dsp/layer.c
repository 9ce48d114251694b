/* What the convolutions of the dsp set share: the check of geometry and block, channels of three pixels. */
/* The time goes into multiply.S and its like: what is left is compiled for size. */
#pragma GCC optimize("Os")

#include "layer.h"

#include <arm_acle.h>

ofr_status ofr_dsp_check_operands(const ofr_call *call, uint32_t in, uint32_t out) {
    if (call->in[0].dtype != OFR_S8 || call->out[0].dtype != OFR_S8) {
        return ofr_refuse(call, OFR_E_DTYPE, call->in[0].dtype, OFR_S8);
    }
    const ofr_status status = ofr_expect(call, OFR_E_SHAPE, call->in[0].bytes, in);
    return status != OFR_OK ? status : ofr_expect(call, OFR_E_SHAPE, call->out[0].bytes, out);
}

ofr_status ofr_dsp_check_layer(const ofr_call *call, uint32_t weight_bytes) {
    const ofr_dsp_conv_2d_params *p = call->params;
    if (p->groups == 0 || p->in_c == 0 || p->in_c % p->groups != 0 || p->out_c % p->groups != 0) {
        return ofr_refuse(call, OFR_E_VALUE, p->groups, p->in_c);
    }
    if (p->out_rows == 0 || p->out_cols == 0 || p->out_c == 0 || p->kernel_h == 0 || p->kernel_w == 0) {
        return ofr_refuse(call, OFR_E_VALUE, 0, 1);
    }
    if (!ofr_window_is_sane(p->kernel_h, p->stride_h, p->dilation_h) ||
        !ofr_window_is_sane(p->kernel_w, p->stride_w, p->dilation_w)) {
        return ofr_refuse(call, OFR_E_VALUE, p->kernel_h, 4096);
    }
    const ofr_status status = ofr_dsp_check_operands(call, ofr_dsp_volume(p->rows, p->cols, p->in_c),
                                                     ofr_dsp_volume(p->out_rows, p->out_cols, p->out_c));
    if (status != OFR_OK) {
        return status;
    }
    const uint32_t k = ofr_dsp_volume(p->kernel_h, p->kernel_w, p->in_c / p->groups);
    if (k > 65536) {
        return ofr_refuse(call, OFR_E_VALUE, k, 65536);
    }
    const uint32_t pairs = (p->out_c / p->groups + 1u) / 2u * p->groups;
    const uint32_t pair_words = p->linear ? OFR_DSP_LINEAR_PAIR_WORDS : OFR_DSP_PAIR_WORDS;
    const uint32_t pair_bytes = 4u * pair_words + 2u * weight_bytes * ((k + 3u) / 4u);
    return ofr_expect(call, OFR_E_PARAMS, call->params_bytes, ofr_plus(sizeof *p, ofr_times(pairs, pair_bytes)));
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

/* Depthwise convolution, int8, any channel multiplier: padding taps are left out, channels run innermost. */
#include "gemm.h"
#include "kernel.h"

static ofr_status check(const ofr_call *call) {
    const ofr_depthwise_conv_2d_params *p = call->params;
    if (p->in_c == 0 || p->out_c % p->in_c != 0) {
        return ofr_refuse(call, OFR_E_VALUE, p->out_c, p->in_c);
    }
    if (p->per_channel > 1 || p->input_zero_point < -128 || p->input_zero_point > 127) {
        return ofr_refuse(call, OFR_E_VALUE, (uint32_t)p->input_zero_point, 127);
    }
    if (!ofr_window_is_sane(p->kernel_h, p->stride_h, p->dilation_h) ||
        !ofr_window_is_sane(p->kernel_w, p->stride_w, p->dilation_w)) {
        return ofr_refuse(call, OFR_E_VALUE, p->kernel_h, 4096);
    }
    if (call->in[0].dtype != OFR_S8 || call->out[0].dtype != OFR_S8) {
        return ofr_refuse(call, OFR_E_DTYPE, call->in[0].dtype, OFR_S8);
    }
    const uint32_t in = ofr_times(ofr_times(p->rows, p->cols), p->in_c);
    const uint32_t out = ofr_times(ofr_times(p->out_rows, p->out_cols), p->out_c);
    const uint32_t weights = ofr_times(ofr_times(p->kernel_h, p->kernel_w), p->out_c);
    const uint32_t words = p->out_c + 2u * (p->per_channel ? p->out_c : 1u);
    const uint32_t block = ofr_plus(ofr_plus(sizeof *p, 4u * words), ofr_plus(weights, (0u - weights) & 3u));
    ofr_status status = ofr_expect(call, OFR_E_SHAPE, call->in[0].bytes, in);
    if (status == OFR_OK) {
        status = ofr_expect(call, OFR_E_SHAPE, call->out[0].bytes, out);
    }
    if (status == OFR_OK) {
        status = ofr_expect(call, OFR_E_PARAMS, call->params_bytes, block);
    }
    return status;
}

/* First and one past the last tap that fall on the axis, for a window that starts at `start`. */
static void clip(int32_t start, int32_t taps, int32_t dilation, int32_t length, int32_t *first, int32_t *last) {
    *first = 0;
    *last = taps;
    while (*first < taps && start + *first * dilation < 0) {
        (*first)++;
    }
    while (*last > *first && start + (*last - 1) * dilation >= length) {
        (*last)--;
    }
}

static void run(const ofr_call *call) {
    const ofr_depthwise_conv_2d_params *p = call->params;
    const int32_t *bias = (const int32_t *)(const void *)(p + 1);
    const uint32_t n_requant = p->per_channel ? p->out_c : 1u;
    const ofr_requant requant = {bias + p->out_c,      bias + p->out_c + n_requant, p->per_channel,
                                 p->output_zero_point, p->act_min,                  p->act_max};
    const int8_t *weights = (const int8_t *)(const void *)(bias + p->out_c + 2 * n_requant);
    const int8_t *in = (const int8_t *)call->in[0].data;
    int8_t *out = (int8_t *)call->out[0].data;
    const uint32_t multiplier = (uint32_t)p->out_c / p->in_c;
    for (uint32_t oy = 0; oy < p->out_rows; oy++) {
        const int32_t y0 = (int32_t)(oy * p->stride_h) - p->pad_top;
        int32_t ky0, ky1;
        clip(y0, p->kernel_h, p->dilation_h, p->rows, &ky0, &ky1);
        for (uint32_t ox = 0; ox < p->out_cols; ox++) {
            const int32_t x0 = (int32_t)(ox * p->stride_w) - p->pad_left;
            int32_t kx0, kx1;
            clip(x0, p->kernel_w, p->dilation_w, p->cols, &kx0, &kx1);
            for (uint32_t c = 0, in_c = 0, m = 0; c < p->out_c; c++) {
                uint32_t acc = (uint32_t)bias[c];
                for (int32_t ky = ky0; ky < ky1; ky++) {
                    const int8_t *row = in + (uint32_t)(y0 + ky * p->dilation_h) * p->cols * p->in_c + in_c;
                    const int8_t *w = weights + (uint32_t)ky * p->kernel_w * p->out_c + c;
                    for (int32_t kx = kx0; kx < kx1; kx++) {
                        const int32_t x = row[(uint32_t)(x0 + kx * p->dilation_w) * p->in_c];
                        acc += (uint32_t)((x - p->input_zero_point) * w[(uint32_t)kx * p->out_c]);
                    }
                }
                *out++ = ofr_requantize_s8(&requant, c, (int32_t)acc);
                if (++m == multiplier) {
                    m = 0;
                    in_c++;
                }
            }
        }
    }
}

const ofr_kernel ofr_kernel_generic_depthwise_conv_2d = {
    OFR_KERNEL_GENERIC_DEPTHWISE_CONV_2D,
    OFR_PACKING_GENERIC_DEPTHWISE_CONV_2D,
    sizeof(ofr_depthwise_conv_2d_params),
    1,
    1,
    0,
    check,
    run,
};

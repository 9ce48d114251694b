/* Depthwise convolution, int8, any channel multiplier: four channels at a time over gathered taps. */
#ifdef __ARM_FEATURE_DSP
#pragma GCC optimize("Os") /* other sets serve nearly all layers there */
#endif

#include "gather.h"
#include "gemm.h"
#include "kernel.h"

static ofr_status check(const ofr_call *call) {
    const ofr_depthwise_conv_2d_params *p = call->params;
    if (p->in_c == 0 || p->out_c % p->in_c != 0) {
        return ofr_refuse(call, OFR_E_VALUE, p->out_c, p->in_c);
    }
    if (p->out_c == 0 || p->kernel_h == 0 || p->kernel_w == 0) { /* pixels without bytes could be any number */
        return ofr_refuse(call, OFR_E_VALUE, 0, 1);
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
    const uint32_t gathered = ofr_times(ofr_times(p->kernel_h, p->kernel_w), p->in_c);
    if (status == OFR_OK && call->scratch_bytes < gathered) {
        status = ofr_refuse(call, OFR_E_SCRATCH, call->scratch_bytes, gathered);
    }
    return status;
}

typedef struct layer {
    const int32_t *bias; /* input zero point folded in */
    const int8_t *weights; /* [taps][out_c] */
    ofr_requant requant;
    uint32_t taps, in_c, out_c;
} layer;

static layer open_layer(const ofr_depthwise_conv_2d_params *p) {
    const uint32_t n_requant = p->per_channel ? p->out_c : 1u;
    layer l = {.taps = (uint32_t)p->kernel_h * p->kernel_w, .in_c = p->in_c, .out_c = p->out_c};
    l.bias = (const int32_t *)(const void *)(p + 1);
    l.requant = (ofr_requant){l.bias + p->out_c,    l.bias + p->out_c + n_requant, p->per_channel,
                              p->output_zero_point, p->act_min,                    p->act_max};
    l.weights = (const int8_t *)(const void *)(l.bias + p->out_c + 2 * n_requant);
    return l;
}

/* Channels c to c + 3 of one output position, one input channel each; x [taps][in_c]. */
static void four_channels(const layer *l, const int8_t *restrict x, uint32_t c, int8_t *out) {
    const int8_t *restrict w = l->weights + c;
    uint32_t a0 = (uint32_t)l->bias[c], a1 = (uint32_t)l->bias[c + 1];
    uint32_t a2 = (uint32_t)l->bias[c + 2], a3 = (uint32_t)l->bias[c + 3];
    x += c;
    for (uint32_t t = 0; t < l->taps; t++, x += l->in_c, w += l->in_c) {
        a0 += (uint32_t)(x[0] * w[0]);
        a1 += (uint32_t)(x[1] * w[1]);
        a2 += (uint32_t)(x[2] * w[2]);
        a3 += (uint32_t)(x[3] * w[3]);
    }
    out[c] = ofr_requantize_s8(&l->requant, c, (int32_t)a0);
    out[c + 1] = ofr_requantize_s8(&l->requant, c + 1, (int32_t)a1);
    out[c + 2] = ofr_requantize_s8(&l->requant, c + 2, (int32_t)a2);
    out[c + 3] = ofr_requantize_s8(&l->requant, c + 3, (int32_t)a3);
}

static void one_channel(const layer *l, const int8_t *x, uint32_t in_c, uint32_t c, int8_t *out) {
    uint32_t acc = (uint32_t)l->bias[c];
    for (uint32_t t = 0; t < l->taps; t++) {
        acc += (uint32_t)(x[t * l->in_c + in_c] * l->weights[t * l->out_c + c]);
    }
    out[c] = ofr_requantize_s8(&l->requant, c, (int32_t)acc);
}

static void run(const ofr_call *call) {
    const ofr_depthwise_conv_2d_params *p = call->params;
    const layer l = open_layer(p);
    const ofr_taps taps = {(const int8_t *)call->in[0].data,
                           p->rows,
                           p->cols,
                           p->in_c,
                           p->kernel_h,
                           p->kernel_w,
                           p->dilation_h,
                           p->dilation_w,
                           p->input_zero_point};
    int8_t *out = (int8_t *)call->out[0].data;
    const uint32_t multiplier = l.out_c / l.in_c;
    const uint32_t in_fours = multiplier == 1 ? l.out_c & ~3u : 0;
    for (uint32_t y = 0; y < p->out_rows; y++) {
        const int32_t y0 = (int32_t)(y * p->stride_h) - p->pad_top;
        for (uint32_t x = 0; x < p->out_cols; x++, out += l.out_c) {
            ofr_gather(&taps, y0, (int32_t)(x * p->stride_w) - p->pad_left, 0, l.in_c, call->scratch);
            for (uint32_t c = 0; c < in_fours; c += 4) {
                four_channels(&l, call->scratch, c, out);
            }
            for (uint32_t c = in_fours, in_c = in_fours, m = 0; c < l.out_c; c++) {
                one_channel(&l, call->scratch, in_c, c, out);
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

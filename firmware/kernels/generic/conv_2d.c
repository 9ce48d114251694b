/* Convolution and fully connected, int8: two pixels by two channels at a time over rows gathered into scratch. */
#include "gemm.h"
#include "kernel.h"

typedef struct layer {
    const ofr_conv_2d_params *p;
    const int32_t *bias; /* input zero point folded in */
    ofr_requant requant;
    const int8_t *weights; /* [out_c][k] */
    uint32_t k;            /* taps of one output: kernel_h * kernel_w * in_c / groups */
} layer;

/* The parts of the parameter block, in order. */
static layer open_layer(const ofr_call *call) {
    const ofr_conv_2d_params *p = call->params;
    const uint32_t n_requant = p->per_channel ? p->out_c : 1u;
    layer l = {.p = p, .k = (uint32_t)p->kernel_h * p->kernel_w * (p->in_c / p->groups)};
    l.bias = (const int32_t *)(const void *)(p + 1);
    l.requant = (ofr_requant){l.bias + p->out_c,      l.bias + p->out_c + n_requant, p->per_channel,
                              p->output_zero_point, p->act_min,                    p->act_max};
    l.weights = (const int8_t *)(const void *)(l.bias + p->out_c + 2 * n_requant);
    return l;
}

/* 1x1 at stride 1: the input's pixels are the rows of the product as they lie. */
static int is_pointwise(const ofr_conv_2d_params *p) {
    return p->kernel_h == 1 && p->kernel_w == 1 && p->stride_h == 1 && p->stride_w == 1 && p->groups == 1;
}

static ofr_status check(const ofr_call *call) {
    const ofr_conv_2d_params *p = call->params;
    if (p->groups == 0 || p->in_c == 0 || p->in_c % p->groups != 0 || p->out_c % p->groups != 0) {
        return ofr_refuse(call, OFR_E_VALUE, p->groups, p->in_c);
    }
    if (p->per_channel > 1 || p->input_zero_point < -128 || p->input_zero_point > 127) {
        return ofr_refuse(call, OFR_E_VALUE, (uint32_t)p->input_zero_point, 127);
    }
    if (is_pointwise(p) && (p->rows != p->out_rows || p->cols != p->out_cols || p->pad_top || p->pad_left)) {
        return ofr_refuse(call, OFR_E_SHAPE, p->out_rows, p->rows);
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
    const uint32_t k = ofr_times(ofr_times(p->kernel_h, p->kernel_w), p->in_c / p->groups);
    const uint32_t words = p->out_c + 2u * (p->per_channel ? p->out_c : 1u);
    const uint32_t weights = ofr_times(p->out_c, k);
    const uint32_t block = ofr_plus(ofr_plus(sizeof *p, 4u * words), ofr_plus(weights, (0u - weights) & 3u));
    ofr_status status = ofr_expect(call, OFR_E_SHAPE, call->in[0].bytes, in);
    if (status == OFR_OK) {
        status = ofr_expect(call, OFR_E_SHAPE, call->out[0].bytes, out);
    }
    if (status == OFR_OK) {
        status = ofr_expect(call, OFR_E_PARAMS, call->params_bytes, block);
    }
    if (status == OFR_OK && !is_pointwise(p) && call->scratch_bytes < ofr_times(2, k)) {
        status = ofr_refuse(call, OFR_E_SCRATCH, call->scratch_bytes, ofr_times(2, k));
    }
    return status;
}

/* Gathers the taps of one output pixel, channels [first, first + n) of each; padding reads as the zero point. */
static void gather(const ofr_conv_2d_params *p, const int8_t *in, uint32_t pixel, uint32_t first, uint32_t n, int8_t *taps) {
    const int32_t y0 = (int32_t)(pixel / p->out_cols * p->stride_h) - p->pad_top;
    const int32_t x0 = (int32_t)(pixel % p->out_cols * p->stride_w) - p->pad_left;
    for (int32_t ky = 0; ky < p->kernel_h; ky++) {
        const int32_t y = y0 + ky * p->dilation_h;
        for (int32_t kx = 0; kx < p->kernel_w; kx++) {
            const int32_t x = x0 + kx * p->dilation_w;
            if (y < 0 || y >= p->rows || x < 0 || x >= p->cols) {
                memset(taps, p->input_zero_point, n);
            } else {
                memcpy(taps, in + ((uint32_t)y * p->cols + (uint32_t)x) * p->in_c + first, n);
            }
            taps += n;
        }
    }
}

typedef struct sums {
    uint32_t a0, a1, b0, b1; /* pixel a or b, channel 0 or 1; modulo 2^32 */
} sums;

/* Dot products of two rows of activations with two rows of weights. */
static inline sums multiply(const int8_t *restrict a, const int8_t *restrict b, const int8_t *restrict w0,
                            const int8_t *restrict w1, uint32_t k) {
    sums s = {0, 0, 0, 0};
    for (uint32_t i = 0; i < k; i++) {
        s.a0 += (uint32_t)(a[i] * w0[i]);
        s.a1 += (uint32_t)(a[i] * w1[i]);
        s.b0 += (uint32_t)(b[i] * w0[i]);
        s.b1 += (uint32_t)(b[i] * w1[i]);
    }
    return s;
}

static inline void store(const layer *l, int8_t *out, uint32_t channel, uint32_t sum) {
    out[channel] = ofr_requantize_s8(&l->requant, channel, (int32_t)(sum + (uint32_t)l->bias[channel]));
}

/* Channels [first, last) of two output pixels; one pixel when out_a == out_b. */
static void two_pixels(const layer *l, const int8_t *a, const int8_t *b, uint32_t first, uint32_t last, int8_t *out_a,
                       int8_t *out_b) {
    for (uint32_t c = first; c < last; c += 2) {
        const int8_t *w0 = l->weights + c * l->k;
        const int pair = c + 1 < last;
        const sums s = multiply(a, b, w0, pair ? w0 + l->k : w0, l->k);
        store(l, out_a, c, s.a0);
        store(l, out_b, c, s.b0);
        if (pair) {
            store(l, out_a, c + 1, s.a1);
            store(l, out_b, c + 1, s.b1);
        }
    }
}

static void run(const ofr_call *call) {
    const layer l = open_layer(call);
    const ofr_conv_2d_params *p = l.p;
    const int8_t *in = (const int8_t *)call->in[0].data;
    int8_t *out = (int8_t *)call->out[0].data;
    const uint32_t pixels = (uint32_t)p->out_rows * p->out_cols;
    const uint32_t group_in = p->in_c / p->groups, group_out = (uint32_t)p->out_c / p->groups;
    for (uint32_t i = 0; i < pixels; i += 2) {
        const uint32_t j = i + 1 < pixels ? i + 1 : i;
        if (is_pointwise(p)) {
            two_pixels(&l, in + i * l.k, in + j * l.k, 0, p->out_c, out + i * p->out_c, out + j * p->out_c);
            continue;
        }
        int8_t *a = call->scratch, *b = a + l.k;
        for (uint32_t g = 0; g < p->groups; g++) {
            gather(p, in, i, g * group_in, group_in, a);
            gather(p, in, j, g * group_in, group_in, b);
            two_pixels(&l, a, b, g * group_out, (g + 1) * group_out, out + i * p->out_c, out + j * p->out_c);
        }
    }
}

const ofr_kernel ofr_kernel_generic_conv_2d = {
    OFR_KERNEL_GENERIC_CONV_2D, OFR_PACKING_GENERIC_CONV_2D, sizeof(ofr_conv_2d_params), 1, 1, 0, check, run,
};

/* Convolution and fully connected, int8: two pixels by two channels at a time over rows gathered into scratch. */
#ifdef __ARM_FEATURE_DSP
#pragma GCC optimize("Os") /* other sets serve nearly all layers there */
#endif

#include "gather.h"
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
    if (p->out_c == 0 || p->kernel_h == 0 || p->kernel_w == 0) { /* pixels without bytes could be any number */
        return ofr_refuse(call, OFR_E_VALUE, 0, 1);
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
    if (k > 65536) {
        return ofr_refuse(call, OFR_E_VALUE, k, 65536); /* 2^16 products of 2^14 fit an int32 sum */
    }
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

typedef struct sums {
    int32_t a0, a1, b0, b1; /* pixel a or b, channel 0 or 1 */
} sums;

static inline void multiply_one(sums *s, const int8_t *a, const int8_t *b, const int8_t *w0, const int8_t *w1) {
    s->a0 += *a * *w0;
    s->a1 += *a * *w1;
    s->b0 += *b * *w0;
    s->b1 += *b * *w1;
}

/* Dot products of two rows of activations with two rows of weights, all `k` long. On its own so that pointers and
 * sums stay in registers, and signed so that gcc does not regroup them; load checks that no sum can overflow. */
static __attribute__((noinline)) sums multiply(const int8_t *restrict a, const int8_t *restrict b, const int8_t *restrict w0,
                            const int8_t *restrict w1, uint32_t k) {
    sums s = {0, 0, 0, 0};
    for (const int8_t *end = a + (k & ~3u); a != end; a += 4, b += 4, w0 += 4, w1 += 4) {
        multiply_one(&s, a, b, w0, w1);
        multiply_one(&s, a + 1, b + 1, w0 + 1, w1 + 1);
        multiply_one(&s, a + 2, b + 2, w0 + 2, w1 + 2);
        multiply_one(&s, a + 3, b + 3, w0 + 3, w1 + 3);
    }
    for (const int8_t *end = a + (k & 3u); a != end; a++, b++, w0++, w1++) {
        multiply_one(&s, a, b, w0, w1);
    }
    return s;
}

static inline void store(const layer *l, int8_t *out, uint32_t channel, int32_t sum) {
    out[channel] = ofr_requantize_s8(&l->requant, channel, ofr_wrap_add(sum, l->bias[channel]));
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

static void gather(const ofr_conv_2d_params *p, const ofr_taps *taps, uint32_t pixel, uint32_t first, uint32_t n,
                   int8_t *row) {
    const uint32_t y = pixel / p->out_cols, x = pixel % p->out_cols;
    ofr_gather(taps, (int32_t)(y * p->stride_h) - p->pad_top, (int32_t)(x * p->stride_w) - p->pad_left, first, n, row);
}

static void run(const ofr_call *call) {
    const layer l = open_layer(call);
    const ofr_conv_2d_params *p = l.p;
    const int8_t *in = (const int8_t *)call->in[0].data;
    int8_t *out = (int8_t *)call->out[0].data;
    const ofr_taps taps = {in,          p->rows,     p->cols,       p->in_c,       p->kernel_h,
                           p->kernel_w, p->dilation_h, p->dilation_w, p->input_zero_point};
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
            gather(p, &taps, i, g * group_in, group_in, a);
            gather(p, &taps, j, g * group_in, group_in, b);
            two_pixels(&l, a, b, g * group_out, (g + 1) * group_out, out + i * p->out_c, out + j * p->out_c);
        }
    }
}

const ofr_kernel ofr_kernel_generic_conv_2d = {
    OFR_KERNEL_GENERIC_CONV_2D, OFR_PACKING_GENERIC_CONV_2D, sizeof(ofr_conv_2d_params), 1, 1, 0, check, run,
};

/* Convolution and fully connected, int16: two pixels by two channels at a time over rows gathered into scratch. */
#pragma GCC optimize("Os") /* the products are apart, and not made small */

#include "gather.h"
#include "kernel.h"
#include "product_s16.h"

typedef struct layer {
    const ofr_conv_2d_s16_params *p;
    const ofr_channel_s16 *channels;
    const int8_t *weights; /* [out_c][k] */
    uint32_t k;            /* taps of one output, padded */
} layer;

static uint32_t taps_of(const ofr_conv_2d_s16_params *p) {
    return ofr_times(ofr_times(p->kernel_h, p->kernel_w), p->in_c / p->groups);
}

static layer open_layer(const ofr_call *call) {
    const ofr_conv_2d_s16_params *p = call->params;
    const ofr_channel_s16 *channels = (const void *)(p + 1);
    return (layer){p, channels, (const void *)(channels + p->out_c), ofr_padded_s16(taps_of(p))};
}

/* 1x1 at stride 1, whole rounds of channels: the input's pixels are the rows of the product as they lie. */
static int is_direct(const ofr_conv_2d_s16_params *p) {
    return p->kernel_h == 1 && p->kernel_w == 1 && p->stride_h == 1 && p->stride_w == 1 && p->groups == 1 &&
           p->in_c % OFR_ROUND_S16 == 0;
}

static ofr_status check(const ofr_call *call) {
    const ofr_conv_2d_s16_params *p = call->params;
    if (p->groups == 0 || p->in_c == 0 || p->in_c % p->groups != 0 || p->out_c % p->groups != 0) {
        return ofr_refuse(call, OFR_E_VALUE, p->groups, p->in_c);
    }
    if (p->out_c == 0 || p->kernel_h == 0 || p->kernel_w == 0) { /* pixels without bytes could be any number */
        return ofr_refuse(call, OFR_E_VALUE, 0, 1);
    }
    if (p->sums > OFR_SUMS_FITTING) {
        return ofr_refuse(call, OFR_E_VALUE, p->sums, OFR_SUMS_FITTING);
    }
    if (is_direct(p) && (p->rows != p->out_rows || p->cols != p->out_cols || p->pad_top || p->pad_left)) {
        return ofr_refuse(call, OFR_E_SHAPE, p->out_rows, p->rows);
    }
    if (!ofr_window_is_sane(p->kernel_h, p->stride_h, p->dilation_h) ||
        !ofr_window_is_sane(p->kernel_w, p->stride_w, p->dilation_w)) {
        return ofr_refuse(call, OFR_E_VALUE, p->kernel_h, 4096);
    }
    if (call->in[0].dtype != OFR_S16 || call->out[0].dtype != OFR_S16) {
        return ofr_refuse(call, OFR_E_DTYPE, call->in[0].dtype, OFR_S16);
    }
    if (taps_of(p) > 65536) {
        return ofr_refuse(call, OFR_E_VALUE, taps_of(p), 65536);
    }
    const uint32_t k = ofr_padded_s16(taps_of(p));
    const uint32_t in = ofr_times(ofr_times(p->rows, p->cols), 2u * p->in_c);
    const uint32_t out = ofr_times(ofr_times(p->out_rows, p->out_cols), 2u * p->out_c);
    const uint32_t tables = ofr_times(p->out_c, ofr_plus(sizeof(ofr_channel_s16), k));
    ofr_status status = ofr_expect(call, OFR_E_SHAPE, call->in[0].bytes, in);
    if (status == OFR_OK) {
        status = ofr_expect(call, OFR_E_SHAPE, call->out[0].bytes, out);
    }
    if (status == OFR_OK) {
        status = ofr_expect(call, OFR_E_PARAMS, call->params_bytes, ofr_plus(sizeof *p, tables));
    }
    if (status == OFR_OK && !is_direct(p) && call->scratch_bytes < 2 * 2 * k) {
        status = ofr_refuse(call, OFR_E_SCRATCH, call->scratch_bytes, 2 * 2 * k);
    }
    return status;
}

static void store(const layer *l, int16_t *out, uint32_t channel, uint64_t sum) {
    const int32_t scaled = ofr_scaled_s16(l->channels + channel, sum, l->p->sums);
    out[channel] = (int16_t)ofr_clamp(scaled, l->p->act_min, l->p->act_max);
}

/* Channels [first, last) of two output pixels; one pixel when out_a == out_b. */
static void two_pixels(const layer *l, const int16_t *a, const int16_t *b, uint32_t first, uint32_t last, int16_t *out_a,
                       int16_t *out_b) {
    for (uint32_t c = first; c < last; c += 2) {
        const int8_t *w0 = l->weights + c * l->k;
        const int8_t *w1 = c + 1 < last ? w0 + l->k : w0;
        int64_t a0 = 0, a1 = 0, b0 = 0, b1 = 0;
        for (uint32_t at = 0; at < l->k; at += OFR_TAPS_S16) {
            const uint32_t n = l->k - at < OFR_TAPS_S16 ? l->k - at : OFR_TAPS_S16;
            const ofr_sums_s16 s = out_a == out_b ? ofr_generic_multiply_one_s16(a + at, w0 + at, w1 + at, n)
                                                  : ofr_generic_multiply_two_s16(a + at, b + at, w0 + at, w1 + at, n);
            a0 += s.a0;
            a1 += s.a1;
            b0 += s.b0;
            b1 += s.b1;
        }
        store(l, out_a, c, (uint64_t)a0);
        if (out_a != out_b) {
            store(l, out_b, c, (uint64_t)b0);
        }
        if (c + 1 < last) {
            store(l, out_a, c + 1, (uint64_t)a1);
        }
        if (c + 1 < last && out_a != out_b) {
            store(l, out_b, c + 1, (uint64_t)b1);
        }
    }
}

/* Taps in bytes: padding, and what pads rows, is 0. */
static void gather(const ofr_conv_2d_s16_params *p, const ofr_taps *taps, uint32_t pixel, uint32_t first, uint32_t n,
                   int16_t *row) {
    const uint32_t y = pixel / p->out_cols, x = pixel % p->out_cols;
    ofr_gather(taps, (int32_t)(y * p->stride_h) - p->pad_top, (int32_t)(x * p->stride_w) - p->pad_left, 2 * first, 2 * n,
               (int8_t *)row);
}

static void run(const ofr_call *call) {
    const layer l = open_layer(call);
    const ofr_conv_2d_s16_params *p = l.p;
    const int16_t *in = (const void *)call->in[0].data;
    int16_t *out = (void *)call->out[0].data;
    const ofr_taps taps = {(const int8_t *)call->in[0].data, p->rows, p->cols, 2 * p->in_c, p->kernel_h, p->kernel_w,
                           p->dilation_h, p->dilation_w, 0};
    const uint32_t pixels = (uint32_t)p->out_rows * p->out_cols;
    const uint32_t group_in = p->in_c / p->groups, group_out = (uint32_t)p->out_c / p->groups;
    int16_t *row_a = call->scratch, *row_b = row_a + l.k;
    for (uint32_t i = taps_of(p); i < l.k && !is_direct(p); i++) {
        row_a[i] = row_b[i] = 0;
    }
    for (uint32_t i = 0; i < pixels; i += 2) {
        const uint32_t j = i + 1 < pixels ? i + 1 : i;
        int16_t *out_a = out + i * p->out_c, *out_b = out + j * p->out_c;
        if (is_direct(p)) {
            two_pixels(&l, in + i * l.k, in + j * l.k, 0, p->out_c, out_a, out_b);
            continue;
        }
        for (uint32_t g = 0; g < p->groups; g++) {
            gather(p, &taps, i, g * group_in, group_in, row_a);
            if (j != i) {
                gather(p, &taps, j, g * group_in, group_in, row_b);
            }
            two_pixels(&l, row_a, row_b, g * group_out, (g + 1) * group_out, out_a, out_b);
        }
    }
}

const ofr_kernel ofr_kernel_generic_conv_2d_s16 = {
    OFR_KERNEL_GENERIC_CONV_2D_S16, OFR_PACKING_GENERIC_CONV_2D_S16, sizeof(ofr_conv_2d_s16_params), 1, 1, 0, check, run,
};

/* Depthwise convolution, int16, any channel multiplier: four channels at a time over gathered taps. */
#include "gather.h"
#include "kernel.h"
#include "product_s16.h"

static uint32_t taps_of(const ofr_depthwise_conv_2d_s16_params *p) {
    return (uint32_t)p->kernel_h * p->kernel_w;
}

static ofr_status check(const ofr_call *call) {
    const ofr_depthwise_conv_2d_s16_params *p = call->params;
    if (p->in_c == 0 || p->out_c == 0 || p->out_c % p->in_c != 0) {
        return ofr_refuse(call, OFR_E_VALUE, p->out_c, p->in_c);
    }
    if (p->sums > OFR_SUMS_FITTING) {
        return ofr_refuse(call, OFR_E_VALUE, p->sums, OFR_SUMS_FITTING);
    }
    if (taps_of(p) == 0 || taps_of(p) > OFR_TAPS_S16) {
        return ofr_refuse(call, OFR_E_VALUE, taps_of(p), OFR_TAPS_S16);
    }
    if (!ofr_window_is_sane(p->kernel_h, p->stride_h, p->dilation_h) ||
        !ofr_window_is_sane(p->kernel_w, p->stride_w, p->dilation_w)) {
        return ofr_refuse(call, OFR_E_VALUE, p->kernel_h, 4096);
    }
    if (call->in[0].dtype != OFR_S16 || call->out[0].dtype != OFR_S16) {
        return ofr_refuse(call, OFR_E_DTYPE, call->in[0].dtype, OFR_S16);
    }
    const uint32_t in = ofr_times(ofr_times(p->rows, p->cols), 2u * p->in_c);
    const uint32_t out = ofr_times(ofr_times(p->out_rows, p->out_cols), 2u * p->out_c);
    const uint32_t weights = taps_of(p) * p->out_c; /* at most 2^25 */
    const uint32_t block = (uint32_t)sizeof *p + p->out_c * (uint32_t)sizeof(ofr_channel_s16) + (weights + 3) / 4 * 4;
    ofr_status status = ofr_expect(call, OFR_E_SHAPE, call->in[0].bytes, in);
    if (status == OFR_OK) {
        status = ofr_expect(call, OFR_E_SHAPE, call->out[0].bytes, out);
    }
    if (status == OFR_OK) {
        status = ofr_expect(call, OFR_E_PARAMS, call->params_bytes, block);
    }
    const uint32_t gathered = 2 * taps_of(p) * p->in_c;
    if (status == OFR_OK && call->scratch_bytes < gathered) {
        status = ofr_refuse(call, OFR_E_SCRATCH, call->scratch_bytes, gathered);
    }
    return status;
}

typedef struct layer {
    const ofr_channel_s16 *channels;
    const int8_t *weights; /* [taps][out_c] */
    uint32_t taps, in_c, out_c, sums;
    int32_t act_min, act_max;
} layer;

static layer open_layer(const ofr_depthwise_conv_2d_s16_params *p) {
    const ofr_channel_s16 *channels = (const void *)(p + 1);
    return (layer){channels, (const void *)(channels + p->out_c), taps_of(p), p->in_c, p->out_c, p->sums,
                   p->act_min, p->act_max};
}

static void store(const layer *l, uint32_t c, int32_t sum, int16_t *out) {
    const int32_t scaled = ofr_scaled_s16(l->channels + c, (uint64_t)(int64_t)sum, l->sums);
    out[c] = (int16_t)ofr_clamp(scaled, l->act_min, l->act_max);
}

typedef struct sums {
    int32_t s0, s1, s2, s3;
} sums;

/* One tap of four channels, which lie in the weights as 0, 2, 1, 3. */
static inline __attribute__((always_inline)) void add_tap(sums *s, const int16_t *x, const int8_t *w) {
#if defined(__ARM_FEATURE_DSP)
    const uint32_t word = ofr_word(w), first = ofr_word(x), last = ofr_word(x + 2);
    const int32_t low = __sxtb16((int32_t)word), high = ofr_odd_bytes(word);
    s->s0 = __smlabb((int32_t)first, low, s->s0);
    s->s1 = __smlatt((int32_t)first, low, s->s1);
    s->s2 = __smlabb((int32_t)last, high, s->s2);
    s->s3 = __smlatt((int32_t)last, high, s->s3);
#else
    s->s0 += x[0] * w[0];
    s->s1 += x[1] * w[2];
    s->s2 += x[2] * w[1];
    s->s3 += x[3] * w[3];
#endif
}

/* Channels c to c + 3 of one output position, one input channel each; x [taps][in_c]. */
static void four_channels(const layer *l, const int16_t *x, uint32_t c, int16_t *out) {
    const int8_t *w = l->weights + c;
    sums s = {0, 0, 0, 0};
    x += c;
    for (uint32_t t = 0; t < l->taps; t++, x += l->in_c, w += l->in_c) {
        add_tap(&s, x, w);
    }
    store(l, c, s.s0, out);
    store(l, c + 1, s.s1, out);
    store(l, c + 2, s.s2, out);
    store(l, c + 3, s.s3, out);
}

static void one_channel(const layer *l, const int16_t *x, uint32_t in_c, uint32_t c, int16_t *out) {
    int32_t sum = 0;
    for (uint32_t t = 0; t < l->taps; t++) {
        sum += x[t * l->in_c + in_c] * l->weights[t * l->out_c + c];
    }
    store(l, c, sum, out);
}

static void run(const ofr_call *call) {
    const ofr_depthwise_conv_2d_s16_params *p = call->params;
    const layer l = open_layer(p);
    const ofr_taps taps = {(const int8_t *)call->in[0].data, p->rows, p->cols, 2 * p->in_c, p->kernel_h, p->kernel_w,
                           p->dilation_h, p->dilation_w, 0}; /* in bytes: padding is 0 */
    int16_t *out = (void *)call->out[0].data;
    const uint32_t multiplier = l.out_c / l.in_c;
    const uint32_t in_fours = multiplier == 1 ? l.out_c & ~3u : 0;
    for (uint32_t y = 0; y < p->out_rows; y++) {
        const int32_t y0 = (int32_t)(y * p->stride_h) - p->pad_top;
        for (uint32_t x = 0; x < p->out_cols; x++, out += l.out_c) {
            ofr_gather(&taps, y0, (int32_t)(x * p->stride_w) - p->pad_left, 0, 2 * l.in_c, call->scratch);
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

const ofr_kernel ofr_kernel_generic_depthwise_conv_2d_s16 = {
    OFR_KERNEL_GENERIC_DEPTHWISE_CONV_2D_S16,
    OFR_PACKING_GENERIC_DEPTHWISE_CONV_2D_S16,
    sizeof(ofr_depthwise_conv_2d_s16_params),
    1,
    1,
    0,
    check,
    run,
};

/* Fully connected, int8, one row: eight channels at a time, so that each input is loaded once for all of them. */
#ifdef __ARM_FEATURE_DSP
#pragma GCC optimize("Os") /* other sets serve nearly all layers there */
#endif

#include "doubled.h"
#include "kernel.h"

enum { CHANNELS = 8 };

static uint32_t rounded_up(uint32_t channels) {
    return (channels + CHANNELS - 1) / CHANNELS * CHANNELS;
}

static ofr_status check(const ofr_call *call) {
    const ofr_fully_connected_row_params *p = call->params;
    if (p->per_channel > 1 || p->depth == 0 || p->depth > 65536) {
        return ofr_refuse(call, OFR_E_VALUE, p->depth, 65536);
    }
    if (call->in[0].dtype != OFR_S8 || call->out[0].dtype != OFR_S8) {
        return ofr_refuse(call, OFR_E_DTYPE, call->in[0].dtype, OFR_S8);
    }
    const uint32_t channels = rounded_up(p->out_c);
    const uint32_t words = channels + 2u * (p->per_channel ? channels : 1u);
    const uint32_t block = ofr_plus((uint32_t)sizeof *p + 4u * words, ofr_times(channels, p->depth));
    ofr_status status = ofr_expect(call, OFR_E_SHAPE, call->in[0].bytes, p->depth);
    if (status == OFR_OK) {
        status = ofr_expect(call, OFR_E_SHAPE, call->out[0].bytes, p->out_c);
    }
    return status != OFR_OK ? status : ofr_expect(call, OFR_E_PARAMS, call->params_bytes, block);
}

typedef struct sums {
    uint32_t s0, s1, s2, s3, s4, s5, s6, s7;
} sums;

/* Two sums of products. They stay in their registers: gcc moves them about, and has none left for the pointers. */
static inline void add_two(uint32_t *s0, uint32_t *s1, int32_t x, const int8_t *w) {
    const int32_t w0 = w[0], w1 = w[1];
#if defined(__thumb2__) /* 20 % of the loop */
    __asm__ volatile("mla %0, %2, %3, %0\n\tmla %1, %2, %4, %1" : "+r"(*s0), "+r"(*s1) : "r"(x), "r"(w0), "r"(w1));
#else
    *s0 += (uint32_t)(x * w0);
    *s1 += (uint32_t)(x * w1);
    __asm__ volatile("" : "+r"(*s0), "+r"(*s1) : : "memory"); /* loads no more than there are registers */
#endif
}

/* One input times its weights. */
static inline void add_one(sums *s, int32_t x, const int8_t *w) {
    add_two(&s->s0, &s->s1, x, w);
    add_two(&s->s2, &s->s3, x, w + 2);
    add_two(&s->s4, &s->s5, x, w + 4);
    add_two(&s->s6, &s->s7, x, w + 6);
}

/* Sums of eight channels. */
static __attribute__((noinline)) sums multiply(const int8_t *x, const int8_t *w, uint32_t n) {
    sums s = {0};
    for (const int8_t *end = x + (n & ~7u); x != end; x += 8, w += 8 * CHANNELS) {
        for (uint32_t i = 0; i < 8; i++) {
            add_one(&s, x[i], w + i * CHANNELS);
        }
    }
    for (const int8_t *end = x + (n & 7u); x != end; x++, w += CHANNELS) {
        add_one(&s, *x, w);
    }
    return s;
}

static void run(const ofr_call *call) {
    const ofr_fully_connected_row_params *p = call->params;
    const uint32_t out_c = p->out_c, channels = rounded_up(out_c), step = p->per_channel;
    const uint32_t *bias = (const uint32_t *)(const void *)(p + 1); /* doubled, input zero point folded in */
    const ofr_scale *scale = (const ofr_scale *)(const void *)(bias + channels);
    const int8_t *w = (const int8_t *)(const void *)(scale + (step ? channels : 1u)); /* [channels / 8][depth][8] */
    const int32_t center = 2 * p->output_zero_point + 1;
    int8_t *out = (int8_t *)call->out[0].data;
    for (uint32_t c = 0; c < out_c; c += CHANNELS, bias += CHANNELS, w += CHANNELS * p->depth) {
        uint32_t s[CHANNELS];
        const sums found = multiply((const int8_t *)call->in[0].data, w, p->depth);
        memcpy(s, &found, sizeof s);
        const uint32_t n = out_c - c < CHANNELS ? out_c - c : CHANNELS;
#pragma GCC unroll 1 /* eight copies cost more flash than they save instructions */
        for (uint32_t i = 0; i < n; i++, scale += step) {
            *out++ = ofr_requantize_doubled(ofr_doubled_of(scale, center), bias[i] + 2 * s[i]);
        }
    }
    ofr_clamp_s8((int8_t *)call->out[0].data, out_c, p->act_min, p->act_max);
}

const ofr_kernel ofr_kernel_generic_fully_connected_row = {
    OFR_KERNEL_GENERIC_FULLY_CONNECTED_ROW, OFR_PACKING_GENERIC_FULLY_CONNECTED_ROW, sizeof(ofr_fully_connected_row_params), 1, 1, 0,
    check, run,
};

/* Sums of products of int16 activations with int8 weights, and what makes outputs of them. */
#ifndef OFR_PRODUCT_S16_H
#define OFR_PRODUCT_S16_H

#include <string.h>

#include "fixed_point.h"
#include "kernel.h"

#if defined(__ARM_FEATURE_DSP)
#include <arm_acle.h>
#endif

enum {
    OFR_ROUND_S16 = 4,  /* taps a round; rows of weights are padded to them, each four in the order 0, 2, 1, 3 */
    OFR_TAPS_S16 = 508, /* whose products, of at most 2^22, fit an int32 sum */
};

/* What sums are taken as: int32 that wrap; int64; int64 that the host has shown to fit int32. */
enum { OFR_SUMS_INT32, OFR_SUMS_INT64, OFR_SUMS_FITTING };

/* One output channel; multiplier and shift as the layer's kind of sums asks for. */
typedef struct ofr_channel_s16 {
    uint32_t bias[2]; /* of 64 bits, the low word first */
    int32_t multiplier, shift;
} ofr_channel_s16;

/* Taps of a row of weights, padded. */
static inline uint32_t ofr_padded_s16(uint32_t taps) {
    return ofr_times(ofr_plus(taps, OFR_ROUND_S16 - 1) / OFR_ROUND_S16, OFR_ROUND_S16);
}

static inline int64_t ofr_biased_s16(const ofr_channel_s16 *c, uint64_t sum) {
    return (int64_t)(sum + ((uint64_t)c->bias[1] << 32 | c->bias[0]));
}

/* A sum with its bias, scaled. */
static inline int32_t ofr_scaled_s16(const ofr_channel_s16 *c, uint64_t sum, uint32_t sums) {
    const int32_t acc = (int32_t)((uint32_t)sum + c->bias[0]);
    if (sums == OFR_SUMS_FITTING) { /* ofr_requantize_wide in 32 bits: what is below the high word does not round */
        const uint32_t shift = (uint32_t)c->shift & 31u;
        return ofr_wrap_add((int32_t)((int64_t)acc * c->multiplier >> 32), (int32_t)((1u << shift) >> 1)) >> shift;
    }
    return sums == OFR_SUMS_INT64 ? ofr_requantize_wide(ofr_biased_s16(c, sum), c->multiplier, c->shift)
                                  : ofr_requantize(acc, c->multiplier, c->shift);
}

/* Pixel a or b, channel 0 or 1. */
typedef struct ofr_sums_s16 {
    int32_t a0, a1, b0, b1;
} ofr_sums_s16;

#if defined(__ARM_FEATURE_DSP)
static inline uint32_t ofr_word(const void *at) {
    uint32_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* Bytes 1 and 3 of a word as half words; __sxtb16 takes 0 and 2. */
static inline int32_t ofr_odd_bytes(uint32_t word) {
    int32_t halves;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(halves) : "r"(word));
    return halves;
}
#endif

/* `n` taps, a multiple of four and at most OFR_TAPS_S16, of two pixels or of one with two channels. */
ofr_sums_s16 ofr_generic_multiply_two_s16(const int16_t *a, const int16_t *b, const int8_t *w0, const int8_t *w1, uint32_t n);
ofr_sums_s16 ofr_generic_multiply_one_s16(const int16_t *a, const int8_t *w0, const int8_t *w1, uint32_t n);

#endif

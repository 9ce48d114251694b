/* Requantization in a few instructions, for layers whose numbers the host has shown to be harmless. */
#ifndef OFR_DOUBLED_H
#define OFR_DOUBLED_H

#include <stddef.h>
#include <stdint.h>

#include "fixed_point.h"

/* One output channel's scale. */
typedef struct ofr_scale {
    int32_t multiplier; /* [0, 2^31) */
    uint32_t shift;     /* right, 1 to 23; taken modulo 32, so that no value is undefined */
} ofr_scale;

/* (a * b + 2^31) >> 32. */
static inline int32_t ofr_rounded_high(int32_t a, int32_t b, int32_t plus) {
#if defined(__ARM_ARCH_6M__) /* no long multiply, and libgcc's takes three times as long */
    const uint32_t low_a = (uint16_t)a, low_b = (uint16_t)b;
    const int32_t high_a = a >> 16, high_b = b >> 16;
    const uint32_t cross = (uint32_t)high_a * low_b + (low_a * low_b >> 16);
    const uint32_t middle = (cross & 0xffff) + low_a * (uint32_t)high_b + 0x8000;
    return (int32_t)((uint32_t)(high_a * high_b) + (uint32_t)((int32_t)cross >> 16) + (middle >> 16) + (uint32_t)plus);
#else
    const uint64_t add = (uint64_t)(uint32_t)plus << 32 | 0x80000000u;
    return (int32_t)(((uint64_t)((int64_t)a * b) + add) >> 32);
#endif
}

/* What one channel's outputs are made with; `center` is 2 * zero_point + 1. */
typedef struct ofr_doubled {
    int32_t multiplier, half;
    uint32_t shift;
} ofr_doubled;

static inline ofr_doubled ofr_doubled_of(const ofr_scale *s, int32_t center) {
    const uint32_t shift = s->shift & 31;
    return (ofr_doubled){s->multiplier, (int32_t)((uint32_t)center << shift) >> 1, shift};
}

/* gemmlowp's double rounding of accumulator * multiplier / 2^(31 + shift), plus the zero point, from the doubled
 * accumulator. The first rounding is the long product's high word. The second rounds halves away from zero: adds
 * half, and one less below zero, which the accumulator's sign tells (where it rounds to 0 the difference does not
 * show). Equal to ofr_requantize for |accumulator| < 2^30. */
static inline int8_t ofr_requantize_doubled(ofr_doubled d, uint32_t twice) {
    const int32_t sign = (int32_t)twice >> 31;
    int32_t x = ofr_rounded_high((int32_t)twice, d.multiplier, (int32_t)((uint32_t)d.half + (uint32_t)sign)) >> d.shift;
#if defined(__ARM_FEATURE_SAT) /* gcc takes six instructions for the comparisons */
    __asm__("ssat %0, #8, %1" : "=r"(x) : "r"(x));
#else
    x = ofr_clamp(x, -128, 127);
#endif
    return (int8_t)x;
}

/* Clamps what is written to an activation's range; most activations end where int8 does. */
static inline void ofr_clamp_s8(int8_t *x, size_t n, int32_t low, int32_t high) {
    if (low <= -128 && high >= 127) {
        return;
    }
    for (const int8_t *end = x + n; x != end; x++) {
        *x = (int8_t)ofr_clamp(*x, low, high);
    }
}

#endif

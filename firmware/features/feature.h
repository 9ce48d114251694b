/* What a kind of front end is: a check of its parameters, and what makes a row of elements. */
#ifndef OFR_FEATURE_H
#define OFR_FEATURE_H

#include "feature_params.h"
#include "offramp_features.h"

#include <string.h>

/* `params` is 4-byte aligned and begins with the fields of ofr_features_params. `check` is the only one that doubts it. */
struct ofr_feature_kind {
    uint8_t kind;
    /* `params` has `bytes`, at least the header. Writes what memory the kind wants, a multiple of 4 and at most
     * OFR_FEATURE_MOST_BYTES; it is all zeros at the start. */
    ofr_status (*check)(const void *params, uint32_t bytes, uint32_t *memory_bytes);
    /* Takes elements until a row is ready, at most n, which may be 0, and returns how many; `*ready` is false before.
     * `row` is written as a whole when it is ready. */
    uint32_t (*feed)(const void *params, uint8_t *memory, const uint8_t *raw, uint32_t n, int8_t *row, bool *ready);
};

extern const ofr_feature_kind ofr_feature_micro, ofr_feature_mfcc, ofr_feature_image, ofr_feature_imu;

#define OFR_FEATURE_MOST_BYTES 0x100000u /* of memory: keeps sums of sizes within 32 bits */

/* A table of a block, `bytes` long, and what follows it; each part is padded to 4 bytes. */
static inline const void *ofr_table(const uint8_t **at, uint32_t bytes) {
    const uint8_t *table = *at;
    *at += (bytes + 3u) & ~3u;
    return table;
}

/* Bits up to the highest that is set. */
static inline uint32_t ofr_bits_of(uint32_t x) {
    return x != 0 ? 32u - (uint32_t)__builtin_clz(x) : 0;
}

static inline uint32_t ofr_bits_of_wide(uint64_t x) {
    return x >> 32 != 0 ? 32u + ofr_bits_of((uint32_t)(x >> 32)) : ofr_bits_of((uint32_t)x);
}

/* round(x * multiplier / 2^shift) + zero_point within int8, halves upwards. */
static inline int8_t ofr_quantized(int32_t x, uint32_t multiplier, uint32_t shift, int32_t zero_point) {
    const int64_t product = (int64_t)x * (int32_t)(multiplier & 0x7FFFFFFFu);
    const int64_t q = (((product >> ((shift - 1) & 63u)) + 1) >> 1) + zero_point;
    return (int8_t)(q < -128 ? -128 : q > 127 ? 127 : q);
}

#endif

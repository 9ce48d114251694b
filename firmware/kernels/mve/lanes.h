/* Sparse weights, one by one, times 16 pixels whose taps lie in lanes: each nonzero weight is one vector multiply-accumulate
 * for four pixels. Against the gathers of sparse.h more instructions and fewer cycles.
 *
 * A layer's stream begins with ofr_mve_sparse; then for each channel u32 entries, s32 bias, multiplier, -exponent, and the
 * entries: u8 taps on from the one before, s8 weight; up to a multiple of 4 bytes. */
#ifndef OFR_MVE_LANES_H
#define OFR_MVE_LANES_H

#include "sparse.h"

enum { OFR_MVE_LANES = 16, OFR_MVE_LANES_MAX_OUT_C = 65535 / 15 }; /* offsets of outputs have 16 bits */

/* A layer, and where 16 pixels of it go. The code knows the order. */
typedef struct ofr_mve_lanes {
    const int8_t *stream;
    int8_t *lanes; /* 16 bytes for each tap */
    int8_t *out;   /* of the first pixel */
    uint32_t out_c;
    uint32_t add[2]; /* as of tile.h */
    uint16_t places[16];
    uint32_t taps;
} ofr_mve_lanes;

/* Refuses a stream at `begin`, of `bytes` bytes, that does not hold out_c channels of weights for so many taps. */
ofr_status ofr_mve_check_lanes(const ofr_call *call, const void *begin, uint32_t bytes, uint32_t taps, uint32_t out_c);

ofr_mve_lanes ofr_mve_open_lanes(const void *begin, void *lanes, uint32_t taps, uint32_t out_c, const uint16_t *add);

/* Brings the taps at x to lane i. */
void ofr_mve_to_lane(const ofr_mve_lanes *l, uint32_t i, const void *x);

/* All channels of n pixels, 1 to 16, from out on; the lanes behind theirs hold the last. */
void ofr_mve_run_lanes(ofr_mve_lanes *l, int8_t *out, uint32_t n, uint32_t is_signed);

#endif

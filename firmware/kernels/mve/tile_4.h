/* Products with weights of four bits: ofr_mve_run for streams that hold for each 16 taps 16 bytes, the first channel's
 * weight in the low nibble and the second's in the high one. */
#ifndef OFR_MVE_TILE_4_H
#define OFR_MVE_TILE_4_H

#include "tile.h"

enum { OFR_MVE_MAX_TAPS_4 = 131071 }; /* 16 times their sum has 32 bits */

ofr_mve_runner ofr_mve_run_4;

static inline uint32_t ofr_mve_pair_bytes_4(uint32_t taps) {
    return ofr_plus(ofr_times(ofr_plus(taps, 15) / 16u, 16), OFR_MVE_PAIR_TAIL);
}

#endif

/* Products with weights of four bits, for the kernels that store them so. */
#ifndef OFR_GENERIC_NIBBLES_H
#define OFR_GENERIC_NIBBLES_H

#include "tile.h"

/* Two channels lie in one run of words: a word holds four taps of either, the first channel's in its lower half, the
 * first tap in the lowest nibble, each plus 8. */
enum { TAPS_A_WORD = 4, WORDS_A_RUN = 8, RUN_TAPS = 32 };

static inline uint32_t words_of(uint32_t taps) {
    return (taps + TAPS_A_WORD - 1) / TAPS_A_WORD;
}

static inline uint32_t runs_of(uint32_t taps) {
    return (taps + RUN_TAPS - 1) / RUN_TAPS;
}

/* Pairs of a group's channels; of an odd number the last stands alone. */
static inline uint32_t pairs_of(const layer *l) {
    return (l->group_out + 1) / 2;
}

/* Bytes of all nibbles. */
static inline uint32_t nibble_bytes(const layer *l) {
    return ofr_times(pairs_of(l) * l->p->groups, 4 * words_of(l->taps));
}

/* Sums of two channels for up to TILE pixels. */
typedef struct ofr_generic_sums {
    uint32_t of[2][TILE];
} ofr_generic_sums;

/* Adds the products of `taps` taps, n pixels `pitch` bytes apart (TILE or 1), with a pair of channels, times the
 * multiplier of each run and channel, m[runs][2], or 1 where that is NULL. Reads taps rounded up to TAPS_A_WORD. */
void ofr_generic_multiply_nibbles(ofr_generic_sums *sums, const int8_t *x, uint32_t pitch, uint32_t n,
                                  const uint32_t *w, uint32_t taps, const uint8_t *m);

/* Writes the outputs of a pair of a group's channels. */
static inline void write_pair(ofr_generic_writer *to, const layer *l, uint32_t pair, const ofr_generic_sums *sums,
                              uint32_t n) {
    write_channel(to, sums->of[0], n);
    if (2 * pair + 1 < l->group_out) {
        write_channel(to, sums->of[1], n);
    }
}

#endif

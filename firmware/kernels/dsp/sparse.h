/* Inner products of the dsp kernels that skip zeros.
 *
 * Stream of a channel: how many entries follow the first, bias, the entries, then M, c, e or M alone, if linear: see
 * multiply.h. Bias and sums are twofold, as are the weights, int16; in the linear form a greater multiple.
 *
 * An entry of one weight is a word: the place of its taps in the low half, the weight in the high half. An entry of
 * four neighbouring taps is three words: place, (w0, w2), (w1, w3). Places are bytes from the taps' beginning; they are
 * masked before use, so that whatever a stream holds some taps are read. Only the number of entries is checked. */
#ifndef OFR_DSP_SPARSE_H
#define OFR_DSP_SPARSE_H

#include "layer.h"

/* Pixels multiplied at once; bytes that one tap of them takes; bytes behind the last place that are read or written. */
enum { OFR_DSP_TILE = 6, OFR_DSP_TILE_TAP = 12, OFR_DSP_BEHIND = 48 };

/* Six pixels and the channels to multiply them by. */
typedef struct ofr_dsp_tile {
    const uint32_t *taps;
    uint32_t mask; /* of places */
    int8_t *out;
    uint32_t distance[OFR_DSP_TILE - 1]; /* of the other pixels' channels from the first's; 0: it is left out */
    uint32_t channels, linear;           /* at least 1 */
    const ofr_dsp_sparse_params *p;      /* for a way that unpacks: these two */
    uint32_t *entries;
} ofr_dsp_tile;

/* For each tap the values of the six pixels, int16; for each four taps (x0, x2) of the six, then (x1, x3) of them.
 * Every channel has an entry. */
typedef void ofr_dsp_sparse_run(const uint32_t *stream, const ofr_dsp_tile *tile);
ofr_dsp_sparse_run ofr_dsp_sparse, ofr_dsp_blocks;

/* Widens 4 * fours taps (at least 4) of two pixels to their places among the six. */
typedef void ofr_dsp_spread_run(const int8_t *first, const int8_t *second, uint32_t *taps, uint32_t fours);
ofr_dsp_spread_run ofr_dsp_spread, ofr_dsp_spread_fours;

/* One pixel: taps are bytes, or four of them (x0, x2), (x1, x3). Entries go by fours, or by twos of blocks, and their
 * number is what is counted; there is no linear form. */
typedef void ofr_dsp_sparse_row_run(const uint32_t *stream, const void *taps, uint32_t mask, int8_t *out,
                                    uint32_t channels);
ofr_dsp_sparse_row_run ofr_dsp_sparse_row, ofr_dsp_blocks_row;

/* What differs between entries of one weight and of four. */
typedef struct ofr_dsp_sparse_way {
    ofr_dsp_sparse_run *multiply;
    ofr_dsp_spread_run *spread;
    uint32_t taps; /* of an entry: 1 or 4 */
} ofr_dsp_sparse_way;

/* A mask for so many bytes of taps, 4 at least, that keeps words aligned. */
static inline uint32_t ofr_dsp_place_mask(uint32_t bytes) {
    return UINT32_MAX >> __builtin_clz((bytes - 1) | 4);
}

/* Convolutions: all but the streams, with `more` bytes of scratch behind the rest, which ofr_dsp_sparse_conv passes as
 * `entries` to ofr_dsp_sparse_way's multiply. */
ofr_status ofr_dsp_check_sparse_window(const ofr_call *call, uint32_t taps, uint32_t more);
void ofr_dsp_sparse_conv(const ofr_call *call, const ofr_dsp_sparse_way *way);

/* One pixel's: bytes of scratch for its taps, a power of two and what is read behind; the check but for the streams;
 * the taps, with their mask. */
static inline uint32_t ofr_dsp_row_bytes(uint32_t depth, uint32_t taps) {
    return ofr_dsp_place_mask(taps == 1 ? depth : (depth + 3) / 4 * 8) + 1 + 8;
}
uint32_t ofr_dsp_sparse_row_taps(const ofr_call *call, uint32_t taps);
ofr_status ofr_dsp_check_sparse_row(const ofr_call *call, uint32_t taps, uint32_t more);

/* Whether streams of out_c channels fill the block, each so many words and so many more for what it counts. */
ofr_status ofr_dsp_check_streams(const ofr_call *call, uint32_t words, uint32_t counted);

/* Words of M, c, e or of M alone. */
static inline uint32_t ofr_dsp_sparse_tail(const ofr_dsp_sparse_params *p) {
    return p->linear ? 1 : 3;
}

#endif

/* Winograd's F(2x2, 3x3) in integers: four outputs of a 4x4 patch by 16 products instead of 36.
 *
 * With the weights' transform doubled along both axes everything is an integer, and the sums are four times the
 * convolution's. They are computed modulo 2^32: the host shows that no final one reaches 2^31, what comes between may
 * wrap.
 *
 * Requantization as in multiply.h, of fourfold sums: the high word of 4 sum * M, plus 2 c + 1, less two for a negative
 * sum, shifted by e + 1. Both roundings fall together with those of the twofold sum. In the linear form, see linear.h,
 * weights and bias are some further multiple, the bias holds an offset and M stands alone. */
#ifndef OFR_DSP_WINOGRAD_H
#define OFR_DSP_WINOGRAD_H

#include "layer.h"

enum {
    OFR_DSP_PLANES = 16,     /* sums that make four outputs */
    OFR_DSP_MOST_QUADS = 16, /* of channels of one plane */
    /* of a channel pair's stream, beside the weights */
    OFR_DSP_TAIL_WORDS = 8,
    OFR_DSP_LINEAR_TAIL_WORDS = 4
};

/* Four rows of pixels. Their transform, down the columns, goes from `out` to `end`: 32 bytes for four channels of each
 * pixel. The rows go on behind what was read. */
typedef struct ofr_dsp_rows {
    const int8_t *row[4];
} ofr_dsp_rows;
void ofr_dsp_winograd_columns(ofr_dsp_rows *rows, uint32_t *out, const uint32_t *end);

/* Four columns so transformed, to one tile of the planes, along the rows; the columns go on behind what was read. */
typedef struct ofr_dsp_patch {
    const uint32_t *column[4];
    uint32_t *out;  /* of the first plane: for each two channels a word of three tiles */
    uint32_t plane; /* bytes from one plane to the next */
    uint32_t quads; /* of channels, at least 1 */
} ofr_dsp_patch;
void ofr_dsp_winograd_patch(ofr_dsp_patch *patch);

/* Where a tile's outputs go; the last written stays: right before left, lower before upper. */
typedef struct ofr_dsp_tile {
    int8_t *out;                /* upper left; one channel on after each */
    uint32_t row, column, both; /* bytes to the others, 0 where there are none */
} ofr_dsp_tile;

/* Three tiles. The planes, by block of channels: 3 * `pairs` words of taps, then room for six sums. */
typedef struct ofr_dsp_winograd {
    uint32_t *planes, *sums; /* the first plane, its sums */
    uint32_t plane;          /* bytes */
    const uint32_t *end;
    uint32_t pairs;                                      /* of taps, 2 to 2 * OFR_DSP_MOST_QUADS */
    ofr_dsp_tile *tiles;                                 /* three, in order of writing */
    void (*add_blocks)(const struct ofr_dsp_winograd *); /* to the first block's sums, NULL where there is one */
    uint32_t linear;                                     /* 1: requantization in the linear form */
    uint32_t blocks;
} ofr_dsp_winograd;

/* Pairs of channels, at least 1. Stream of a pair: weights of both channels by block, plane and pair of taps, then four
 * times the bias, M, 2 c + 1 and e + 1 of each channel, or bias and M of each if linear. Returns its end. */
const uint32_t *ofr_dsp_winograd_channels(const uint32_t *stream, const ofr_dsp_winograd *w, uint32_t channel_pairs);

#endif

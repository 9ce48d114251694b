/* Tiles of output pixels and their taps, for the kernels whose weights are stored compressed. */
#ifndef OFR_GENERIC_TILE_H
#define OFR_GENERIC_TILE_H

#include "doubled.h"
#include "kernel.h"

enum { TILE = 4 }; /* pixels that share the reading of a weight; what is left over goes one by one */

typedef struct ofr_generic_layer {
    const ofr_conv_2d_tile_params *p;
    const int32_t *bias;    /* input zero point folded in; times 32, plus the right shift, where scales are SHORT */
    const int32_t *scale;   /* of each output channel, or one for all: multiplier; left shift unless SHORT */
    const uint8_t *weights; /* behind them, 4-byte aligned */
    uint32_t weight_bytes;
    uint32_t taps; /* of one output */
    uint32_t group_in, group_out;
    uint32_t reach; /* bytes behind a pixel's first tap that the kernel may read, at least its taps */
} ofr_generic_layer;
typedef ofr_generic_layer layer;

/* Words of a channel's scale. SHORT ones are what ofr_generic_writer takes, with the shift beside the bias. */
typedef enum ofr_generic_scales { SHORT = 1, ANY = 2 } ofr_generic_scales;

/* Some of a layer's pixels: TILE of them or one. No pixel is left where n is 0. */
typedef struct ofr_generic_tile {
    uint32_t pixel, row, col, n;
} ofr_generic_tile;

/* Of a call that ofr_generic_check_layer has seen; `reach` is the taps, kernels that read more raise it. */
layer ofr_generic_open(const ofr_call *call, ofr_generic_scales scales);

/* Geometry, types, operands and tables; the bytes of what stands behind these are left to the kernel. */
ofr_status ofr_generic_check_layer(const ofr_call *call, ofr_generic_scales scales);

/* Whether scratch holds the tiles of a layer with this reach, and the weights take so many bytes. */
ofr_status ofr_generic_check_sizes(const ofr_call *call, const layer *l, uint32_t weight_bytes);

/* The taps of a group under a tile's pixels, `*pitch` bytes apart: in the input where they lie together and the kernel
 * stays inside, else in scratch. */
const int8_t *ofr_generic_taps_of(const layer *l, const ofr_call *call, ofr_generic_tile t, uint32_t group,
                                  uint32_t *pitch);

void ofr_generic_clamp(const ofr_call *call);

static inline ofr_generic_tile tile_at(const layer *l, uint32_t pixel, uint32_t row, uint32_t col) {
    const uint32_t left = (uint32_t)l->p->out_rows * l->p->out_cols - pixel;
    return (ofr_generic_tile){pixel, row, col, left >= TILE ? TILE : left != 0};
}

static inline ofr_generic_tile next_tile(const layer *l, ofr_generic_tile t) {
    uint32_t row = t.row, col = t.col + t.n;
    for (; col >= l->p->out_cols; col -= l->p->out_cols) {
        row++;
    }
    return tile_at(l, t.pixel + t.n, row, col);
}

static inline uint32_t round_up(uint32_t n, uint32_t power_of_two) {
    return (n + power_of_two - 1) & ~(power_of_two - 1);
}

/* Where a tile's outputs go, channel by channel. */
typedef struct ofr_generic_writer {
    const int32_t *bias, *scale;
    uint32_t step; /* from a channel's scale to the next's */
    int32_t center;
    int8_t *out;
    uint32_t out_c;
} ofr_generic_writer;

static inline ofr_generic_writer writer_at(const layer *l, const ofr_call *call, ofr_generic_tile t) {
    return (ofr_generic_writer){
        l->bias,     l->scale, l->p->per_channel, 2 * l->p->output_zero_point + 1, (int8_t *)call->out[0].data + t.pixel * l->p->out_c,
        l->p->out_c,
    };
}

/* Writes the next channel; sums modulo 2^32, without the bias, of TILE pixels or one. */
static inline void write_channel(ofr_generic_writer *to, const uint32_t *sums, uint32_t n) {
    const int32_t word = *to->bias++;
    const ofr_scale scale = {*to->scale, (uint32_t)word};
    const ofr_doubled d = ofr_doubled_of(&scale, to->center);
    const uint32_t bias = 2 * (uint32_t)(word >> 5);
    int8_t *out = to->out++;
    to->scale += to->step;
    *out = ofr_requantize_doubled(d, bias + 2 * sums[0]);
    if (n == TILE) {
        out[to->out_c] = ofr_requantize_doubled(d, bias + 2 * sums[1]);
        out += 2 * to->out_c;
        *out = ofr_requantize_doubled(d, bias + 2 * sums[2]);
        out[to->out_c] = ofr_requantize_doubled(d, bias + 2 * sums[3]);
    }
}

/* Writes a channel's outputs of a tile, clamped, whatever the layer's numbers: scales are ANY, the shift is
 * to the left where it is positive. `channel` counts through all groups. */
void ofr_generic_write_any(const layer *l, const ofr_call *call, ofr_generic_tile t, uint32_t channel,
                           const uint32_t *sums);

#endif

/* Four pixels by two channels of a matrix product on Helium, and what the kernels built on it share.
 *
 * The stream of a layer holds for each pair of output channels: for each 16 taps 16 weights of the first and 16 of
 * the second channel, then int32 bias, multiplier and -exponent of both: bias, bias, multiplier, .... Weights are
 * padded with zeros. Where the number of channels is odd, the last pair repeats the channel before the last.
 *
 * Accumulators become outputs in one of two forms, each of which has kernels of its own: "relu" where act_min is the
 * zero point, min(q, 2^16 - 1 - add[0]) + add[0] + add[1] from q >= 0 on in 16 bits; "signed" where act_min and act_max
 * are int8's ends and all exponents are >= 1, q + add[0]. */
#ifndef OFR_MVE_TILE_H
#define OFR_MVE_TILE_H

#include "kernel.h"

enum { OFR_MVE_PAIR_TAIL = 24 }; /* bytes of a pair behind its weights */

typedef struct ofr_mve_tile {
    int8_t *out;        /* of the first pixel */
    const int8_t *x[4]; /* taps of each pixel, a multiple of 16 of them readable */
    const int8_t *end;  /* of the stream */
    uint32_t two;
    uint32_t loops;     /* through the unrolled product, which follows the first 16 taps */
    uint32_t add[2];
    uint32_t skip;      /* of its steps, the first time; more than there are: no such product */
    uint32_t tiles;     /* one behind the other */
    uint32_t x_step;    /* from the pixels of a tile to those of the next */
    uint32_t out_step;
    const int8_t *stream;
    uint16_t places[8]; /* of pixel i from out: [2 i] first channel, [2 i + 1] second */
} ofr_mve_tile;

typedef struct ofr_mve_layer {
    const int8_t *stream;
    uint32_t out_c, pair_bytes;
} ofr_mve_layer;

/* All pairs from stream to end of all tiles, one pair's outputs behind the other's. */
typedef void ofr_mve_pairs_code(const ofr_mve_tile *tile, uint32_t is_signed);
ofr_mve_pairs_code ofr_mve_pairs;

/* Bytes of a stream of `taps` products an output. */
static inline uint32_t ofr_mve_pair_bytes(uint32_t taps) {
    return ofr_plus(ofr_times(ofr_plus(taps, 15) / 16u, 32), OFR_MVE_PAIR_TAIL);
}

/* Prepares what all tiles of a layer have in common, but x_step; taps > 0. */
void ofr_mve_begin(ofr_mve_tile *t, uint32_t taps, uint32_t out_c, const uint16_t *add);

/* Where the outputs of the tile's `n` pixels go; the missing ones repeat the last. */
void ofr_mve_place(ofr_mve_tile *t, uint32_t n, uint32_t out_c);

/* All channels of `n` tiles, the first one's outputs from out on; t->x and x_step are set. */
typedef void ofr_mve_runner(ofr_mve_tile *t, const ofr_mve_layer *l, int8_t *out, uint32_t n, uint32_t is_signed);
ofr_mve_runner ofr_mve_run;

/* The same by any code of pairs. */
static inline void ofr_mve_run_pairs(ofr_mve_pairs_code *pairs, ofr_mve_tile *t, const ofr_mve_layer *l, int8_t *out,
                                     uint32_t n, uint32_t is_signed) {
    t->tiles = n;
    t->out = out;
    t->stream = l->stream;
    t->end = l->stream + l->out_c / 2u * l->pair_bytes;
    if (l->out_c > 1) {
        pairs(t, is_signed);
    }
    if (l->out_c & 1u) {
        t->out = l->out_c > 1 ? out + l->out_c - 2 : out;
        t->stream = t->end;
        t->end += l->pair_bytes;
        pairs(t, is_signed);
    }
}

/* Products of an output. */
static inline uint32_t ofr_mve_taps(const ofr_mve_conv_2d_params *p) {
    return (uint32_t)p->kernel_h * p->in_c * p->kernel_w;
}

/* What convolutions have in common: sizes, types, and that scratch has as many bytes. */
ofr_status ofr_mve_check_conv_2d(const ofr_call *call, uint32_t scratch);

/* The same where the stream takes other bytes than one of int8. */
ofr_status ofr_mve_check_conv_2d_of(const ofr_call *call, uint32_t scratch, uint32_t stream);

/* Copies bytes and returns dst, which may lie before src in one piece with it. */
static inline void *ofr_mve_copy(void *dst, const void *src, uint32_t bytes) {
    void *const first = dst;
    __asm__ volatile("wlstp.8 lr, %[bytes], 2f\n"
                     "1: vldrb.8 q0, [%[src]], #16\n"
                     "vstrb.8 q0, [%[dst]], #16\n"
                     "letp lr, 1b\n"
                     "2:\n"
                     : [src] "+l"(src), [dst] "+l"(dst)
                     : [bytes] "r"(bytes)
                     : "q0", "lr", "memory");
    return first;
}

static inline void ofr_mve_fill(void *dst, int32_t value, uint32_t bytes) {
    __asm__ volatile("vdup.8 q0, %[value]\n"
                     "wlstp.8 lr, %[bytes], 2f\n"
                     "1: vstrb.8 q0, [%[dst]], #16\n"
                     "letp lr, 1b\n"
                     "2:\n"
                     : [dst] "+l"(dst)
                     : [value] "r"(value), [bytes] "r"(bytes)
                     : "q0", "lr", "memory");
}

/* The first 16 bytes, or all of `bytes`, of n pieces; n > 0. */
static inline void ofr_mve_copy_columns(uint8_t *dst, uint32_t dst_step, const uint8_t *src, uint32_t src_step, uint32_t n,
                                        uint32_t bytes) {
    if (bytes >= 16) {
        __asm__ volatile("dls lr, %[n]\n"
                         "1: vldrb.8 q0, [%[src]]\n"
                         "add %[src], %[src_step]\n"
                         "vstrb.8 q0, [%[dst]]\n"
                         "add %[dst], %[dst_step]\n"
                         "le lr, 1b\n"
                         : [src] "+r"(src), [dst] "+r"(dst)
                         : [src_step] "r"(src_step), [dst_step] "r"(dst_step), [n] "r"(n)
                         : "q0", "lr", "memory");
        return;
    }
    __asm__ volatile("vctp.8 %[bytes]\n"
                     "dls lr, %[n]\n"
                     "1: vpstt\n"
                     "vldrbt.8 q0, [%[src]]\n"
                     "vstrbt.8 q0, [%[dst]]\n"
                     "add %[src], %[src_step]\n"
                     "add %[dst], %[dst_step]\n"
                     "le lr, 1b\n"
                     : [src] "+r"(src), [dst] "+r"(dst)
                     : [src_step] "r"(src_step), [dst_step] "r"(dst_step), [n] "r"(n), [bytes] "r"(bytes)
                     : "q0", "lr", "memory", "cc");
}

#endif

/* 1x1 convolution at stride 1, and fully connected over many rows: pixels are read where they lie, or copied first where
 * outputs lie over them; for weights in any storage. */
#ifndef OFR_MVE_POINTWISE_H
#define OFR_MVE_POINTWISE_H

#include "sizes.h"
#include "tile.h"

static uint32_t padded_of(const ofr_mve_pointwise_params *p) {
    return (p->in_c + 15u) & ~15u;
}

/* What a storage's code asks of pixels. */
typedef struct ofr_mve_pixels {
    uint32_t kept;  /* taps that it reads once for all channels */
    uint32_t align; /* bytes */
} ofr_mve_pixels;

/* Whether pixels must be copied first: outputs lie over those that are read again after their first channels are written, or they
 * lie where the code cannot read them. */
static int is_over(const ofr_call *call, ofr_mve_pixels pixels) {
    const ofr_mve_pointwise_params *p = call->params;
    return (call->in[0].data == call->out[0].data && (p->in_c > pixels.kept || p->out_c % 2u != 0)) ||
           ((uintptr_t)call->in[0].data & (pixels.align - 1u)) != 0;
}

/* Pixels that are copied to scratch: all, or the last ones. What is read past a pixel must be the input's. */
static uint32_t copied_pixels(const ofr_call *call, ofr_mve_pixels pixels) {
    const ofr_mve_pointwise_params *p = call->params;
    const uint32_t behind = (padded_of(p) - 1u) / p->in_c;
    return p->pixels > behind && !is_over(call, pixels) ? p->pixels - ((p->pixels - behind) & ~3u) : p->pixels;
}

/* Refuses what `ofr_mve_pointwise` does not take, and blocks without a stream of so many bytes. */
static inline ofr_status ofr_mve_check_pointwise(const ofr_call *call, uint32_t stream, ofr_mve_pixels pixels) {
    const ofr_mve_pointwise_params *p = call->params;
    if (p->pixels == 0 || p->in_c == 0 || p->out_c == 0 || p->out_c > 16383) { /* offsets have 16 bits */
        return ofr_refuse(call, OFR_E_VALUE, p->out_c, 16383);
    }
    const int may_copy = pixels.align > 1 || copied_pixels(call, pixels) != 0; /* where inputs lie may change */
    const uint32_t copied = may_copy ? ofr_times(ofr_plus(p->in_c, 15) / 16u, 64) : 0;
    return ofr_mve_check_sizes(call, ofr_times(p->pixels, p->in_c), ofr_times(p->pixels, p->out_c),
                               ofr_plus(sizeof *p, stream), copied);
}

/* Brings n pixels from `first` on to scratch. */
static const int8_t *copy_pixels(const ofr_call *call, uint32_t first, uint32_t n) {
    const ofr_mve_pointwise_params *p = call->params;
    const uint32_t k = p->in_c, padded = padded_of(p);
    const uint8_t *in = call->in[0].data + first * k;
    if (padded == k) {
        return ofr_mve_copy(call->scratch, in, n * k);
    }
    for (uint32_t i = 0; i < n; i++) {
        (void)ofr_mve_copy((uint8_t *)call->scratch + i * padded, in + i * k, k);
    }
    return call->scratch;
}

/* Where outputs are wider than pixels, the last ones come first: outputs may lie over their input. */
static inline void ofr_mve_pointwise(const ofr_call *call, uint32_t is_signed, uint32_t pair_bytes, ofr_mve_pixels pixels,
                                     ofr_mve_runner *run) {
    const ofr_mve_pointwise_params *p = call->params;
    const ofr_mve_layer l = {(const int8_t *)(p + 1), p->out_c, pair_bytes};
    const uint32_t is_backwards = p->out_c > p->in_c, copied = copied_pixels(call, pixels), direct = p->pixels - copied;
    const uint32_t room = call->scratch_bytes / (4u * padded_of(p)) * 4u;
    const uint32_t pieces = 1u + (copied == 0 ? 0 : (copied - 1u) / room + 1u); /* the first is read where it lies */
    ofr_mve_tile t;
    ofr_mve_begin(&t, p->in_c, p->out_c, p->add);
    for (uint32_t i = 0; i < pieces; i++) {
        const uint32_t piece = is_backwards ? pieces - 1u - i : i, is_reversed = is_backwards && piece == 0;
        const uint32_t begin = piece == 0 ? 0 : direct + (piece - 1u) * room;
        const uint32_t left = piece == 0 ? direct : p->pixels - begin, n = piece == 0 || left < room ? left : room;
        const uint32_t pitch = piece == 0 ? p->in_c : padded_of(p), step = is_reversed ? (uint32_t)-4 : 4u;
        const int8_t *x = piece == 0 ? (const int8_t *)call->in[0].data : copy_pixels(call, begin, n);
        t.x_step = step * pitch;
        t.out_step = step * p->out_c;
        for (uint32_t done = 0, here; done < n; done += here) {
            const uint32_t tiles = (n - done) / 4u, first = is_reversed ? n - 4u : done;
            here = tiles != 0 ? 4u * tiles : n - done;
            ofr_mve_place(&t, tiles != 0 ? 4 : here, p->out_c);
            for (uint32_t j = 0; j < 4; j++) {
                t.x[j] = x + (first + (tiles != 0 || j < here ? j : here - 1)) * pitch;
            }
            int8_t *out = (int8_t *)call->out[0].data + (begin + first) * p->out_c;
            run(&t, &l, out, tiles != 0 ? tiles : 1, is_signed);
        }
    }
}

#endif

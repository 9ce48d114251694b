/* Convolution and fully connected, int8, with part of a wider layer's weights, which plans of several widths share. */
#ifdef __ARM_FEATURE_DSP
#pragma GCC optimize("Os") /* other sets serve nearly all layers there */
#endif

#include "tile.h"

/* Of an output channel the weights lie in runs, one for each tap of the window, `entries` bytes apart. */
static uint32_t window_of(const ofr_conv_2d_tile_params *p) {
    return (uint32_t)p->kernel_h * p->kernel_w;
}

static ofr_status check(const ofr_call *call) {
    const ofr_conv_2d_tile_params *p = call->params;
    ofr_status status = ofr_generic_check_layer(call, ANY);
    if (status == OFR_OK && (p->groups != 1 || p->form != 0 || p->entries < p->in_c)) {
        status = ofr_refuse(call, OFR_E_VALUE, p->entries, p->in_c);
    }
    if (status == OFR_OK) {
        status = ofr_expect(call, OFR_E_DTYPE, call->in[1].dtype, OFR_S8);
    }
    if (status != OFR_OK) {
        return status;
    }
    const uint32_t least = ofr_times(p->out_c, ofr_times(window_of(p), p->entries));
    if (call->in[1].bytes < least) {
        return ofr_refuse(call, OFR_E_SHAPE, call->in[1].bytes, least);
    }
    const layer l = ofr_generic_open(call, ANY);
    return ofr_generic_check_sizes(call, &l, 0);
}

/* Adds the products of n taps of TILE pixels, `pitch` bytes apart. */
static void multiply_tile(uint32_t *sums, const int8_t *x, uint32_t pitch, const int8_t *w, uint32_t n) {
    const int8_t *b = x + pitch, *c = b + pitch, *d = c + pitch;
    int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    for (const int8_t *end = w + n; w != end;) {
        const int32_t weight = *w++;
        s0 += weight * *x++;
        s1 += weight * *b++;
        s2 += weight * *c++;
        s3 += weight * *d++;
    }
    sums[0] += (uint32_t)s0;
    sums[1] += (uint32_t)s1;
    sums[2] += (uint32_t)s2;
    sums[3] += (uint32_t)s3;
}

static uint32_t multiply_one(const int8_t *x, const int8_t *w, uint32_t n) {
    int32_t sum = 0;
    for (const int8_t *end = w + n; w != end;) {
        sum += *w++ * *x++;
    }
    return (uint32_t)sum;
}

static void run(const ofr_call *call) {
    const layer l = ofr_generic_open(call, ANY);
    const uint32_t wide = l.p->entries, whole = wide == l.p->in_c;
    const uint32_t runs = whole ? 1 : window_of(l.p), n = whole ? l.taps : l.p->in_c;
    for (ofr_generic_tile t = tile_at(&l, 0, 0, 0); t.n != 0; t = next_tile(&l, t)) {
        uint32_t pitch;
        const int8_t *x = ofr_generic_taps_of(&l, call, t, 0, &pitch);
        const int8_t *w = (const int8_t *)call->in[1].data;
        for (uint32_t channel = 0; channel < l.p->out_c; channel++) {
            uint32_t sums[TILE] = {0};
            for (uint32_t i = 0; i < runs; i++, w += whole ? n : wide) {
                if (t.n == TILE) {
                    multiply_tile(sums, x + i * n, pitch, w, n);
                } else {
                    sums[0] += multiply_one(x + i * n, w, n);
                }
            }
            ofr_generic_write_any(&l, call, t, channel, sums);
        }
    }
}

const ofr_kernel ofr_kernel_generic_conv_2d_slice = {
    OFR_KERNEL_GENERIC_CONV_2D_SLICE, OFR_PACKING_GENERIC_CONV_2D_SLICE, sizeof(ofr_conv_2d_tile_params), 2, 1, 0, check, run,
};

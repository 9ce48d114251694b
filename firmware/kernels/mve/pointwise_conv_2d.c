/* 1x1 convolution at stride 1, and fully connected over many rows, int8, on Helium: pixels are read where they lie. */
#pragma GCC optimize("Os")

#include "sizes.h"
#include "tile.h"

/* Bytes of four pixels brought to a multiple of 16. */
static uint32_t bounce_bytes(const ofr_mve_pointwise_params *p) {
    return p->in_c % 16u == 0 ? 0 : 4u * ((p->in_c + 15u) & ~15u);
}

static ofr_status check(const ofr_call *call) {
    const ofr_mve_pointwise_params *p = call->params;
    if (p->pixels == 0 || p->in_c == 0 || p->out_c == 0 || p->out_c > 16383) { /* offsets have 16 bits */
        return ofr_refuse(call, OFR_E_VALUE, p->out_c, 16383);
    }
    const uint32_t stream = ofr_times((p->out_c + 1u) / 2u, ofr_mve_pair_bytes(p->in_c));
    return ofr_mve_check_sizes(call, ofr_times(p->pixels, p->in_c), ofr_times(p->pixels, p->out_c),
                               ofr_plus(sizeof *p, stream), bounce_bytes(p));
}

static __attribute__((noinline)) void run(const ofr_call *call, ofr_mve_pairs *pairs) {
    const ofr_mve_pointwise_params *p = call->params;
    const ofr_mve_layer l = {(const int8_t *)(p + 1), p->out_c, ofr_mve_pair_bytes(p->in_c)};
    const int8_t *in = (const int8_t *)call->in[0].data;
    int8_t *out = (int8_t *)call->out[0].data;
    const uint32_t k = p->in_c, padded = (k + 15u) & ~15u;
    /* What is read past a pixel must be the input's: the last ones are brought to scratch, four at a time. */
    const uint32_t behind = (padded - k + k - 1u) / k;
    uint32_t tiles = p->pixels > behind ? (p->pixels - behind) / 4u : 0;
    ofr_mve_tile t;
    ofr_mve_begin(&t, k, p->add);
    ofr_mve_place(&t, 4, p->out_c);
    t.x_step = 4u * k;
    if (tiles != 0) {
        for (uint32_t i = 0; i < 4; i++) {
            t.x[i] = in + i * k;
        }
        ofr_mve_run(&t, &l, out, tiles, pairs);
    }
    for (uint32_t done = 4u * tiles; done < p->pixels; done += 4) {
        const uint32_t n = p->pixels - done < 4 ? p->pixels - done : 4;
        ofr_mve_place(&t, n, p->out_c);
        for (uint32_t i = 0; i < 4; i++) {
            const int8_t *x = in + (done + (i < n ? i : n - 1)) * k;
            t.x[i] = padded == k ? x : memcpy((int8_t *)call->scratch + i * padded, x, k);
        }
        ofr_mve_run(&t, &l, out + done * p->out_c, 1, pairs);
    }
}

static void run_relu(const ofr_call *call) {
    run(call, ofr_mve_pairs_relu);
}

static void run_signed(const ofr_call *call) {
    run(call, ofr_mve_pairs_signed);
}

const ofr_kernel ofr_kernel_mve_pointwise_conv_2d = {
    OFR_KERNEL_MVE_POINTWISE_CONV_2D, OFR_PACKING_MVE_POINTWISE_CONV_2D, sizeof(ofr_mve_pointwise_params), 1, 1, 0, check, run_relu,
};

const ofr_kernel ofr_kernel_mve_pointwise_conv_2d_signed = {
    OFR_KERNEL_MVE_POINTWISE_CONV_2D_SIGNED, OFR_PACKING_MVE_POINTWISE_CONV_2D_SIGNED, sizeof(ofr_mve_pointwise_params), 1, 1, 0, check, run_signed,
};

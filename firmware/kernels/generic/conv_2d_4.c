/* Convolution and fully connected, int8, with weights of four bits, or these times a multiplier for each 32 taps. */
#ifdef __ARM_FEATURE_DSP
#pragma GCC optimize("Os") /* other sets serve nearly all layers there */
#endif

#include "nibbles.h"

static layer open_layer(const ofr_call *call) {
    layer l = ofr_generic_open(call, SHORT);
    l.reach = TAPS_A_WORD * words_of(l.taps);
    return l;
}

static ofr_status check(const ofr_call *call) {
    const ofr_conv_2d_tile_params *p = call->params;
    const ofr_status status = ofr_generic_check_layer(call, SHORT);
    if (status != OFR_OK) {
        return status;
    }
    if (p->form > 1) {
        return ofr_refuse(call, OFR_E_VALUE, p->form, 1);
    }
    const layer l = open_layer(call);
    const uint32_t multipliers = pairs_of(&l) * p->groups * runs_of(l.taps) * 2; /* at most 2^17 times 2^11 */
    return ofr_generic_check_sizes(call, &l, ofr_plus(nibble_bytes(&l), p->form ? round_up(multipliers, 4) : 0));
}

static void run(const ofr_call *call) {
    const layer l = open_layer(call);
    const uint32_t n_pairs = pairs_of(&l), words = words_of(l.taps), runs = runs_of(l.taps);
    for (ofr_generic_tile t = tile_at(&l, 0, 0, 0); t.n != 0; t = next_tile(&l, t)) {
        const uint32_t *w = (const uint32_t *)(const void *)l.weights;
        ofr_generic_writer to = writer_at(&l, call, t);
        const uint8_t *m = l.p->form ? l.weights + nibble_bytes(&l) : NULL;
        for (uint32_t group = 0; group < l.p->groups; group++) {
            uint32_t pitch;
            const int8_t *x = ofr_generic_taps_of(&l, call, t, group, &pitch);
            for (uint32_t pair = 0; pair < n_pairs; pair++, w += words) {
                ofr_generic_sums sums = {0};
                ofr_generic_multiply_nibbles(&sums, x, pitch, t.n, w, l.taps, m);
                write_pair(&to, &l, pair, &sums, t.n);
                m = m == NULL ? NULL : m + 2 * runs;
            }
        }
    }
    ofr_generic_clamp(call);
}

const ofr_kernel ofr_kernel_generic_conv_2d_4 = {
    OFR_KERNEL_GENERIC_CONV_2D_4, OFR_PACKING_GENERIC_CONV_2D_4, sizeof(ofr_conv_2d_tile_params), 1, 1, 0, check, run,
};

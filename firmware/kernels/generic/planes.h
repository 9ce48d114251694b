/* Layers whose weights are two planes of nibbles that stand apart, constant operands of the step: two plans of one blob
 * share them. A weight is 16 * high + low; without the lower plane it is 16 * high. */
#ifndef OFR_GENERIC_PLANES_H
#define OFR_GENERIC_PLANES_H

#include "nibbles.h"

static layer open_planes(const ofr_call *call) {
    layer l = ofr_generic_open(call, ANY);
    l.reach = TAPS_A_WORD * words_of(l.taps);
    return l;
}

/* Inputs 1 to `planes` hold the nibbles of all channels. */
static ofr_status check_planes(const ofr_call *call, uint32_t planes) {
    ofr_status status = ofr_generic_check_layer(call, ANY);
    if (status != OFR_OK) {
        return status;
    }
    const layer l = open_planes(call);
    for (uint32_t i = 1; i <= planes && status == OFR_OK; i++) {
        status = ofr_expect(call, OFR_E_DTYPE, call->in[i].dtype, OFR_U8);
        if (status == OFR_OK) {
            status = ofr_expect(call, OFR_E_SHAPE, call->in[i].bytes, nibble_bytes(&l));
        }
    }
    return status == OFR_OK ? ofr_generic_check_sizes(call, &l, 0) : status;
}

static void run_planes(const ofr_call *call, uint32_t planes) {
    const layer l = open_planes(call);
    const uint32_t n_pairs = pairs_of(&l), words = words_of(l.taps);
    for (ofr_generic_tile t = tile_at(&l, 0, 0, 0); t.n != 0; t = next_tile(&l, t)) {
        uint32_t at = 0;
        for (uint32_t group = 0; group < l.p->groups; group++) {
            uint32_t pitch;
            const int8_t *x = ofr_generic_taps_of(&l, call, t, group, &pitch);
            for (uint32_t pair = 0; pair < n_pairs; pair++, at += words) {
                ofr_generic_sums sums = {0};
                for (uint32_t i = 1; i <= planes; i++) {
                    const uint32_t *w = (const uint32_t *)(const void *)call->in[i].data;
                    ofr_generic_multiply_nibbles(&sums, x, pitch, t.n, w + at, l.taps, NULL);
                    if (i == 1) {
                        for (uint32_t sum = 0; sum < 2 * TILE; sum++) {
                            sums.of[sum / TILE][sum % TILE] *= 16;
                        }
                    }
                }
                for (uint32_t i = 0; i < 2 && 2 * pair + i < l.group_out; i++) {
                    ofr_generic_write_any(&l, call, t, group * l.group_out + 2 * pair + i, sums.of[i]);
                }
            }
        }
    }
}

#endif

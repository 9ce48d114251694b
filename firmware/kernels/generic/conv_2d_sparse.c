/* Convolution and fully connected, int8, whose zero weights are skipped: positions and values in bytes. */
#ifdef __ARM_FEATURE_DSP
#pragma GCC optimize("Os") /* other sets serve nearly all layers there */
#endif

#include "tile.h"

/* A position counts from the first tap of its block, and every block has room for all positions: the last one of a
 * channel ends with the taps. So no stream leads elsewhere. */
enum { BLOCK = 256 };

static layer open_layer(const ofr_call *call) {
    layer l = ofr_generic_open(call, SHORT);
    l.reach = l.taps < BLOCK ? BLOCK : l.taps;
    return l;
}

static uint32_t blocks_of(const layer *l) {
    return (l->taps + BLOCK - 1) / BLOCK;
}

static ofr_status check(const ofr_call *call) {
    const ofr_conv_2d_tile_params *p = call->params;
    const ofr_status status = ofr_generic_check_layer(call, SHORT);
    if (status != OFR_OK) {
        return status;
    }
    const layer l = open_layer(call);
    uint32_t at = 0, left = ofr_times(p->out_c, blocks_of(&l));
    for (; left != 0 && at < l.weight_bytes; left--) {
        at += 1 + 2u * l.weights[at];
    }
    return left != 0 ? ofr_refuse(call, OFR_E_PARAMS, l.weight_bytes, at + left)
                     : ofr_generic_check_sizes(call, &l, round_up(at, 4));
}


/* Products of a block's entries with four pixels. On their own, so that sums and pointers stay in registers. */
static inline void add_four(uint32_t *sums, const int8_t *x, uint32_t pitch, const uint8_t *entry,
                                               const uint8_t *end) {
    const int8_t *x1 = x + pitch, *x2 = x1 + pitch, *x3 = x2 + pitch;
    uint32_t a = sums[0], b = sums[1], c = sums[2], d = sums[3];
    while (entry != end) {
        const uint32_t at = entry[0], w = (uint32_t)(int8_t)entry[1];
        a += (uint32_t)x[at] * w;
        b += (uint32_t)x1[at] * w;
        c += (uint32_t)x2[at] * w;
        d += (uint32_t)x3[at] * w;
        entry += 2;
    }
    sums[0] = a;
    sums[1] = b;
    sums[2] = c;
    sums[3] = d;
}

static inline uint32_t add_one(uint32_t sum, const int8_t *x, const uint8_t *entry, const uint8_t *end) {
    for (const uint8_t *fours = entry + ((uint32_t)(end - entry) & ~7u); entry != fours; entry += 8) {
        for (uint32_t i = 0; i < 8; i += 2) {
            sum += (uint32_t)x[entry[i]] * (uint32_t)(int8_t)entry[i + 1];
        }
    }
    for (; entry != end; entry += 2) {
        sum += (uint32_t)x[entry[0]] * (uint32_t)(int8_t)entry[1];
    }
    return sum;
}

/* A channel's sums; the end of its entries. */
static const uint8_t *add_channel(uint32_t *sums, const layer *l, const int8_t *x, uint32_t pitch, uint32_t n,
                                  const uint8_t *entry) {
    const uint32_t last = l->taps < BLOCK ? 0 : l->taps - BLOCK;
    for (uint32_t at = 0; at < l->taps; at += BLOCK) {
        const int8_t *block = x + (at < last ? at : last);
        const uint8_t *end = entry + 1 + 2u * *entry;
        if (n == 1) {
            sums[0] = add_one(sums[0], block, entry + 1, end);
        } else {
            add_four(sums, block, pitch, entry + 1, end);
        }
        entry = end;
    }
    return entry;
}

static void run(const ofr_call *call) {
    const layer l = open_layer(call);
    for (ofr_generic_tile t = tile_at(&l, 0, 0, 0); t.n != 0; t = next_tile(&l, t)) {
        const uint8_t *entry = l.weights;
        ofr_generic_writer to = writer_at(&l, call, t);
        for (uint32_t group = 0; group < l.p->groups; group++) {
            uint32_t pitch;
            const int8_t *x = ofr_generic_taps_of(&l, call, t, group, &pitch);
            for (uint32_t c = 0; c < l.group_out; c++) {
                uint32_t sums[TILE] = {0};
                entry = add_channel(sums, &l, x, pitch, t.n, entry);
                write_channel(&to, sums, t.n);
            }
        }
    }
    ofr_generic_clamp(call);
}

const ofr_kernel ofr_kernel_generic_conv_2d_sparse = {
    OFR_KERNEL_GENERIC_CONV_2D_SPARSE,
    OFR_PACKING_GENERIC_CONV_2D_SPARSE,
    sizeof(ofr_conv_2d_tile_params),
    1,
    1,
    0,
    check,
    run,
};

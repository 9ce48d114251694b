/* Convolution and fully connected, int8, whose zero weights are left out: gaps and values in nibbles. */
#ifdef __ARM_FEATURE_DSP
#pragma GCC optimize("Os") /* other sets serve nearly all layers there */
#endif

#include "tile.h"

enum { ESCAPE = 15 };

/* The stream at one place. Taps are read below the layer's alone, so that no stream leads elsewhere. */
typedef struct stream {
    const uint8_t *nibbles;
    uint32_t next, end; /* nibbles; `end` leaves a byte that is read with the one before it */
    uint32_t at;        /* tap that `value` belongs to; behind a channel's last: in a later channel */
    uint32_t value;
} stream;

/* On to the next value, of `bits`; behind the last one, to a place far away. */
static inline void advance(stream *s, uint32_t bits) {
    while (s->next < s->end) {
        uint16_t two;
        memcpy(&two, s->nibbles + s->next / 2, sizeof two);
        const uint32_t word = (uint32_t)two >> 4 * (s->next & 1), gap = word & 15;
        s->at += gap;
        s->next++;
        if (gap != ESCAPE) {
            s->next += bits / 4;
            s->value = bits == 4 ? ((word >> 4 & 15) ^ 8) - 8 : (uint32_t)(int8_t)(word >> 4);
            return;
        }
    }
    s->at = UINT32_MAX;
    s->value = 0;
}

static ofr_status check(const ofr_call *call) {
    const ofr_conv_2d_tile_params *p = call->params;
    const ofr_status status = ofr_generic_check_layer(call, SHORT);
    if (status != OFR_OK) {
        return status;
    }
    if (p->form != 4 && p->form != 8) {
        return ofr_refuse(call, OFR_E_VALUE, p->form, 8);
    }
    const layer l = ofr_generic_open(call, SHORT);
    if (l.weight_bytes > 1u << 30) { /* nibbles are counted in 32 bits */
        return ofr_refuse(call, OFR_E_PARAMS, l.weight_bytes, 1u << 30);
    }
    return ofr_generic_check_sizes(call, &l, l.weight_bytes & ~3u);
}

/* A channel's sums for four pixels. */
static inline void add_four(stream *stored, uint32_t *sums, const int8_t *x, uint32_t pitch, uint32_t taps,
                            uint32_t bits) {
    stream s = *stored;
    const int8_t *x2 = x + 2 * pitch;
    uint32_t a = 0, b = 0, c = 0, d = 0;
    for (; s.at < taps; s.at++, advance(&s, bits)) {
        a += (uint32_t)x[s.at] * s.value;
        b += (uint32_t)(x + pitch)[s.at] * s.value;
        c += (uint32_t)x2[s.at] * s.value;
        d += (uint32_t)(x2 + pitch)[s.at] * s.value;
    }
    *stored = s;
    sums[0] = a;
    sums[1] = b;
    sums[2] = c;
    sums[3] = d;
}

static inline void add_one(stream *stored, uint32_t *sum, const int8_t *x, uint32_t taps, uint32_t bits) {
    stream s = *stored;
    uint32_t a = 0;
    for (; s.at < taps; s.at++, advance(&s, bits)) {
        a += (uint32_t)x[s.at] * s.value;
    }
    *stored = s;
    *sum = a;
}

/* One function for both widths of values, so that each has its registers. */
static __attribute__((noinline)) void add_nibbles(stream *s, uint32_t *sums, const int8_t *x, uint32_t pitch,
                                                  uint32_t taps, uint32_t n) {
    if (n == 1) {
        add_one(s, sums, x, taps, 4);
    } else {
        add_four(s, sums, x, pitch, taps, 4);
    }
}

static __attribute__((noinline)) void add_bytes(stream *s, uint32_t *sums, const int8_t *x, uint32_t pitch,
                                                uint32_t taps, uint32_t n) {
    if (n == 1) {
        add_one(s, sums, x, taps, 8);
    } else {
        add_four(s, sums, x, pitch, taps, 8);
    }
}

static void run(const ofr_call *call) {
    const layer l = ofr_generic_open(call, SHORT);
    const uint32_t end = l.weight_bytes == 0 ? 0 : 2 * (l.weight_bytes - 1);
    for (ofr_generic_tile t = tile_at(&l, 0, 0, 0); t.n != 0; t = next_tile(&l, t)) {
        stream s = {.nibbles = l.weights, .end = end};
        ofr_generic_writer to = writer_at(&l, call, t);
        advance(&s, l.p->form);
        for (uint32_t group = 0; group < l.p->groups; group++) {
            uint32_t pitch;
            const int8_t *x = ofr_generic_taps_of(&l, call, t, group, &pitch);
            for (uint32_t c = 0; c < l.group_out; c++) {
                uint32_t sums[TILE];
                if (l.p->form == 4) {
                    add_nibbles(&s, sums, x, pitch, l.taps, t.n);
                } else {
                    add_bytes(&s, sums, x, pitch, l.taps, t.n);
                }
                write_channel(&to, sums, t.n);
                s.at -= l.taps; /* what is left of the gap that ends this channel */
            }
        }
    }
    ofr_generic_clamp(call);
}

const ofr_kernel ofr_kernel_generic_conv_2d_packed = {
    OFR_KERNEL_GENERIC_CONV_2D_PACKED,
    OFR_PACKING_GENERIC_CONV_2D_PACKED,
    sizeof(ofr_conv_2d_tile_params),
    1,
    1,
    0,
    check,
    run,
};

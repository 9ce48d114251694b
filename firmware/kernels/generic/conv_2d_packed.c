/* Convolution and fully connected, int8, whose zero weights are left out: gaps and values in nibbles. */
#ifdef __ARM_FEATURE_DSP
#pragma GCC optimize("Os") /* other sets serve nearly all layers there */
#endif

#include "tile.h"

enum { ESCAPE = 15, NIBBLES = 8 };

/* The stream at one place. Taps are read below `taps` alone, so that no stream leads elsewhere; at its end that
 * becomes 0. */
typedef struct stream {
    const uint32_t *next, *end;
    uint32_t word, left; /* nibbles that are not read yet, in the lower part */
    uint32_t at;         /* tap of the channel that the next value belongs to; behind its last: in a later channel */
    uint32_t taps;
} stream;

static inline uint32_t nibble(stream *s) {
    if (s->left == 0) {
        if (s->next == s->end) {
            s->taps = 0;
            return 0;
        }
        s->word = *s->next++;
        s->left = NIBBLES;
    }
    const uint32_t found = s->word & 15;
    s->word >>= 4;
    s->left--;
    return found;
}

/* On to the next value. */
static inline void skip(stream *s) {
    uint32_t gap;
    do {
        gap = nibble(s);
        s->at += gap;
    } while (gap == ESCAPE);
}

static inline uint32_t value(stream *s, uint32_t bits) {
    const uint32_t low = nibble(s);
    if (bits == 4) {
        return (low ^ 8) - 8;
    }
    return (uint32_t)(int8_t)(low | nibble(s) << 4);
}

static layer open_layer(const ofr_call *call) {
    return ofr_generic_open(call);
}

static ofr_status check(const ofr_call *call) {
    const ofr_conv_2d_tile_params *p = call->params;
    const ofr_status status = ofr_generic_check_layer(call);
    if (status != OFR_OK) {
        return status;
    }
    if (p->form != 4 && p->form != 8) {
        return ofr_refuse(call, OFR_E_VALUE, p->form, 8);
    }
    const layer l = open_layer(call);
    return ofr_generic_check_sizes(call, &l, l.weight_bytes & ~3u);
}

/* A channel's sums for four pixels. */
static inline void add_four(stream *stored, uint32_t *sums, const int8_t *x, uint32_t pitch, uint32_t bits) {
    stream s = *stored;
    const int8_t *x1 = x + pitch, *x2 = x1 + pitch, *x3 = x2 + pitch;
    uint32_t a = 0, b = 0, c = 0, d = 0;
    while (s.at < s.taps) {
        const uint32_t at = s.at, w = value(&s, bits);
        a += (uint32_t)x[at] * w;
        b += (uint32_t)x1[at] * w;
        c += (uint32_t)x2[at] * w;
        d += (uint32_t)x3[at] * w;
        s.at++;
        skip(&s);
    }
    *stored = s;
    sums[0] = a;
    sums[1] = b;
    sums[2] = c;
    sums[3] = d;
}

static inline void add_one(stream *stored, uint32_t *sum, const int8_t *x, uint32_t bits) {
    stream s = *stored;
    uint32_t a = 0;
    while (s.at < s.taps) {
        const uint32_t at = s.at;
        a += (uint32_t)x[at] * value(&s, bits);
        s.at++;
        skip(&s);
    }
    *stored = s;
    *sum = a;
}

/* One function for both widths of values, so that each has its registers. */
static __attribute__((noinline)) void add_nibbles(stream *s, uint32_t *sums, const int8_t *x, uint32_t pitch,
                                                  uint32_t n) {
    if (n == 1) {
        add_one(s, sums, x, 4);
    } else {
        add_four(s, sums, x, pitch, 4);
    }
}

static __attribute__((noinline)) void add_bytes(stream *s, uint32_t *sums, const int8_t *x, uint32_t pitch,
                                                uint32_t n) {
    if (n == 1) {
        add_one(s, sums, x, 8);
    } else {
        add_four(s, sums, x, pitch, 8);
    }
}

static void run(const ofr_call *call) {
    const layer l = open_layer(call);
    const uint32_t *words = (const uint32_t *)(const void *)l.weights;
    for (ofr_generic_tile t = tile_at(&l, 0, 0, 0); t.n != 0; t = next_tile(&l, t)) {
        stream s = {.next = words, .end = words + l.weight_bytes / 4, .taps = l.taps};
        skip(&s);
        for (uint32_t c = 0; c < l.p->out_c;) {
            uint32_t pitch;
            const int8_t *x = ofr_generic_taps_of(&l, call, t, c / l.group_out, &pitch);
            for (const uint32_t end = c + l.group_out; c != end; c++) {
                uint32_t sums[TILE];
                if (l.p->form == 4) {
                    add_nibbles(&s, sums, x, pitch, t.n);
                } else {
                    add_bytes(&s, sums, x, pitch, t.n);
                }
                store_channel(&l, call, t, c, sums);
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

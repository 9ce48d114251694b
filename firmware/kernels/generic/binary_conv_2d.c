/* Binary convolution: signs of the input times signs of the weights, 32 taps in a word, by exclusive or and a count. */
#ifdef __ARM_FEATURE_DSP
#pragma GCC optimize("Os") /* other sets serve nearly all layers there */
#endif

#include "tile.h"

enum { TAPS_A_WORD = 32, WORDS_A_COUNT = 31 /* of which a byte holds the eight bits' count */ };

static uint32_t words_of(const layer *l) {
    return (l->taps + TAPS_A_WORD - 1) / TAPS_A_WORD;
}

static ofr_status check(const ofr_call *call) {
    ofr_status status = ofr_generic_check_layer(call, ANY);
    if (status == OFR_OK) {
        const layer l = ofr_generic_open(call, ANY);
        status = ofr_expect(call, OFR_E_PARAMS, l.weight_bytes, ofr_times(l.p->out_c, 4 * words_of(&l)));
        if (status == OFR_OK && call->scratch_bytes < 8 * words_of(&l)) {
            status = ofr_refuse(call, OFR_E_SCRATCH, call->scratch_bytes, 8 * words_of(&l));
        }
    }
    return status;
}

/* The signs under one output and which of them lie on the input, as words that are filled from their lowest bit. */
typedef struct signs {
    uint32_t *word, *mask;
    uint32_t bit;   /* of both words, the next */
    uint32_t found; /* taps on the input */
    int32_t zero;
} signs;

/* n signs of x; of taps beside the input where that is NULL. */
static void append(signs *s, const int8_t *x, uint32_t n) {
    uint32_t word = *s->word, mask = *s->mask, bit = s->bit;
    s->found += x == NULL ? 0 : n;
    for (; n != 0; n--) {
        if (bit == 0) { /* one behind the highest: the next words */
            *s->word++ = word;
            *s->mask++ = mask;
            word = mask = 0;
            bit = 1;
        }
        if (x != NULL) {
            word |= *x++ >= s->zero ? bit : 0;
            mask |= bit;
        }
        bit <<= 1;
    }
    *s->word = word;
    *s->mask = mask;
    s->bit = bit;
}

static uint32_t gather(const layer *l, const ofr_call *call, ofr_generic_tile t, uint32_t group) {
    const ofr_conv_2d_tile_params *p = l->p;
    uint32_t *words = call->scratch;
    signs s = {.word = words, .mask = words + words_of(l), .bit = 1, .zero = p->input_zero_point};
    *s.word = *s.mask = 0;
    const int8_t *in = (const int8_t *)call->in[0].data + group * l->group_in;
    int32_t y = (int32_t)(t.row * p->stride_h) - p->pad_top;
    for (uint32_t ky = 0; ky < p->kernel_h; ky++, y += p->dilation_h) {
        int32_t x = (int32_t)(t.col * p->stride_w) - p->pad_left;
        for (uint32_t kx = 0; kx < p->kernel_w; kx++, x += p->dilation_w) {
            const int beside = y < 0 || y >= p->rows || x < 0 || x >= p->cols;
            append(&s, beside ? NULL : in + (uint32_t)(y * p->cols + x) * p->in_c, l->group_in);
        }
    }
    return s.found;
}

/* Ones in each byte of a word. */
static inline uint32_t ones(uint32_t x) {
    x -= x >> 1 & 0x55555555u;
    x = (x & 0x33333333u) + (x >> 2 & 0x33333333u);
    return (x + (x >> 4)) & 0x0f0f0f0fu;
}

/* How many of the taps on the input have another sign than the weights. */
static uint32_t differing(const uint32_t *x, const uint32_t *mask, const uint32_t *w, uint32_t words) {
    uint32_t total = 0;
    while (words != 0) {
        uint32_t n = words < WORDS_A_COUNT ? words : WORDS_A_COUNT, bytes = 0;
        words -= n;
        for (; n != 0; n--) {
            bytes += ones((*x++ ^ *w++) & *mask++);
        }
        bytes = (bytes & 0x00ff00ffu) + (bytes >> 8 & 0x00ff00ffu);
        total += (bytes & 0xffff) + (bytes >> 16);
    }
    return total;
}

static void run(const ofr_call *call) {
    const layer l = ofr_generic_open(call, ANY);
    const uint32_t words = words_of(&l), *x = call->scratch;
    ofr_generic_tile t = {.n = 1};
    for (; t.row < l.p->out_rows; t.row++) {
        for (t.col = 0; t.col < l.p->out_cols; t.col++, t.pixel++) {
            const uint32_t *w = (const uint32_t *)(const void *)l.weights;
            for (uint32_t group = 0; group < l.p->groups; group++) {
                const uint32_t found = gather(&l, call, t, group);
                for (uint32_t c = 0; c < l.group_out; c++, w += words) {
                    const uint32_t sum = found - 2 * differing(x, x + words, w, words);
                    ofr_generic_write_any(&l, call, t, group * l.group_out + c, &sum);
                }
            }
        }
    }
}

const ofr_kernel ofr_kernel_generic_binary_conv_2d = {
    OFR_KERNEL_GENERIC_BINARY_CONV_2D,
    OFR_PACKING_GENERIC_BINARY_CONV_2D,
    sizeof(ofr_conv_2d_tile_params),
    1,
    1,
    0,
    check,
    run,
};

/* Convolution by pairs of pixels: how the pixels are paired and their taps gathered, for conv_2d_pair.c, which
 * multiplies, and for kernels that go on with its outputs. */
#ifndef OFR_GENERIC_CONV_2D_PAIR_H
#define OFR_GENERIC_CONV_2D_PAIR_H

#include "doubled.h"
#include "kernel.h"

/* A word holds a tap of two pixels: low + 2^16 * high. Two taps' products with one weight each stay below 2^15
 * in either half (the host checks), so the halves are told apart every two taps: 2^15 keeps the lower one from
 * borrowing. */
enum { HALF = 1 << 15, ROUND = 4 };

typedef struct ofr_generic_pair {
    const ofr_conv_2d_pair_params *p;
    const int32_t *bias;    /* doubled, input zero point folded in; rounded up to pairs of a group's channels */
    const ofr_scale *scale; /* the same, or one for all */
    const int8_t *weights;  /* [pairs][taps][2] */
    uint32_t taps;          /* of one output; its weights are rounded up to ROUND with zeros */
    uint32_t group_in, group_out;
    const int8_t *zero; /* group_in zero points */
} ofr_generic_pair;
typedef ofr_generic_pair layer;

static inline uint32_t round_up(uint32_t n, uint32_t power_of_two) {
    return (n + power_of_two - 1) & ~(power_of_two - 1);
}

static inline uint32_t even(uint32_t n) {
    return round_up(n, 2);
}

static uint32_t taps_of(const ofr_conv_2d_pair_params *p) {
    return ofr_times(ofr_times(p->kernel_h, p->kernel_w), p->in_c / p->groups);
}

static inline uint32_t padded(uint32_t taps) {
    return round_up(taps, ROUND);
}

/* Columns of the input under the windows of n neighbours. */
static uint32_t columns_of(const ofr_conv_2d_pair_params *p, uint32_t n) {
    return (n - 1) * p->stride_w + p->kernel_w;
}

/* Words of those columns, and those that the last window's ROUND touches. */
static uint32_t words_of(const ofr_conv_2d_pair_params *p, uint32_t n) {
    const uint32_t column = p->kernel_h * ((uint32_t)p->in_c / p->groups);
    return ofr_plus(ofr_times(columns_of(p, n), column), padded(taps_of(p)) - taps_of(p));
}

/* The parts of the parameter block, in order. */
static layer open_layer(const ofr_call *call) {
    const ofr_conv_2d_pair_params *p = call->params;
    layer l = {.p = p, .taps = taps_of(p)};
    l.group_in = p->in_c / p->groups;
    l.group_out = (uint32_t)p->out_c / p->groups;
    const uint32_t channels = even(l.group_out) * p->groups;
    l.bias = (const int32_t *)(const void *)(p + 1);
    l.scale = (const ofr_scale *)(const void *)(l.bias + channels);
    l.weights = (const int8_t *)(const void *)(l.scale + (p->per_channel ? channels : 1u));
    l.zero = memset((int32_t *)call->scratch + words_of(p, p->at_once), p->input_zero_point, l.group_in);
    return l;
}

/* conv_2d_pair's check, of a block and scratch that are longer by so much. */
ofr_status ofr_generic_check_pair(const ofr_call *call, uint32_t more_params, uint32_t more_scratch);

/* Defined where this is included: makes all channels of a group for n neighbours, whose outputs belong at `out` and
 * out_c further each, and their partners, `partner` behind them; their words are `pitch` apart. The pixel in the middle
 * of the last row comes twice: as a partner in the first call for that row, and as the last neighbour in its last. */
static void make_pixels(const layer *l, const ofr_call *call, uint32_t group, const int32_t *x, uint32_t pitch,
                        uint32_t n, int8_t *out, uint32_t partner);

#if defined(__ARM_ARCH_6M__)
/* What multiply_pair.S works on, in its order. */
typedef struct ofr_generic_pair_job {
    const int32_t *x, *end; /* taps rounded up to pairs */
    const int8_t *weights;
    uint32_t skip; /* bytes of weights behind end */
    const int32_t *bias;
    const ofr_scale *scale;
    uint32_t step; /* bytes to the next channel's */
    int8_t *out;
    const int8_t *last;
    uint32_t partner; /* from a pixel's output to the other's */
    int32_t center;
    uint32_t start; /* of sums, so that the lower halves' 2^15 leave it at 0 */
    uint32_t relu;  /* whether the zero point is -128, so that negative accumulators give -128 */
} ofr_generic_pair_job;

void ofr_generic_multiply_pair(const ofr_generic_pair_job *job);
void ofr_generic_pack_pair(int32_t *x, const int8_t *a, int32_t apart, uint32_t n, uint32_t columns, int32_t step,
                           uint32_t pitch);

/* The same, and the outputs are written there, not yet clamped. */
static void multiply(const layer *l, uint32_t group, const int32_t *x, uint32_t pitch, uint32_t n, int8_t *out,
                     uint32_t partner) {
    const uint32_t first = even(l->group_out) * group, step = l->p->per_channel, stored = padded(l->taps);
    ofr_generic_pair_job job = {
        .weights = l->weights + first * stored,
        .skip = 2 * (stored - even(l->taps)),
        .bias = l->bias + first,
        .scale = l->scale + first * step,
        .step = step * (uint32_t)sizeof(ofr_scale),
        .partner = partner,
        .center = 2 * l->p->output_zero_point + 1,
        .start = 0u - even(l->taps) / 2 * HALF,
        .relu = l->p->output_zero_point == -128,
    };
    for (; n != 0; n--, x += pitch, out += l->p->out_c) {
        job.x = x;
        job.end = x + even(l->taps);
        job.out = out;
        job.last = out + l->group_out;
        ofr_generic_multiply_pair(&job);
    }
}
static void pack(int32_t *x, const int8_t *a, const int8_t *b, uint32_t n, uint32_t columns, int32_t step,
                 uint32_t pitch) {
    ofr_generic_pack_pair(x, a, (int32_t)((uintptr_t)b - (uintptr_t)a), n, columns, step, pitch);
}
#else
/* All channels of a group for two pixels; one pixel when out_a == out_b. */
void ofr_generic_multiply_two(const ofr_generic_pair *l, uint32_t group, const int32_t *x, int8_t *out_a,
                              int8_t *out_b);

/* Columns of n channels from two places; apart by `step` bytes there and `pitch` words here. */
void ofr_generic_pack(int32_t *restrict x, const int8_t *restrict a, const int8_t *restrict b, uint32_t n,
                      uint32_t columns, int32_t step, uint32_t pitch);

static inline void pack(int32_t *x, const int8_t *a, const int8_t *b, uint32_t n, uint32_t columns, int32_t step,
                        uint32_t pitch) {
    ofr_generic_pack(x, a, b, n, columns, step, pitch);
}

static void multiply(const layer *l, uint32_t group, const int32_t *x, uint32_t pitch, uint32_t n, int8_t *out,
                     uint32_t partner) {
    for (; n != 0; n--, x += pitch, out += l->p->out_c) {
        ofr_generic_multiply_two(l, group, x, out, out + partner);
    }
}
#endif

/* A row of the input, or NULL where it is beside. */
static inline const int8_t *row_of(const layer *l, const int8_t *in, int32_t y) {
    return y < 0 || y >= l->p->rows ? NULL : in + (uint32_t)y * l->p->cols * l->p->in_c;
}

static inline const int8_t *tap_of(const layer *l, const int8_t *row, int32_t x) {
    return row == NULL || x < 0 || x >= l->p->cols ? l->zero : row + (uint32_t)x * l->p->in_c;
}

/* The columns under neighbours whose first window begins at (y, x), and their partners', which are `down` and
 * `right` of them. `in` is at the group's first channel. */
static void gather(const layer *l, const int8_t *in, int32_t y, int32_t x, int32_t down, int32_t right,
                   uint32_t columns, int32_t *words) {
    const ofr_conv_2d_pair_params *p = l->p;
    const uint32_t n = l->group_in, pitch = p->kernel_h * n;
    const int inside = x >= 0 && x + ((int32_t)columns - 1) * p->dilation_w + right < p->cols;
    for (const int32_t *end = words + pitch; words != end; words += n, y += p->dilation_h) {
        const int8_t *row_a = row_of(l, in, y), *row_b = row_of(l, in, y + down);
        if (inside && row_a != NULL && row_b != NULL) {
            pack(words, row_a + (uint32_t)x * p->in_c, row_b + (uint32_t)(x + right) * p->in_c, n, columns,
                 p->in_c * p->dilation_w, pitch);
            continue;
        }
        int32_t at = x, *to = words;
        for (uint32_t i = 0; i < columns; i++, at += p->dilation_w, to += pitch) {
            pack(to, tap_of(l, row_a, at), tap_of(l, row_b, at + right), n, 1, 0, n);
        }
    }
}

/* A row of output pixels, and as many `down` and `right` of them. */
typedef struct span {
    uint32_t row, cols, down, right;
} span;

/* `n` neighbours and their partners, all channels. */
static void run_pixels(const layer *l, const ofr_call *call, span at, uint32_t col, uint32_t n) {
    const ofr_conv_2d_pair_params *p = l->p;
    int32_t *x = call->scratch;
    const int8_t *in = (const int8_t *)call->in[0].data;
    const int32_t y = (int32_t)(at.row * p->stride_h) - p->pad_top, left = (int32_t)(col * p->stride_w) - p->pad_left;
    const uint32_t pitch = p->stride_w * p->kernel_h * l->group_in;
    int8_t *out = (int8_t *)call->out[0].data + (at.row * p->out_cols + col) * p->out_c;
    const uint32_t partner = (at.down * p->out_cols + at.right) * p->out_c;
    for (uint32_t g = 0; g < p->groups; g++, in += l->group_in, out += l->group_out) {
        gather(l, in, y, left, (int32_t)(at.down * p->stride_h), (int32_t)(at.right * p->stride_w), columns_of(p, n),
               x);
        make_pixels(l, call, g, x, pitch, n, out, partner);
    }
}

static void run_row(const layer *l, const ofr_call *call, span at) {
    const uint32_t most = l->p->at_once;
    for (uint32_t col = 0; col < at.cols; col += most) {
        const uint32_t left = at.cols - col;
        run_pixels(l, call, at, col, left < most ? left : most);
    }
}

static void run_pairs(const ofr_call *call) {
    const layer l = open_layer(call);
    const ofr_conv_2d_pair_params *p = l.p;
    const uint32_t half = p->out_rows / 2;
    for (uint32_t row = 0; row < half; row++) {
        run_row(&l, call, (span){row, p->out_cols, half, 0});
    }
    if (p->out_rows & 1) { /* the last row's halves; of an odd number they share a pixel */
        run_row(&l, call, (span){2 * half, p->out_cols - p->out_cols / 2u, 0, p->out_cols / 2u});
    }
}

#endif

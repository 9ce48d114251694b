/* Convolution and fully connected, int8: two pixels in one word, so that one multiplication serves both. */
#include "doubled.h"
#include "kernel.h"

/* A word holds a tap of two pixels: low + 2^16 * high. Two taps' products with one weight each stay below 2^15
 * in either half (the host checks), so the halves are told apart every two taps: 2^15 keeps the lower one from
 * borrowing. */
enum { HALF = 1 << 15, ROUND = 4 };

typedef struct layer {
    const ofr_conv_2d_pair_params *p;
    const int32_t *bias;    /* doubled, input zero point folded in; rounded up to pairs of a group's channels */
    const ofr_scale *scale; /* the same, or one for all */
    const int8_t *weights;  /* [pairs][taps][2] */
    uint32_t taps;          /* of one output; its weights are rounded up to ROUND with zeros */
    uint32_t group_in, group_out;
    const int8_t *zero; /* group_in zero points */
} layer;

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

static ofr_status check(const ofr_call *call) {
    const ofr_conv_2d_pair_params *p = call->params;
    if (p->groups == 0 || p->in_c == 0 || p->in_c % p->groups != 0 || p->out_c % p->groups != 0) {
        return ofr_refuse(call, OFR_E_VALUE, p->groups, p->in_c);
    }
    if (p->out_c == 0 || p->kernel_h == 0 || p->kernel_w == 0) { /* pixels without bytes could be any number */
        return ofr_refuse(call, OFR_E_VALUE, 0, 1);
    }
    if (p->per_channel > 1 || p->input_zero_point < -128 || p->input_zero_point > 127) {
        return ofr_refuse(call, OFR_E_VALUE, (uint32_t)p->input_zero_point, 127);
    }
    if (!ofr_window_is_sane(p->kernel_h, p->stride_h, p->dilation_h) ||
        !ofr_window_is_sane(p->kernel_w, p->stride_w, p->dilation_w)) {
        return ofr_refuse(call, OFR_E_VALUE, p->kernel_h, 4096);
    }
    if (call->in[0].dtype != OFR_S8 || call->out[0].dtype != OFR_S8) {
        return ofr_refuse(call, OFR_E_DTYPE, call->in[0].dtype, OFR_S8);
    }
    if (taps_of(p) > 65536) {
        return ofr_refuse(call, OFR_E_VALUE, taps_of(p), 65536); /* 2^15 halves of 2^16 fit an int32 sum */
    }
    if (p->at_once == 0 || (p->at_once > 1 && p->dilation_w > 1)) {
        return ofr_refuse(call, OFR_E_VALUE, p->at_once, 1);
    }
    const uint32_t in = ofr_times(ofr_times(p->rows, p->cols), p->in_c);
    const uint32_t out = ofr_times(ofr_times(p->out_rows, p->out_cols), p->out_c);
    const uint32_t taps = padded(taps_of(p)), group_in = p->in_c / p->groups;
    const uint32_t channels = even((uint32_t)p->out_c / p->groups) * p->groups; /* at most 2^17 */
    const uint32_t words = channels + 2u * (p->per_channel ? channels : 1u);
    const uint32_t block = ofr_plus((uint32_t)sizeof *p + 4u * words, ofr_times(channels, taps));
    const uint32_t scratch = ofr_plus(ofr_times(4, words_of(p, p->at_once)), group_in);
    ofr_status status = ofr_expect(call, OFR_E_SHAPE, call->in[0].bytes, in);
    if (status == OFR_OK) {
        status = ofr_expect(call, OFR_E_SHAPE, call->out[0].bytes, out);
    }
    if (status == OFR_OK) {
        status = ofr_expect(call, OFR_E_PARAMS, call->params_bytes, block);
    }
    if (status == OFR_OK && call->scratch_bytes < scratch) {
        status = ofr_refuse(call, OFR_E_SCRATCH, call->scratch_bytes, scratch);
    }
    return status;
}

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

/* All channels of a group for n neighbours and their partners, whose words are `pitch` apart. */
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
#else
/* Of two pixels and two channels: `both` halves modulo 2^32, and the second pixel's alone. */
typedef struct sums {
    uint32_t both0, both1;
    int32_t high0, high1;
} sums;

/* Two taps, and on to the next; half is HALF, in a register. The empty assembly keeps gcc from regrouping the
 * sums, which must stay chains of multiply-accumulate, and from loading what it has no registers for. */
static inline void add_two(sums *s, const int32_t **x, const int8_t *w, uint32_t half) {
    uint32_t x0, x1;
#if defined(__thumb2__) /* 5 of 60 instructions, no cycle more */
    __asm__ volatile("ldrd %0, %1, [%2], #8" : "=&r"(x0), "=&r"(x1), "+r"(*x) : : "memory");
#else
    x0 = (uint32_t)(*x)[0];
    x1 = (uint32_t)(*x)[1];
    *x += 2;
#endif
    const int32_t w0 = w[0], w1 = w[1], w2 = w[2], w3 = w[3];
    uint32_t two0 = half + x0 * (uint32_t)w0, two1 = half + x0 * (uint32_t)w1;
    __asm__("" : "+r"(two0), "+r"(two1));
    two0 += x1 * (uint32_t)w2;
    two1 += x1 * (uint32_t)w3;
    s->both0 += two0;
    s->both1 += two1;
    s->high0 += (int32_t)two0 >> 16;
    s->high1 += (int32_t)two1 >> 16;
    __asm__ volatile("" : "+r"(s->both0), "+r"(s->both1), "+r"(s->high0), "+r"(s->high1) : : "memory");
}

static inline const int8_t *add_taps(sums *s, const int32_t *x, const int32_t *end, const int8_t *w, uint32_t half) {
    const uint32_t rest = (uint32_t)(end - x) & ROUND;
    for (end -= rest; x != end; w += 16) {
        add_two(s, &x, w, half);
        add_two(s, &x, w + 4, half);
        add_two(s, &x, w + 8, half);
        add_two(s, &x, w + 12, half);
    }
    if (rest) {
        add_two(s, &x, w, half);
        add_two(s, &x, w + 4, half);
        w += 8;
    }
    return w;
}

/* All channels of a group for two pixels; one pixel when out_a == out_b. */
static __attribute__((noinline)) void multiply_two(const layer *l, uint32_t group, const int32_t *x, int8_t *out_a,
                                                   int8_t *out_b) {
    const uint32_t first = even(l->group_out) * group, step = l->p->per_channel;
    const uint32_t taps = padded(l->taps), start = 0u - taps / 2 * HALF;
    const int32_t *bias = l->bias + first;
    const ofr_scale *scale = l->scale + first * step;
    const int8_t *w = l->weights + first * taps;
    const int32_t center = 2 * l->p->output_zero_point + 1;
    uint32_t half = HALF;
    __asm__("" : "+r"(half));
    for (const int8_t *last = out_a + l->group_out; out_a < last; out_a += 2, out_b += 2, bias += 2) {
        sums s = {start, start, 0, 0};
        w = add_taps(&s, x, x + taps, w, half);
        const uint32_t bias0 = (uint32_t)bias[0], bias1 = (uint32_t)bias[1];
        const ofr_doubled d0 = ofr_doubled_of(scale, center), d1 = ofr_doubled_of(scale + step, center);
        scale += 2 * step;
        out_a[0] = ofr_requantize_doubled(d0, bias0 + 2 * (s.both0 - ((uint32_t)s.high0 << 16)));
        out_b[0] = ofr_requantize_doubled(d0, bias0 + 2 * (uint32_t)s.high0);
        if (out_a + 1 < last) {
            out_a[1] = ofr_requantize_doubled(d1, bias1 + 2 * (s.both1 - ((uint32_t)s.high1 << 16)));
            out_b[1] = ofr_requantize_doubled(d1, bias1 + 2 * (uint32_t)s.high1);
        }
    }
}

/* All channels of a group for n neighbours and their partners, whose words are `pitch` apart. */
static void multiply(const layer *l, uint32_t group, const int32_t *x, uint32_t pitch, uint32_t n, int8_t *out,
                     uint32_t partner) {
    for (; n != 0; n--, x += pitch, out += l->p->out_c) {
        multiply_two(l, group, x, out, out + partner);
    }
}
#endif

/* Columns of n channels from two places; apart by `step` bytes there and `pitch` words here. */
#if defined(__ARM_ARCH_6M__)
static void pack(int32_t *x, const int8_t *a, const int8_t *b, uint32_t n, uint32_t columns, int32_t step,
                 uint32_t pitch) {
    ofr_generic_pack_pair(x, a, (int32_t)((uintptr_t)b - (uintptr_t)a), n, columns, step, pitch);
}
#else
static __attribute__((noinline)) void pack(int32_t *restrict x, const int8_t *restrict a, const int8_t *restrict b,
                                           uint32_t n, uint32_t columns, int32_t step, uint32_t pitch) {
    if (step == (int32_t)n && pitch == n) {
        n *= columns;
        columns = 1;
    }
    step -= (int32_t)n;
    pitch -= n;
    for (; columns != 0; columns--, a += step, b += step, x += pitch) {
        uint32_t left = n;
        for (; left >= 4; left -= 4, a += 4, b += 4, x += 4) {
            x[0] = a[0] + b[0] * 65536;
            x[1] = a[1] + b[1] * 65536;
            x[2] = a[2] + b[2] * 65536;
            x[3] = a[3] + b[3] * 65536;
        }
        for (; left != 0; left--) {
            *x++ = *a++ + *b++ * 65536;
        }
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
        multiply(l, g, x, pitch, n, out, partner);
    }
}

static void run_row(const layer *l, const ofr_call *call, span at) {
    const uint32_t most = l->p->at_once;
    for (uint32_t col = 0; col < at.cols; col += most) {
        const uint32_t left = at.cols - col;
        run_pixels(l, call, at, col, left < most ? left : most);
    }
}

static void run(const ofr_call *call) {
    const layer l = open_layer(call);
    const ofr_conv_2d_pair_params *p = l.p;
    const uint32_t half = p->out_rows / 2;
    for (uint32_t row = 0; row < half; row++) {
        run_row(&l, call, (span){row, p->out_cols, half, 0});
    }
    if (p->out_rows & 1) { /* the last row's halves; of an odd number they share a pixel */
        run_row(&l, call, (span){2 * half, p->out_cols - p->out_cols / 2u, 0, p->out_cols / 2u});
    }
    ofr_clamp_s8((int8_t *)call->out[0].data, call->out[0].bytes, p->act_min, p->act_max);
}

const ofr_kernel ofr_kernel_generic_conv_2d_pair = {
    OFR_KERNEL_GENERIC_CONV_2D_PAIR,
    OFR_PACKING_GENERIC_CONV_2D_PAIR,
    sizeof(ofr_conv_2d_pair_params),
    1,
    1,
    0,
    check,
    run,
};

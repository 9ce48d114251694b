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
    uint32_t down, right; /* from a pixel in the first half to its partner in the other */
    const int8_t *zero;   /* group_in zero points */
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
    l.down = (uint32_t)p->out_rows - p->half_rows;
    l.right = (uint32_t)p->out_cols - p->half_cols;
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
    if (p->half_rows > p->out_rows || p->half_cols > p->out_cols) {
        return ofr_refuse(call, OFR_E_VALUE, p->half_rows, p->out_rows);
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

/* Of two pixels and two channels: `both` halves modulo 2^32, and the second pixel's alone. */
typedef struct sums {
    uint32_t both0, both1;
    int32_t high0, high1;
} sums;

#if defined(__ARM_ARCH_6M__)
/* Two taps of two channels: two products in r6 and r7, then apart. Offsets in registers load with the sign. */
#define TWO_TAPS                                                                                                       \
    "ldmia %[x]!, {r4, r5}\n\t"                                                                                        \
    "ldrsb r6, [%[w], %[o0]]\n\t"                                                                                      \
    "muls r6, r4\n\t"                                                                                                  \
    "ldrsb r7, [%[w], %[o1]]\n\t"                                                                                      \
    "muls r7, r4\n\t"                                                                                                  \
    "adds %[w], #2\n\t"                                                                                                \
    "ldrsb r4, [%[w], %[o0]]\n\t"                                                                                      \
    "muls r4, r5\n\t"                                                                                                  \
    "adds r6, r4\n\t"                                                                                                  \
    "ldrsb r4, [%[w], %[o1]]\n\t"                                                                                      \
    "muls r4, r5\n\t"                                                                                                  \
    "adds r7, r4\n\t"                                                                                                  \
    "adds %[w], #2\n\t"                                                                                                \
    "add r6, %[half]\n\t"                                                                                              \
    "add %[both0], r6\n\t"                                                                                             \
    "asrs r6, #16\n\t"                                                                                                 \
    "add %[high0], r6\n\t"                                                                                             \
    "add r7, %[half]\n\t"                                                                                              \
    "add %[both1], r7\n\t"                                                                                             \
    "asrs r7, #16\n\t"                                                                                                 \
    "add %[high1], r7\n\t"

enum { ADDED = 2 }; /* a multiple of which taps are added */

/* By hand, all sums in high registers: gcc takes half as many instructions more. */
static inline const int8_t *add_taps(sums *s, const int32_t *x, const int32_t *end, const int8_t *w, uint32_t half) {
    register uint32_t odd __asm__("r6") = (uint32_t)(end - x) << 30; /* negative: one TWO_TAPS more than pairs */
    register const int32_t *last __asm__("r7") = end;
    __asm__ volatile("mov lr, r7\n\t"
                     "tst r6, r6\n\t"
                     "bmi 2f\n"
                     "1:\n\t" TWO_TAPS "2:\n\t" TWO_TAPS "cmp %[x], lr\n\t"
                     "bne 1b"
                     : [both0] "+h"(s->both0), [high0] "+h"(s->high0), [both1] "+h"(s->both1), [high1] "+h"(s->high1),
                       [x] "+l"(x), [w] "+l"(w), "+r"(odd), "+r"(last)
                     : [o0] "l"(0), [o1] "l"(1), [half] "h"(half)
                     : "r4", "r5", "lr", "cc", "memory");
    return w;
}
#else
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

enum { ADDED = ROUND }; /* a multiple of which taps are added */

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
#endif

/* All channels of a group for two pixels; one pixel when out_a == out_b. */
static __attribute__((noinline)) void multiply(const layer *l, uint32_t group, const int32_t *x, int8_t *out_a,
                                               int8_t *out_b) {
    const uint32_t first = even(l->group_out) * group, step = l->p->per_channel;
    const uint32_t stored = padded(l->taps), taps = round_up(l->taps, ADDED), start = 0u - taps / 2 * HALF;
    const int32_t *bias = l->bias + first;
    const ofr_scale *scale = l->scale + first * step;
    const int8_t *w = l->weights + first * stored;
    const int32_t center = 2 * l->p->output_zero_point + 1;
    uint32_t half = HALF;
    __asm__("" : "+r"(half));
    for (const int8_t *last = out_a + l->group_out; out_a < last; out_a += 2, out_b += 2, bias += 2) {
        sums s = {start, start, 0, 0};
        w = add_taps(&s, x, x + taps, w, half) + 2 * (stored - taps);
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

/* Columns of n channels from two places; apart by `step` bytes there and `pitch` words here. */
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

/* A row of the input, or NULL where it is beside. */
static inline const int8_t *row_of(const layer *l, const int8_t *in, int32_t y) {
    return y < 0 || y >= l->p->rows ? NULL : in + (uint32_t)y * l->p->cols * l->p->in_c;
}

static inline const int8_t *tap_of(const layer *l, const int8_t *row, int32_t x) {
    return row == NULL || x < 0 || x >= l->p->cols ? l->zero : row + (uint32_t)x * l->p->in_c;
}

/* The columns under neighbours whose first window begins at (y, x), and their partners' in the other half. `in` is
 * at the group's first channel. */
static void gather(const layer *l, const int8_t *in, int32_t y, int32_t x, uint32_t columns, int32_t *words) {
    const ofr_conv_2d_pair_params *p = l->p;
    const uint32_t n = l->group_in, pitch = p->kernel_h * n;
    const int32_t right = (int32_t)l->right * p->stride_w, down = (int32_t)l->down * p->stride_h;
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

/* `n` neighbours and their partners, all channels. */
static void run_pixels(const layer *l, const ofr_call *call, uint32_t row, uint32_t col, uint32_t n) {
    const ofr_conv_2d_pair_params *p = l->p;
    int32_t *x = call->scratch;
    const int8_t *in = (const int8_t *)call->in[0].data;
    const int32_t top = (int32_t)(row * p->stride_h) - p->pad_top, left = (int32_t)(col * p->stride_w) - p->pad_left;
    const uint32_t pitch = p->stride_w * p->kernel_h * l->group_in;
    int8_t *out = (int8_t *)call->out[0].data + (row * p->out_cols + col) * p->out_c;
    const uint32_t partner = (l->down * p->out_cols + l->right) * p->out_c;
    for (uint32_t g = 0; g < p->groups; g++, in += l->group_in, out += l->group_out) {
        gather(l, in, top, left, columns_of(p, n), x);
        int8_t *to = out;
        for (uint32_t i = 0; i < n; i++, to += p->out_c) {
            multiply(l, g, x + i * pitch, to, to + partner);
        }
    }
}

static void run(const ofr_call *call) {
    const layer l = open_layer(call);
    const ofr_conv_2d_pair_params *p = l.p;
    for (uint32_t row = 0; row < p->half_rows; row++) {
        for (uint32_t col = 0; col < p->half_cols; col += p->at_once) {
            const uint32_t left = p->half_cols - col;
            run_pixels(&l, call, row, col, left < p->at_once ? left : p->at_once);
        }
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

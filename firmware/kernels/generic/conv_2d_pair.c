/* Convolution and fully connected, int8: two pixels in one word, so that one multiplication serves both. */
#include "doubled.h"
#include "kernel.h"

/* A word holds a tap of two pixels: low + 2^16 * high. Two taps' products with one weight each stay below 2^15
 * in either half (the host checks), so the halves are told apart every two taps: 2^15 keeps the lower one from
 * borrowing. */
enum { HALF = 1 << 15, ROUND = 4 };

typedef struct layer {
    const ofr_conv_2d_pair_params *p;
    const int32_t *bias;   /* doubled, input zero point folded in; rounded up to pairs of a group's channels */
    const ofr_scale *scale; /* the same, or one for all */
    const int8_t *weights; /* [pairs][taps][2] */
    uint32_t taps;         /* of one output, rounded up to ROUND with zero weights */
    uint32_t group_in, group_out;
} layer;

static uint32_t even(uint32_t n) {
    return (n + 1) & ~1u;
}

static uint32_t taps_of(const ofr_conv_2d_pair_params *p) {
    return ofr_times(ofr_times(p->kernel_h, p->kernel_w), p->in_c / p->groups);
}

static uint32_t padded(uint32_t taps) {
    return (taps + ROUND - 1) & ~(uint32_t)(ROUND - 1);
}

/* The parts of the parameter block, in order. */
static layer open_layer(const ofr_conv_2d_pair_params *p) {
    layer l = {.p = p, .taps = padded(taps_of(p))};
    l.group_in = p->in_c / p->groups;
    l.group_out = (uint32_t)p->out_c / p->groups;
    const uint32_t channels = even(l.group_out) * p->groups;
    l.bias = (const int32_t *)(const void *)(p + 1);
    l.scale = (const ofr_scale *)(const void *)(l.bias + channels);
    l.weights = (const int8_t *)(const void *)(l.scale + (p->per_channel ? channels : 1u));
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
    const uint32_t in = ofr_times(ofr_times(p->rows, p->cols), p->in_c);
    const uint32_t out = ofr_times(ofr_times(p->out_rows, p->out_cols), p->out_c);
    const uint32_t taps = padded(taps_of(p)), group_in = p->in_c / p->groups;
    const uint32_t channels = even((uint32_t)p->out_c / p->groups) * p->groups; /* at most 2^17 */
    const uint32_t words = channels + 2u * (p->per_channel ? channels : 1u);
    const uint32_t block = ofr_plus((uint32_t)sizeof *p + 4u * words, ofr_times(channels, taps));
    const uint32_t scratch = 4u * taps + group_in;
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
/* Adds all taps from x to end. By hand, with the sums in high registers: gcc takes half as many instructions more. */
static inline const int8_t *add_taps(sums *s, const int32_t *x, const int32_t *end, const int8_t *w, uint32_t half) {
    uint32_t x0, x1, first, second;
    __asm__ volatile("1:\n\t"
                     "ldr %2, [%6]\n\t"
                     "ldr %3, [%6, #4]\n\t"
                     "ldrb %4, [%7, #0]\n\t"
                     "sxtb %4, %4\n\t"
                     "muls %4, %2\n\t"
                     "add %4, %11\n\t"
                     "ldrb %5, [%7, #2]\n\t"
                     "sxtb %5, %5\n\t"
                     "muls %5, %3\n\t"
                     "adds %4, %5\n\t"
                     "add %0, %4\n\t"
                     "asrs %4, #16\n\t"
                     "add %1, %4\n\t"
                     "ldrb %4, [%7, #1]\n\t"
                     "sxtb %4, %4\n\t"
                     "muls %4, %2\n\t"
                     "add %4, %11\n\t"
                     "ldrb %5, [%7, #3]\n\t"
                     "sxtb %5, %5\n\t"
                     "muls %5, %3\n\t"
                     "adds %4, %5\n\t"
                     "add %8, %4\n\t"
                     "asrs %4, #16\n\t"
                     "add %9, %4\n\t"
                     "adds %6, #8\n\t"
                     "adds %7, #4\n\t"
                     "cmp %6, %10\n\t"
                     "bne 1b"
                     : "+h"(s->both0), "+h"(s->high0), "=&l"(x0), "=&l"(x1), "=&l"(first), "=&l"(second), "+l"(x),
                       "+l"(w), "+h"(s->both1), "+h"(s->high1)
                     : "l"(end), "h"(half)
                     : "cc", "memory");
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

/* Adds all taps from x to end, a multiple of ROUND; returns where the next pair's weights begin. */
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
    const uint32_t taps = l->taps, start = 0u - (taps / 2) * HALF;
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

/* n taps of two pixels. */
static __attribute__((noinline)) int32_t *pack(int32_t *restrict x, const int8_t *restrict a, const int8_t *restrict b, uint32_t n) {
    for (; n >= 4; n -= 4, a += 4, b += 4, x += 4) {
        x[0] = a[0] + b[0] * 65536;
        x[1] = a[1] + b[1] * 65536;
        x[2] = a[2] + b[2] * 65536;
        x[3] = a[3] + b[3] * 65536;
    }
    for (; n != 0; n--) {
        *x++ = *a++ + *b++ * 65536;
    }
    return x;
}

/* The top left corner of an output pixel's window. */
typedef struct corner {
    int32_t y, x;
    uint32_t col; /* of the output */
} corner;

static corner next(const ofr_conv_2d_pair_params *p, corner at) {
    at.col++;
    at.x += p->stride_w;
    if (at.col == p->out_cols) {
        at = (corner){at.y + p->stride_h, -p->pad_left, 0};
    }
    return at;
}

/* A row of a window from its first column on, or NULL where it is beside the input. */
static inline const int8_t *row_of(const layer *l, const int8_t *in, corner at, int32_t dy) {
    const int32_t y = at.y + dy;
    return y < 0 || y >= l->p->rows ? NULL : in + (uint32_t)y * l->p->cols * l->p->in_c;
}

static inline const int8_t *tap_of(const layer *l, const int8_t *row, int32_t x, const int8_t *zero) {
    return row == NULL || x < 0 || x >= l->p->cols ? zero : row + (uint32_t)x * l->p->in_c;
}

/* The windows of two pixels; `in` is at the group's first channel, `zero` are group_in zero points. */
static void gather(const layer *l, const int8_t *in, corner a, corner b, int32_t *x, const int8_t *zero) {
    const ofr_conv_2d_pair_params *p = l->p;
    const uint32_t n = l->group_in;
    const int32_t last = (int32_t)p->cols - p->kernel_w;
    const int dense = p->dilation_w == 1 && p->groups == 1 && a.x >= 0 && b.x >= 0 && a.x <= last && b.x <= last;
    for (int32_t ky = 0, dy = 0; ky < p->kernel_h; ky++, dy += p->dilation_h) {
        const int8_t *row_a = row_of(l, in, a, dy), *row_b = row_of(l, in, b, dy);
        if (dense && row_a != NULL && row_b != NULL) {
            x = pack(x, row_a + (uint32_t)a.x * n, row_b + (uint32_t)b.x * n, p->kernel_w * n);
            continue;
        }
        for (int32_t kx = 0, dx = 0; kx < p->kernel_w; kx++, dx += p->dilation_w) {
            x = pack(x, tap_of(l, row_a, a.x + dx, zero), tap_of(l, row_b, b.x + dx, zero), n);
        }
    }
}

static void run(const ofr_call *call) {
    const layer l = open_layer(call->params);
    const ofr_conv_2d_pair_params *p = l.p;
    const int8_t *in = (const int8_t *)call->in[0].data;
    int8_t *out = (int8_t *)call->out[0].data;
    int32_t *x = call->scratch;
    int8_t *zero = (int8_t *)(x + l.taps);
    memset(zero, p->input_zero_point, l.group_in);
    const uint32_t pixels = (uint32_t)p->out_rows * p->out_cols;
    corner b = {-p->pad_top, -p->pad_left, 0};
    for (uint32_t i = 0; i < pixels; i += 2) {
        const corner a = b;
        const uint32_t second = i + 1 < pixels ? p->out_c : 0;
        b = second ? next(p, a) : a;
        for (uint32_t g = 0; g < p->groups; g++) {
            gather(&l, in + g * l.group_in, a, b, x, zero);
            multiply(&l, g, x, out + g * l.group_out, out + second + g * l.group_out);
        }
        out += p->out_c + second;
        b = next(p, b);
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

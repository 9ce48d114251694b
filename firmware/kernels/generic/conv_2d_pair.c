/* Convolution and fully connected, int8: two pixels in one word, so that one multiplication serves both. */
#ifdef __ARM_FEATURE_DSP
#pragma GCC optimize("Os") /* other sets serve nearly all layers there */
#endif

#include "conv_2d_pair.h"

ofr_status ofr_generic_check_pair(const ofr_call *call, uint32_t more_params, uint32_t more_scratch) {
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
    const uint32_t block = ofr_plus((uint32_t)sizeof *p + 4u * words + more_params, ofr_times(channels, taps));
    const uint32_t scratch = ofr_plus(ofr_times(4, words_of(p, p->at_once)), group_in + more_scratch);
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

#if !defined(__ARM_ARCH_6M__)
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

void ofr_generic_multiply_two(const layer *l, uint32_t group, const int32_t *x, int8_t *out_a, int8_t *out_b) {
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

void ofr_generic_pack(int32_t *restrict x, const int8_t *restrict a, const int8_t *restrict b, uint32_t n,
                      uint32_t columns, int32_t step, uint32_t pitch) {
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

static ofr_status check(const ofr_call *call) {
    return ofr_generic_check_pair(call, 0, 0);
}

static void make_pixels(const layer *l, const ofr_call *call, uint32_t group, const int32_t *x, uint32_t pitch,
                        uint32_t n, int8_t *out, uint32_t partner) {
    (void)call;
    multiply(l, group, x, pitch, n, out, partner);
}

static void run(const ofr_call *call) {
    const ofr_conv_2d_pair_params *p = call->params;
    run_pairs(call);
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

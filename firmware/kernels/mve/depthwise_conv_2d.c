/* Depthwise convolution of any window, stride, dilation and multiplier, int8, on Helium: eight channels of an output.
 *
 * Scratch: the address of each tap's pixel; where channels have a multiplier, the input channels of each eight; then a
 * pixel of padding. The block holds behind the struct for each eight
 * output channels int32 biases, multipliers and -exponents, in the order 0, 2, 4, 6, 1, 3, 5, 7 in which narrowing
 * interleaves them, then eight weights of each tap. */
#pragma GCC optimize("Os")

#include <arm_mve.h>

#include "sizes.h"
#include "tile.h"

enum { LANES = 8, TAIL = 96 };

typedef struct layer {
    const ofr_mve_depthwise_conv_2d_params *p;
    uint32_t n; /* taps */
    const uint8_t **taps;
    const uint16_t *places; /* NULL: no multiplier */
    const uint8_t *padding;
    uint32_t is_signed;
} layer;

static uint32_t taps_of(const ofr_mve_depthwise_conv_2d_params *p) {
    return (uint32_t)p->kernel_h * p->kernel_w;
}

static ofr_status check(const ofr_call *call) {
    const ofr_mve_depthwise_conv_2d_params *p = call->params;
    if (p->in_c == 0 || p->multiplier == 0 || p->kernel_h == 0 || p->kernel_w == 0 || p->out_rows == 0 ||
        p->out_cols == 0) {
        return ofr_refuse(call, OFR_E_VALUE, 0, 1);
    }
    if (!ofr_window_is_sane(p->kernel_h, p->stride_h, p->dilation_h) ||
        !ofr_window_is_sane(p->kernel_w, p->stride_w, p->dilation_w)) {
        return ofr_refuse(call, OFR_E_VALUE, p->kernel_h, 4096);
    }
    const uint32_t out_c = ofr_times(p->in_c, p->multiplier), groups = ofr_plus(out_c, LANES - 1) / LANES;
    const uint32_t in = ofr_times(ofr_times(p->rows, p->cols), p->in_c);
    const uint32_t out = ofr_times(ofr_times(p->out_rows, p->out_cols), out_c);
    const uint32_t blocks = ofr_times(groups, TAIL + LANES * taps_of(p));
    const uint32_t places = p->multiplier > 1 ? ofr_times(groups, LANES * sizeof(uint16_t)) : 0;
    return ofr_mve_check_sizes(call, in, out, ofr_plus(sizeof *p, blocks), ofr_plus(places, 4u * taps_of(p) + p->in_c));
}

/* Products of taps and weights, added to the sums of even and odd channels. */
#define TAPS(load)                                                                                       \
    __asm__ volatile("dls lr, %[n]\n"                                                                    \
                     "1: ldr %[at], [%[taps]], #4\n" load                                                \
                     "vldrb.s16 q1, [%[weights]], #8\n"                                                  \
                     "vmullb.s16 q2, q0, q1\n"                                                           \
                     "vmullt.s16 q3, q0, q1\n"                                                           \
                     "vadd.i32 %q[even], %q[even], q2\n"                                                 \
                     "vadd.i32 %q[odd], %q[odd], q3\n"                                                   \
                     "le lr, 1b\n"                                                                       \
                     : [taps] "+l"(taps), [weights] "+l"(weights), [even] "+w"(even), [odd] "+w"(odd),   \
                       [at] "=&l"(at)                                                                    \
                     : [n] "r"(n), [channel] "r"(channel), [places] "w"(places), "Up"(vctp16q(left))     \
                     : "q0", "q1", "q2", "q3", "lr", "memory")

/* The channels of one output. */
static void channels(const layer *l, int8_t *out) {
    const ofr_mve_depthwise_conv_2d_params *p = l->p;
    const int32_t *tail = (const int32_t *)(const void *)(p + 1);
    const uint32_t out_c = (uint32_t)p->in_c * p->multiplier, n = l->n;
    for (uint32_t channel = 0; channel < out_c; channel += LANES, out += LANES) {
        const int8_t *weights = (const int8_t *)(tail + TAIL / 4);
        const uint8_t *const *taps = l->taps;
        const uint32_t left = out_c - channel;
        int32x4_t even = vldrwq_s32(tail), odd = vldrwq_s32(tail + 4);
        const uint16x8_t places = l->places == NULL ? vdupq_n_u16(0) : vldrhq_u16(l->places + channel);
        const uint8_t *at;
        if (l->places == NULL && left >= LANES) {
            TAPS("add %[at], %[channel]\n" "vldrb.s16 q0, [%[at]]\n");
        } else if (l->places == NULL) {
            TAPS("add %[at], %[channel]\n" "vpst\n" "vldrbt.s16 q0, [%[at]]\n");
        } else {
            TAPS("vldrb.s16 q0, [%[at], %q[places]]\n");
        }
        even = vqrdmulhq_s32(even, vldrwq_s32(tail + 8));
        odd = vqrdmulhq_s32(odd, vldrwq_s32(tail + 12));
        if (l->is_signed) {
            even = vqaddq_s32(even, vshrq_n_s32(even, 31));
            odd = vqaddq_s32(odd, vshrq_n_s32(odd, 31));
        }
        even = vrshlq_s32(even, vldrwq_s32(tail + 16));
        odd = vrshlq_s32(odd, vldrwq_s32(tail + 20));
        uint16x8_t q;
        if (l->is_signed) {
            int16x8_t s = vqmovntq_s32(vqmovnbq_s32(vdupq_n_s16(0), even), odd);
            s = vqaddq_n_s16(s, (int16_t)p->add[0]);
            q = vreinterpretq_u16_s8(vqmovnbq_s16(vdupq_n_s8(0), s));
        } else {
            q = vqmovuntq_s32(vqmovunbq_s32(vdupq_n_u16(0), even), odd);
            q = vaddq_n_u16(vqaddq_n_u16(q, p->add[0]), p->add[1]);
        }
        vstrbq_p_u16((uint8_t *)out, q, vctp16q(left));
        tail = (const int32_t *)(const void *)weights;
    }
}

/* Where output row y and column x have their taps; whether all lie in the input. */
static int point(const ofr_call *call, const layer *l, uint32_t y, uint32_t x) {
    const ofr_mve_depthwise_conv_2d_params *p = l->p;
    const uint8_t **taps = l->taps;
    uint32_t row = y * p->stride_h - p->pad_top; /* wraps above the input */
    int are_inside = 1;
    for (uint32_t ky = 0; ky < p->kernel_h; ky++, row += p->dilation_h) {
        uint32_t col = x * p->stride_w - p->pad_left;
        for (uint32_t kx = 0; kx < p->kernel_w; kx++, col += p->dilation_w) {
            const int is_inside = row < p->rows && col < p->cols;
            *taps++ = is_inside ? call->in[0].data + (row * p->cols + col) * p->in_c : l->padding;
            are_inside &= is_inside;
        }
    }
    return are_inside;
}

/* From the taps of an output to those of the next in its row, all of both in the input. */
static void advance(const layer *l) {
    const uint8_t **taps = l->taps;
    __asm__ volatile("wlstp.32 lr, %[n], 2f\n"
                     "1: vldrw.32 q0, [%[taps]]\n"
                     "vadd.i32 q0, q0, %[step]\n"
                     "vstrw.32 q0, [%[taps]], #16\n"
                     "letp lr, 1b\n"
                     "2:\n"
                     : [taps] "+l"(taps)
                     : [n] "r"(l->n), [step] "r"((uint32_t)l->p->stride_w * l->p->in_c)
                     : "q0", "lr", "memory");
}

static __attribute__((noinline)) void run(const ofr_call *call, uint32_t is_signed) {
    const ofr_mve_depthwise_conv_2d_params *p = call->params;
    const uint32_t out_c = (uint32_t)p->in_c * p->multiplier;
    layer l = {p, taps_of(p), call->scratch, NULL, NULL, is_signed};
    uint16_t *places = (uint16_t *)(void *)(l.taps + l.n), *end = places;
    if (p->multiplier > 1) {
        const uint32_t padded = (out_c + LANES - 1) & ~(LANES - 1u); /* missing channels read the first one's */
        for (uint32_t i = 0; i < padded; i++) {
            *end++ = (uint16_t)(i < out_c ? i / p->multiplier : 0);
        }
        l.places = places;
    }
    l.padding = (const uint8_t *)end;
    ofr_mve_fill(end, p->fill, p->in_c);
    int8_t *out = (int8_t *)call->out[0].data;
    for (uint32_t y = 0; y < p->out_rows; y++) {
        int are_inside = 0;
        for (uint32_t x = 0; x < p->out_cols; x++, out += out_c) {
            const uint32_t last = x * p->stride_w - p->pad_left + (p->kernel_w - 1u) * p->dilation_w;
            if (are_inside && last < p->cols) {
                advance(&l);
            } else {
                are_inside = point(call, &l, y, x);
            }
            channels(&l, out);
        }
    }
}

static void run_relu(const ofr_call *call) {
    run(call, 0);
}

static void run_signed(const ofr_call *call) {
    run(call, 1);
}

const ofr_kernel ofr_kernel_mve_depthwise_conv_2d = {
    OFR_KERNEL_MVE_DEPTHWISE_CONV_2D, OFR_PACKING_MVE_DEPTHWISE_CONV_2D, sizeof(ofr_mve_depthwise_conv_2d_params),
    1, 1, 0, check, run_relu,
};

const ofr_kernel ofr_kernel_mve_depthwise_conv_2d_signed = {
    OFR_KERNEL_MVE_DEPTHWISE_CONV_2D_SIGNED, OFR_PACKING_MVE_DEPTHWISE_CONV_2D_SIGNED, sizeof(ofr_mve_depthwise_conv_2d_params),
    1, 1, 0, check, run_signed,
};

/* Depthwise convolution of any window, stride, dilation and multiplier, int8: taps found by a table of offsets. */
/* The time goes into depthwise_conv_2d.S: what is left is compiled for size. */
#pragma GCC optimize("Os")

#include "depthwise_conv_2d.h"

enum { TAIL = 3 }; /* bytes at the input's end from which no word can be loaded */

typedef struct layer {
    const ofr_dsp_depthwise_conv_2d_params *p;
    uint32_t pairs, fours, multiplier, in_bytes;
    uint32_t row_step, tap_step; /* bytes between neighbours in a window */
    uint32_t *offsets;           /* scratch: of the taps; then */
    int8_t *zero;                /* a pixel of padding, */
    int8_t *tail;                /* the input's last bytes and what a word reads behind them, */
    int8_t *lanes;               /* and outputs of fewer channels than a word has */
} layer;

static uint32_t rounded(uint32_t n) {
    return (n + 3u) & ~3u;
}

static layer open_layer(const ofr_call *call) {
    const ofr_dsp_depthwise_conv_2d_params *p = call->params;
    layer l = {.p = p, .pairs = ((uint32_t)p->kernel_h * p->kernel_w + 1) / 2};
    l.fours = p->in_c / OFR_DSP_LANES;
    l.multiplier = (uint32_t)p->out_c / p->in_c;
    l.in_bytes = call->in[0].bytes;
    l.tap_step = (uint32_t)p->dilation_w * p->in_c;
    l.row_step = (uint32_t)p->dilation_h * p->cols * p->in_c;
    l.offsets = call->scratch;
    l.zero = (int8_t *)(l.offsets + 2 * l.pairs);
    l.tail = l.zero + rounded(p->in_c);
    l.lanes = l.tail + 2 * OFR_DSP_LANES;
    return l;
}

static ofr_status check(const ofr_call *call) {
    const ofr_dsp_depthwise_conv_2d_params *p = call->params;
    if (p->in_c == 0 || p->out_c == 0 || p->out_c % p->in_c != 0) {
        return ofr_refuse(call, OFR_E_VALUE, p->out_c, p->in_c);
    }
    if (p->kernel_h == 0 || p->kernel_w == 0 || !ofr_window_is_sane(p->kernel_h, p->stride_h, p->dilation_h) ||
        !ofr_window_is_sane(p->kernel_w, p->stride_w, p->dilation_w)) {
        return ofr_refuse(call, OFR_E_VALUE, p->kernel_h, 4096);
    }
    ofr_status status = ofr_dsp_check_operands(call, ofr_dsp_volume(p->rows, p->cols, p->in_c),
                                               ofr_dsp_volume(p->out_rows, p->out_cols, p->out_c));
    const uint32_t pairs = ((uint32_t)p->kernel_h * p->kernel_w + 1) / 2, multiplier = (uint32_t)p->out_c / p->in_c;
    if (status == OFR_OK) {
        const uint32_t blocks = (p->in_c + OFR_DSP_LANES - 1u) / OFR_DSP_LANES * multiplier;
        const uint32_t words = ofr_times(blocks, OFR_DSP_LANES_WORDS + OFR_DSP_LANES * pairs);
        status = ofr_expect(call, OFR_E_PARAMS, call->params_bytes, ofr_plus(sizeof *p, ofr_times(4, words)));
    }
    const uint32_t lanes = p->in_c < OFR_DSP_LANES ? OFR_DSP_LANES * multiplier : 0;
    const uint32_t wanted = 8 * pairs + rounded(p->in_c) + 2 * OFR_DSP_LANES + lanes;
    return status != OFR_OK ? status : ofr_dsp_check_scratch(call, wanted);
}

/* The last tap again where they are odd: its weights are 0. */
static void even(const layer *l) {
    if (l->p->kernel_h & l->p->kernel_w & 1) {
        l->offsets[2 * l->pairs - 1] = l->offsets[2 * l->pairs - 2];
    }
}

/* Offsets of a window's taps from its first, all inside. */
static void inner_offsets(const layer *l) {
    uint32_t *at = l->offsets;
    for (uint32_t ky = 0; ky < l->p->kernel_h; ky++) {
        for (uint32_t kx = 0; kx < l->p->kernel_w; kx++) {
            *at++ = ky * l->row_step + kx * l->tap_step;
        }
    }
    even(l);
}

/* Offsets of a window's taps from the input's first byte, those outside on the padding. */
static void border_offsets(const layer *l, const int8_t *in, int32_t y0, int32_t x0) {
    const ofr_dsp_depthwise_conv_2d_params *p = l->p;
    const uint32_t tail = l->in_bytes < TAIL ? 0 : l->in_bytes - TAIL;
    const uint32_t to_zero = (uint32_t)((uintptr_t)l->zero - (uintptr_t)in);
    const uint32_t to_tail = (uint32_t)((uintptr_t)l->tail - (uintptr_t)in) - tail;
    uint32_t *at = l->offsets;
    for (uint32_t ky = 0; ky < p->kernel_h; ky++) {
        const uint32_t y = (uint32_t)y0 + ky * p->dilation_h; /* wraps in front of the input */
        for (uint32_t kx = 0; kx < p->kernel_w; kx++) {
            const uint32_t x = (uint32_t)x0 + kx * p->dilation_w;
            const uint32_t offset = (y * p->cols + x) * p->in_c;
            *at++ = y >= p->rows || x >= p->cols ? to_zero : offset >= tail && p->in_c < 4 ? to_tail + offset : offset;
        }
    }
    even(l);
}

/* All channels of one position; `in` is what the offsets count from. */
static void position(const layer *l, const int8_t *in, int8_t *out) {
    const uint32_t *stream = (const uint32_t *)(const void *)(l->p + 1);
    const uint32_t rest = l->p->in_c % OFR_DSP_LANES;
    ofr_dsp_taps taps = {l->offsets, l->pairs, l->fours, l->multiplier, out};
    if (l->fours != 0) {
        stream = ofr_dsp_depthwise_position(in, &taps, stream);
    }
    if (rest == 0) {
        return;
    }
    taps.fours = 1;
    if (l->fours != 0) { /* some channels again */
        const uint32_t first = l->p->in_c - OFR_DSP_LANES;
        taps.out = out + first * l->multiplier;
        (void)ofr_dsp_depthwise_position(in + first, &taps, stream);
    } else {
        taps.out = l->lanes;
        (void)ofr_dsp_depthwise_position(in, &taps, stream);
        memcpy(out, l->lanes, rest * l->multiplier);
    }
}

static void run(const ofr_call *call) {
    const ofr_dsp_depthwise_conv_2d_params *p = call->params;
    const layer l = open_layer(call);
    const int8_t *in = (const int8_t *)call->in[0].data;
    int8_t *out = (int8_t *)call->out[0].data;
    const int32_t reach_y = (p->kernel_h - 1) * p->dilation_h, reach_x = (p->kernel_w - 1) * p->dilation_w;
    const uint32_t reach = (p->kernel_h - 1u) * l.row_step + (p->kernel_w - 1u) * l.tap_step;
    const uint32_t tail = l.in_bytes < TAIL ? l.in_bytes : TAIL;
    memset(l.zero, p->input_zero_point, rounded(p->in_c));
    memset(l.tail, 0, 2 * OFR_DSP_LANES);
    if (tail != 0) {
        memcpy(l.tail, in + l.in_bytes - tail, tail);
    }
    int inner = 0; /* the offsets are those of an inner window */
    for (uint32_t oy = 0; oy < p->out_rows; oy++) {
        const int32_t y = (int32_t)(oy * p->stride_h) - p->pad_top;
        for (uint32_t ox = 0; ox < p->out_cols; ox++, out += p->out_c) {
            const int32_t x = (int32_t)(ox * p->stride_w) - p->pad_left;
            const uint32_t first = ((uint32_t)y * p->cols + (uint32_t)x) * p->in_c;
            if (y >= 0 && x >= 0 && y + reach_y < p->rows && x + reach_x < p->cols &&
                (p->in_c >= OFR_DSP_LANES || first + reach + OFR_DSP_LANES <= l.in_bytes)) {
                if (!inner) {
                    inner_offsets(&l);
                    inner = 1;
                }
                position(&l, in + first, out);
            } else {
                border_offsets(&l, in, y, x);
                inner = 0;
                position(&l, in, out);
            }
        }
    }
    ofr_dsp_clamp((int8_t *)call->out[0].data, call->out[0].bytes, p->act_min, p->act_max);
}

const ofr_kernel ofr_kernel_dsp_depthwise_conv_2d = {
    OFR_KERNEL_DSP_DEPTHWISE_CONV_2D,
    OFR_PACKING_DSP_DEPTHWISE_CONV_2D,
    sizeof(ofr_dsp_depthwise_conv_2d_params),
    1,
    1,
    0,
    check,
    run,
};

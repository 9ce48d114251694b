/* Convolution of any window, channels in fours: input rows widened once into a ring. How taps are gathered from it is the
 * kernel's. */
#ifndef OFR_DSP_RING_H
#define OFR_DSP_RING_H

#include "layer.h"

typedef struct ring {
    const ofr_dsp_conv_2d_params *p;
    ofr_dsp_widen_run *widen;
    const int8_t *in;
    uint32_t *rows;    /* each: words of the positions that windows span, z and y for each four channels */
    uint32_t n, words; /* rows in the ring, words of one */
    uint32_t next;     /* first row not yet read, counted from the upper padding */
} ring;

static uint32_t ring_rows(const ofr_dsp_conv_2d_params *p) {
    return (p->kernel_h - 1u) * p->dilation_h + 1u;
}

static uint32_t row_words(const ofr_dsp_conv_2d_params *p) {
    return ofr_times(ofr_dsp_span(p->out_cols, p->stride_w, p->kernel_w, p->dilation_w), p->in_c / 2u);
}

static uint32_t groups_of(const ofr_dsp_conv_2d_params *p) {
    return (uint32_t)p->kernel_h * p->kernel_w * (p->in_c / 4u);
}

/* Fills n groups with the input's zero point. */
static void fill(ofr_dsp_widen_run *widen, uint32_t *at, uint32_t groups, int32_t zero_point) {
    uint32_t one[2];
    int8_t four[4];
    memset(four, zero_point, 4);
    widen(four, one, 1);
    for (uint32_t i = 0; i < groups; i++, at += 2) {
        at[0] = one[0];
        at[1] = one[1];
    }
}

/* Reads rows on until the window of output row y is there. */
static void advance(ring *r, uint32_t y) {
    const ofr_dsp_conv_2d_params *p = r->p;
    const uint32_t first = y * p->stride_h, span = r->words / (p->in_c / 2u);
    if (r->next < first) {
        r->next = first;
    }
    uint32_t slot = r->next % r->n;
    for (; r->next < first + r->n; r->next++) {
        uint32_t *row = r->rows + slot * r->words;
        const uint32_t inside = r->next - p->pad_top; /* wraps above the input */
        const uint32_t left = p->pad_left < span ? p->pad_left : span;
        const uint32_t cols = p->cols < span - left ? p->cols : span - left, groups = cols * (p->in_c / 4u);
        row += left * (p->in_c / 2u);
        if (inside < p->rows && groups != 0) {
            r->widen(r->in + inside * p->cols * p->in_c, row, groups);
        } else {
            fill(r->widen, row, groups, p->input_zero_point);
        }
        slot = slot + 1 == r->n ? 0 : slot + 1;
    }
}

/* Taps of output pixel x of row y, of `channels` from `first` on: alone, to one of the three places, or with its two
 * neighbours. Returns their end. */
static inline __attribute__((always_inline)) uint32_t *gather_run(const ring *r, uint32_t y, uint32_t x, uint32_t *taps,
                                                                  int alone, uint32_t first, uint32_t channels) {
    const ofr_dsp_conv_2d_params *p = r->p;
    const uint32_t pixel_words = p->in_c / 2u, dense = p->dilation_w == 1 && channels == p->in_c;
    const uint32_t runs = dense ? 1u : p->kernel_w, groups = (dense ? p->kernel_w : 1u) * (channels / 4u);
    const uint32_t distance = 4 * p->stride_w * pixel_words;
    uint32_t slot = y * p->stride_h % r->n;
    for (uint32_t ky = 0; ky < p->kernel_h; ky++) {
        const uint32_t *at = r->rows + slot * r->words + x * p->stride_w * pixel_words + first / 2u;
        for (uint32_t i = 0; i < runs; i++, at += p->dilation_w * pixel_words) {
            taps = alone ? ofr_dsp_place(at, taps, groups) : ofr_dsp_interleave(at, distance, taps, groups);
        }
        slot += p->dilation_h;
        slot = slot >= r->n ? slot - r->n : slot;
    }
    return taps;
}

/* All taps of an output pixel, as gather_run. */
typedef void gather_pixel(const ring *r, uint32_t y, uint32_t x, uint32_t *taps, int alone);

static inline __attribute__((always_inline)) void ring_conv(const ofr_call *call, const uint32_t *stream,
                                                            gather_pixel *gather, ofr_dsp_multiply_run *multiply,
                                                            ofr_dsp_widen_run *widen) {
    const ofr_dsp_conv_2d_params *p = call->params;
    ring r = {p, widen, (const int8_t *)call->in[0].data, call->scratch, ring_rows(p), row_words(p), 0};
    uint32_t *taps = r.rows + r.n * r.words;
    int8_t *out = (int8_t *)call->out[0].data;
    const uint32_t groups = groups_of(p), out_c = p->out_c, pixels = (uint32_t)p->out_rows * p->out_cols;
    fill(widen, r.rows, r.n * r.words / 2, p->input_zero_point); /* the padding on the left and right stays */
    advance(&r, 0);
    uint32_t x = 0, y = 0;
    for (uint32_t i = 0; i < pixels; i += OFR_DSP_PIXELS, out += OFR_DSP_PIXELS * out_c) {
        int8_t *to[OFR_DSP_PIXELS] = {out, out + out_c, out + 2 * out_c};
        if (x + 2 < p->out_cols) {
            gather(&r, y, x, taps, 0);
            x += OFR_DSP_PIXELS;
        } else {
            for (uint32_t place = 0; place < OFR_DSP_PIXELS; place++) {
                if (i + place >= pixels) {
                    to[place] = to[0]; /* which is written last */
                    continue;
                }
                if (x == p->out_cols) {
                    x = 0;
                    y++;
                    advance(&r, y);
                }
                gather(&r, y, x++, taps + place, 1);
            }
        }
        (void)ofr_dsp_channels(multiply, stream, taps, to, out_c, groups, p->linear);
        if (x == p->out_cols && i + OFR_DSP_PIXELS < pixels) {
            x = 0;
            y++;
            advance(&r, y);
        }
    }
    ofr_dsp_clamp((int8_t *)call->out[0].data, pixels * out_c, p->act_min, p->act_max);
}

#endif

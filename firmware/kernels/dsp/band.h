/* Padded input rows as bytes, those that the windows of a few neighbouring outputs need: for convolutions of any window.
 */
#ifndef OFR_DSP_BAND_H
#define OFR_DSP_BAND_H

#include "layer.h"

/* The rows in order. */
typedef struct band {
    const ofr_dsp_conv_2d_params *p;
    const int8_t *in;
    int8_t *rows;
    uint32_t n, bytes;   /* rows of the band, bytes of one */
    uint32_t top;        /* first row, counted from the upper padding */
    uint32_t left, cols; /* bytes in front of the input's, and those of the input */
} band;

/* Of the band for so many neighbouring outputs, which lie in a row or two, or in more where rows are short. */
static inline uint32_t band_rows(const ofr_dsp_conv_2d_params *p, uint32_t pixels) {
    const uint32_t cols = p->out_cols;
    const uint32_t more = cols % pixels == 0 ? 0 : cols >= pixels - 1 ? 1 : (pixels + cols - 2) / cols;
    return (p->kernel_h - 1u) * p->dilation_h + 1u + more * p->stride_h;
}

static uint32_t row_bytes(const ofr_dsp_conv_2d_params *p) {
    return ofr_times(ofr_dsp_span(p->out_cols, p->stride_w, p->kernel_w, p->dilation_w), p->in_c);
}

/* A band without rows of the input yet. */
static band open_band(const ofr_dsp_conv_2d_params *p, const int8_t *in, int8_t *rows, uint32_t pixels) {
    const uint32_t bytes = row_bytes(p), n = band_rows(p, pixels), left = (uint32_t)p->pad_left * p->in_c;
    band b = {.p = p, .in = in, .rows = rows, .n = n, .bytes = bytes, .top = 0u - n};
    b.left = left < bytes ? left : bytes;
    b.cols = (uint32_t)p->cols * p->in_c < bytes - b.left ? (uint32_t)p->cols * p->in_c : bytes - b.left;
    memset(rows, p->input_zero_point, n * bytes); /* the padding on the left and right stays */
    return b;
}

/* Moves the band down to the window of output row y. */
static void slide(band *b, uint32_t y) {
    const ofr_dsp_conv_2d_params *p = b->p;
    const uint32_t moved = y * p->stride_h - b->top, bytes = b->bytes;
    int8_t *row = b->rows;
    b->top += moved;
    for (uint32_t i = 0; i < b->n; i++, row += bytes) {
        const uint32_t inside = b->top + i - p->pad_top; /* wraps above the input */
        if (i + moved < b->n) {
            memcpy(row, row + moved * bytes, bytes);
        } else if (inside < p->rows) {
            memcpy(row + b->left, b->in + inside * p->cols * p->in_c, b->cols);
        } else {
            memset(row + b->left, p->input_zero_point, b->cols);
        }
    }
}

#endif

/* Convolution of few channels whose kernel rows are a multiple of four bytes, int8: each input row widened once, window
 * by window, into a ring. */
/* The time goes into multiply.S: what is left is compiled for size. */
#pragma GCC optimize("Os")

#include "layer.h"

typedef struct ring {
    const ofr_dsp_conv_2d_params *p;
    const int8_t *in;
    int8_t *line;       /* an input row with its padding */
    uint32_t *rows;     /* z, y of the taps of all output columns */
    uint32_t n, groups; /* rows in the ring, fours of taps of a kernel row */
    uint32_t next;      /* first row not yet read, counted from the upper padding */
} ring;

static uint32_t ring_rows(const ofr_dsp_conv_2d_params *p) {
    return (p->kernel_h - 1u) * p->dilation_h + 1u;
}

static uint32_t line_bytes(const ofr_dsp_conv_2d_params *p) {
    return ofr_plus(ofr_times(ofr_dsp_span(p->out_cols, p->stride_w, p->kernel_w, 1), p->in_c), 3) & ~3u;
}

static ofr_status check(const ofr_call *call) {
    const ofr_dsp_conv_2d_params *p = call->params;
    const ofr_status status = ofr_dsp_check_layer(call, OFR_DSP_INT8_SIZE);
    if (status != OFR_OK) {
        return status;
    }
    const uint32_t run = (uint32_t)p->kernel_w * p->in_c;
    if (p->groups != 1 || p->dilation_w != 1 || run % 4 != 0) {
        return ofr_refuse(call, OFR_E_VALUE, run, 4);
    }
    const uint32_t ring_bytes = ofr_times(ofr_times(ofr_times(ring_rows(p), p->out_cols), run), 2);
    const uint32_t taps = p->kernel_h * (run / 4) * OFR_DSP_TAP_BYTES;
    return ofr_dsp_check_scratch(call, ofr_plus(ofr_plus(ring_bytes, line_bytes(p)), taps));
}

/* Reads rows on until the window of output row y is there. */
static void advance(ring *r, uint32_t y) {
    const ofr_dsp_conv_2d_params *p = r->p;
    const uint32_t first = y * p->stride_h, span = ofr_dsp_span(p->out_cols, p->stride_w, p->kernel_w, 1);
    const uint32_t left = p->pad_left < span ? p->pad_left : span, room = span - left;
    const uint32_t bytes = (p->cols < room ? p->cols : room) * p->in_c;
    if (r->next < first) {
        r->next = first;
    }
    for (; r->next < first + r->n; r->next++) {
        const uint32_t inside = r->next - p->pad_top; /* wraps above the input */
        if (inside < p->rows) {
            memcpy(r->line + left * p->in_c, r->in + inside * p->cols * p->in_c, bytes);
        } else {
            memset(r->line + left * p->in_c, p->input_zero_point, bytes);
        }
        uint32_t *row = r->rows + r->next % r->n * p->out_cols * 2 * r->groups;
        const int8_t *window = r->line;
        for (uint32_t x = p->out_cols; x != 0; x--, row += 2 * r->groups, window += p->stride_w * p->in_c) {
            ofr_dsp_widen(window, row, r->groups);
        }
    }
}

/* Taps of output pixel x of row y: alone, to one of the three places, or with its two neighbours. */
static void gather(const ring *r, uint32_t y, uint32_t x, uint32_t *taps, int alone) {
    const ofr_dsp_conv_2d_params *p = r->p;
    const uint32_t words = 2 * r->groups, row_words = p->out_cols * words, all = r->n * row_words;
    uint32_t at = y * p->stride_h % r->n * row_words;
    for (uint32_t ky = p->kernel_h; ky != 0; ky--) {
        const uint32_t *from = r->rows + at + x * words;
        taps = alone ? ofr_dsp_place(from, taps, r->groups) : ofr_dsp_interleave(from, 4 * words, taps, r->groups);
        at += p->dilation_h * row_words;
        at = at >= all ? at - all : at;
    }
}

static void run(const ofr_call *call) {
    const ofr_dsp_conv_2d_params *p = call->params;
    const uint32_t *stream = (const uint32_t *)(const void *)(p + 1);
    ring r = {.p = p, .in = (const int8_t *)call->in[0].data, .rows = call->scratch, .n = ring_rows(p)};
    r.groups = (uint32_t)p->kernel_w * p->in_c / 4;
    const uint32_t row_words = p->out_cols * 2u * r.groups, groups = p->kernel_h * r.groups;
    uint32_t *taps = r.rows + r.n * row_words;
    r.line = (int8_t *)(taps + groups * OFR_DSP_TAP_BYTES / 4);
    memset(r.line, p->input_zero_point, line_bytes(p)); /* the padding on the left and right stays */
    int8_t *out = (int8_t *)call->out[0].data, *to[OFR_DSP_PIXELS] = {out, out, out};
    uint32_t waiting = 0; /* pixels gathered and not yet multiplied */
    for (uint32_t y = 0; y < p->out_rows; y++) {
        advance(&r, y);
        for (uint32_t x = 0; x < p->out_cols;) {
            const uint32_t n = waiting == 0 && x + OFR_DSP_PIXELS <= p->out_cols ? OFR_DSP_PIXELS : 1;
            gather(&r, y, x, taps + waiting, n == 1);
            x += n;
            for (uint32_t i = n; i != 0; i--, out += p->out_c) {
                to[waiting++] = out;
            }
            if (waiting == OFR_DSP_PIXELS) {
                (void)ofr_dsp_channels(ofr_dsp_multiply, stream, taps, to, p->out_c, groups, p->linear);
                waiting = 0;
            }
        }
    }
    if (waiting != 0) {
        to[1] = waiting == 2 ? to[1] : to[0];
        to[2] = to[0]; /* which is written last */
        (void)ofr_dsp_channels(ofr_dsp_multiply, stream, taps, to, p->out_c, groups, p->linear);
    }
    ofr_dsp_clamp((int8_t *)call->out[0].data, call->out[0].bytes, p->act_min, p->act_max);
}

const ofr_kernel ofr_kernel_dsp_narrow_conv_2d = {
    OFR_KERNEL_DSP_NARROW_CONV_2D,
    OFR_PACKING_DSP_NARROW_CONV_2D,
    sizeof(ofr_dsp_conv_2d_params),
    1,
    1,
    OFR_SAME_START(0),
    check,
    run,
};

/* Convolution of any window, channel count and groups, int8: padded input rows in a ring, taps gathered as bytes. */
/* The time goes into multiply.S and its like: what is left is compiled for size. */
#pragma GCC optimize("Os")

#include "layer.h"

typedef struct ring {
    const ofr_dsp_conv_2d_params *p;
    const ofr_dsp_packing *packing;
    const int8_t *in;
    int8_t *rows;
    uint32_t n, bytes;            /* rows in the ring, bytes of one */
    uint32_t next;                /* first row not yet read, counted from the upper padding */
    uint32_t left, cols;          /* positions in front of the input's, and those of the input */
    uint32_t group_c, group_out;  /* channels of a group */
    uint32_t k, groups, distance; /* taps of an output, fours of them, bytes of a gathered pixel */
    ofr_dsp_window window;
} ring;

static uint32_t ring_rows(const ofr_dsp_conv_2d_params *p) {
    return (p->kernel_h - 1u) * p->dilation_h + 1u;
}

/* Copies go by words: up to 3 bytes behind a run are read and written. */
static uint32_t with_rest(uint32_t bytes) {
    return ofr_plus(bytes, 6) & ~3u;
}

static uint32_t row_bytes(const ofr_dsp_conv_2d_params *p) {
    return with_rest(ofr_times(ofr_dsp_span(p->out_cols, p->stride_w, p->kernel_w, p->dilation_w), p->in_c));
}

static uint32_t pixel_bytes(const ofr_dsp_conv_2d_params *p) {
    return with_rest((uint32_t)p->kernel_h * p->kernel_w * p->in_c);
}

static uint32_t groups_of(const ofr_dsp_conv_2d_params *p) {
    return ((uint32_t)p->kernel_h * p->kernel_w * (p->in_c / p->groups) + 3u) / 4u;
}

ofr_status ofr_dsp_check_gather_conv(const ofr_call *call, uint32_t weight_bytes) {
    const ofr_dsp_conv_2d_params *p = call->params;
    const ofr_status status = ofr_dsp_check_layer(call, weight_bytes);
    if (status != OFR_OK) {
        return status;
    }
    const uint32_t all_taps = ofr_dsp_volume(p->kernel_h, p->kernel_w, p->in_c);
    if (all_taps > 1u << 24) {
        return ofr_refuse(call, OFR_E_VALUE, all_taps, 1u << 24);
    }
    const uint32_t ring_bytes = ofr_times(ring_rows(p), row_bytes(p));
    const uint32_t taps = OFR_DSP_PIXELS * pixel_bytes(p) + OFR_DSP_TAP_BYTES * groups_of(p);
    return ofr_dsp_check_scratch(call, ofr_plus(ring_bytes, taps));
}

/* Reads rows on until the window of output row y is there. */
static void advance(ring *r, uint32_t y) {
    const ofr_dsp_conv_2d_params *p = r->p;
    const uint32_t first = y * p->stride_h;
    if (r->next < first) {
        r->next = first;
    }
    for (; r->next < first + r->n; r->next++) {
        int8_t *row = r->rows + r->next % r->n * r->bytes + r->left * p->in_c;
        const uint32_t inside = r->next - p->pad_top; /* wraps above the input */
        if (inside < p->rows) {
            memcpy(row, r->in + inside * p->cols * p->in_c, r->cols * p->in_c);
        } else {
            memset(row, p->input_zero_point, r->cols * p->in_c);
        }
    }
}

/* Taps of one pixel, group after group. */
static void gather(ring *r, uint32_t first, uint32_t x, int8_t *taps) {
    const ofr_dsp_conv_2d_params *p = r->p;
    const int8_t *column = r->rows + x * p->stride_w * p->in_c;
    for (uint32_t g = p->groups; g != 0; g--, column += r->group_c) {
        r->window.end = column + r->window.ring_bytes;
        taps = ofr_dsp_gather(column + first * r->bytes, taps, &r->window);
    }
}

/* All groups of three gathered pixels. */
static void multiply(const ring *r, const int8_t *bytes, uint32_t *taps, int8_t *const out[OFR_DSP_PIXELS]) {
    const uint32_t *stream = (const uint32_t *)(const void *)(r->p + 1);
    uint32_t channel = 0;
    for (uint32_t g = r->p->groups; g != 0; g--, bytes += r->k, channel += r->group_out) {
        const int8_t *const from[OFR_DSP_PIXELS] = {bytes, bytes + r->distance, bytes + 2 * r->distance};
        int8_t *const to[OFR_DSP_PIXELS] = {out[0] + channel, out[1] + channel, out[2] + channel};
        (void)r->packing->widen_three(from, taps, r->groups);
        stream = ofr_dsp_channels(r->packing->multiply, stream, taps, r->groups, r->group_out, to);
    }
}

void ofr_dsp_gather_conv(const ofr_call *call, const ofr_dsp_packing *packing) {
    const ofr_dsp_conv_2d_params *p = call->params;
    ring r = {.p = p, .packing = packing, .in = (const int8_t *)call->in[0].data, .rows = call->scratch};
    r.n = ring_rows(p);
    const uint32_t span = ofr_dsp_span(p->out_cols, p->stride_w, p->kernel_w, p->dilation_w);
    r.bytes = row_bytes(p);
    r.left = p->pad_left < span ? p->pad_left : span;
    r.group_c = (uint32_t)p->in_c / p->groups;
    r.group_out = (uint32_t)p->out_c / p->groups;
    r.k = (uint32_t)p->kernel_h * p->kernel_w * r.group_c;
    r.groups = groups_of(p);
    r.distance = pixel_bytes(p);
    const uint32_t dense = p->dilation_w == 1 && p->groups == 1;
    r.window = (ofr_dsp_window){.rows = p->kernel_h,
                                .jump = p->dilation_h * r.bytes,
                                .ring_bytes = r.n * r.bytes,
                                .run = dense ? p->kernel_w * r.group_c : r.group_c,
                                .runs = dense ? 1u : p->kernel_w,
                                .step = (uint32_t)p->dilation_w * p->in_c};
    r.cols = p->cols < span - r.left ? p->cols : span - r.left;
    int8_t *bytes = r.rows + r.n * r.bytes, *out = (int8_t *)call->out[0].data;
    uint32_t *taps = (uint32_t *)(void *)(bytes + OFR_DSP_PIXELS * r.distance);
    memset(r.rows, p->input_zero_point, r.n * r.bytes); /* the padding on the left and right stays */
    int8_t *to[OFR_DSP_PIXELS] = {out, out, out};
    uint32_t waiting = 0; /* pixels gathered and not yet multiplied */
    for (uint32_t y = 0; y < p->out_rows; y++) {
        advance(&r, y);
        const uint32_t first = y * p->stride_h % r.n;
        for (uint32_t x = 0; x < p->out_cols; x++, out += p->out_c) {
            gather(&r, first, x, bytes + waiting * r.distance);
            to[waiting++] = out;
            if (waiting == OFR_DSP_PIXELS) {
                multiply(&r, bytes, taps, to);
                waiting = 0;
            }
        }
    }
    if (waiting != 0) {
        to[1] = waiting == 2 ? to[1] : to[0];
        to[2] = to[0]; /* which is written last */
        multiply(&r, bytes, taps, to);
    }
    ofr_dsp_clamp((int8_t *)call->out[0].data, call->out[0].bytes, p->act_min, p->act_max);
}

static ofr_status check(const ofr_call *call) {
    return ofr_dsp_check_gather_conv(call, OFR_DSP_INT8_SIZE);
}

static void run(const ofr_call *call) {
    ofr_dsp_gather_conv(call, &ofr_dsp_int8_size);
}

const ofr_kernel ofr_kernel_dsp_gather_conv_2d = {
    OFR_KERNEL_DSP_GATHER_CONV_2D,
    OFR_PACKING_DSP_GATHER_CONV_2D,
    sizeof(ofr_dsp_conv_2d_params),
    1,
    1,
    OFR_SAME_START(0),
    check,
    run,
};

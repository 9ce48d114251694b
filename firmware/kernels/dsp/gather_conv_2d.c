/* Convolution of any window, channel count and groups, int8: padded input rows as bytes, taps widened as they are
 * gathered. */
/* The time goes into multiply.S and its like: what is left is compiled for size. */
#pragma GCC optimize("Os")

#include "band.h"

/* Up to 3 bytes behind a run are read or written. */
static uint32_t with_rest(uint32_t bytes) {
    return ofr_plus(bytes, 6) & ~3u;
}

/* Runs of taps that lie together. */
static ofr_dsp_window open_window(const ofr_dsp_conv_2d_params *p, uint32_t bytes) {
    const uint32_t group_c = (uint32_t)p->in_c / p->groups, jump = p->dilation_h * bytes;
    ofr_dsp_window w = {.rows = 1, .runs = p->kernel_h, .step = jump};
    uint32_t run = p->kernel_w * group_c;
    if (p->dilation_w != 1 || p->groups != 1) {
        w = (ofr_dsp_window){
            .rows = p->kernel_h, .jump = jump, .runs = p->kernel_w, .step = (uint32_t)p->dilation_w * p->in_c};
        run = group_c;
    }
    w.fours = run / 4;
    w.rest = run % 4;
    w.rest_bytes = with_rest(w.rows * w.runs * w.rest);
    w.rest_fours = (w.rows * w.runs * w.rest + 3) / 4;
    return w;
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
    const uint32_t bytes = row_bytes(p), band_bytes = with_rest(ofr_times(band_rows(p, OFR_DSP_PIXELS), bytes));
    const uint32_t taps = OFR_DSP_PIXELS * open_window(p, bytes).rest_bytes + OFR_DSP_TAP_BYTES * groups_of(p);
    return ofr_dsp_check_scratch(call, ofr_plus(band_bytes, taps));
}

/* What all pixels are multiplied with. */
typedef struct layer {
    const ofr_dsp_conv_2d_params *p;
    const uint32_t *stream;
    ofr_dsp_multiply_run *multiply;
    ofr_dsp_gather_run *gather;
    uint32_t group_c, group_out, groups; /* channels of a group of the convolution; fours of its taps */
    uint32_t *taps;
    ofr_dsp_window window;
} layer;

/* All groups of the three pixels of the window. */
static void multiply(layer *l, int8_t *const out[OFR_DSP_PIXELS]) {
    const uint32_t *stream = l->stream;
    l->window.offset = 0;
    for (uint32_t channel = 0; channel < l->p->out_c; channel += l->group_out) {
        l->gather(&l->window, l->taps);
        int8_t *const to[OFR_DSP_PIXELS] = {out[0] + channel, out[1] + channel, out[2] + channel};
        stream = ofr_dsp_channels(l->multiply, stream, l->taps, to, l->group_out, l->groups, l->p->linear);
        l->window.offset += l->group_c;
    }
}

void ofr_dsp_gather_conv(const ofr_call *call, const uint32_t *stream, ofr_dsp_multiply_run *multiply_run,
                         ofr_dsp_gather_run *gather) {
    const ofr_dsp_conv_2d_params *p = call->params;
    band b = open_band(p, (const int8_t *)call->in[0].data, call->scratch, OFR_DSP_PIXELS);
    const uint32_t n = b.n, bytes = b.bytes;
    layer l = {.p = p, .stream = stream, .multiply = multiply_run, .gather = gather};
    l.window = open_window(p, bytes);
    l.groups = groups_of(p);
    l.group_c = (uint32_t)p->in_c / p->groups;
    l.group_out = (uint32_t)p->out_c / p->groups;
    l.window.rests = b.rows + with_rest(n * bytes);
    l.taps = (uint32_t *)(void *)(l.window.rests + OFR_DSP_PIXELS * l.window.rest_bytes);
    int8_t *out = (int8_t *)call->out[0].data;
    const int8_t *at = b.rows;
    const uint32_t pixels = (uint32_t)p->out_rows * p->out_cols, step = p->stride_w * (uint32_t)p->in_c;
    const uint32_t down = p->stride_h * bytes;
    uint32_t x = 0, y = 0, behind = pixels - 1; /* pixels behind the one at `at` */
    for (uint32_t i = 0; i < pixels; i += OFR_DSP_PIXELS) {
        int8_t *to[OFR_DSP_PIXELS];
        uint32_t rows = 0;
        if (y * p->stride_h != b.top) {
            slide(&b, y);
        }
        for (uint32_t place = 0; place < OFR_DSP_PIXELS; place++) { /* the last one again where there are less */
            l.window.pixel[place] = at;
            to[place] = out;
            if (behind == 0) {
                continue;
            }
            behind--;
            at += step;
            out += p->out_c;
            if (++x == p->out_cols) {
                x = 0;
                rows++;
                at += down - p->out_cols * step;
            }
        }
        multiply(&l, to);
        y += rows;
        at -= rows * down;
    }
    ofr_dsp_clamp((int8_t *)call->out[0].data, call->out[0].bytes, p->act_min, p->act_max);
}

static ofr_status check(const ofr_call *call) {
    return ofr_dsp_check_gather_conv(call, OFR_DSP_INT8_SIZE);
}

static void run(const ofr_call *call) {
    ofr_dsp_gather_conv(call, ofr_dsp_stream(call), ofr_dsp_multiply, ofr_dsp_gather);
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

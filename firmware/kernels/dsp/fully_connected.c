/* Fully connected layer with one multiplier for all channels, int8: four channels at a time. */
/* The time goes into multiply.S and its like: what is left is compiled for size. */
#pragma GCC optimize("Os")

#include "layer.h"
#include "row_4.h"

ofr_status ofr_dsp_check_fully_connected(const ofr_call *call, uint32_t weight_bytes) {
    const ofr_dsp_fully_connected_params *p = call->params;
    if (p->depth == 0 || p->depth > 65536 || p->out_c == 0) {
        return ofr_refuse(call, OFR_E_VALUE, p->depth, 65536);
    }
    const uint32_t narrow = weight_bytes == OFR_DSP_INT4, behind = narrow ? 15 : 7;
    const uint32_t taps = (p->depth + behind) & ~behind, head = narrow ? OFR_DSP_ROW_4_HEAD : 0;
    const uint32_t quads = (p->out_c + 3u) / 4u, row_bytes = weight_bytes * taps;
    ofr_status status = ofr_dsp_check_operands(call, p->depth * p->rows, (uint32_t)p->out_c * p->rows);
    if (status == OFR_OK) {
        status = ofr_expect(call, OFR_E_PARAMS, call->params_bytes,
                            ofr_plus(sizeof *p, ofr_times(quads, 16 + row_bytes)));
    }
    return status != OFR_OK ? status : ofr_dsp_check_scratch(call, head + 2 * taps);
}

void ofr_dsp_widen_row(ofr_dsp_widen_run *widen, const int8_t *in, uint32_t depth, uint32_t *taps) {
    const uint32_t groups = depth / 4;
    if (depth % 4 != 0) {
        int8_t rest[4] = {0};
        memcpy(rest, in + 4 * groups, depth % 4);
        widen(rest, taps + 2 * groups, 1);
    }
    if (groups != 0) {
        widen(in, taps, groups);
    }
}

void ofr_dsp_fully_connected(const ofr_call *call, ofr_dsp_widen_row_run *widen, ofr_dsp_multiply_row_run *multiply) {
    const ofr_dsp_fully_connected_params *p = call->params;
    const uint32_t out_c = p->out_c;
    const int8_t *in = (const int8_t *)call->in[0].data;
    int8_t *out = (int8_t *)call->out[0].data;
    ofr_dsp_row row = {out_c / 4, (p->depth + 7u) / 8u, p->multiplier, p->offset, p->exponent};
    for (uint32_t i = 0; i < p->rows; i++, in += p->depth, out += out_c) {
        const uint32_t *stream = (const uint32_t *)(const void *)(p + 1);
        widen(in, p->depth, call->scratch);
        if (out_c >= 4) {
            row.quads = out_c / 4;
            stream = multiply(stream, call->scratch, out, &row);
        }
        if (out_c % 4 != 0) {
            int8_t last[4];
            row.quads = 1;
            (void)multiply(stream, call->scratch, last, &row);
            memcpy(out + (out_c & ~3u), last, out_c % 4);
        }
    }
    ofr_dsp_clamp((int8_t *)call->out[0].data, call->out[0].bytes, p->act_min, p->act_max);
}

static ofr_status check(const ofr_call *call) {
    return ofr_dsp_check_fully_connected(call, OFR_DSP_INT8_SIZE);
}

/* Taps that fill up the last eight meet weights of 0. */
static void widen_row(const int8_t *in, uint32_t depth, uint32_t *taps) {
    ofr_dsp_widen_row(ofr_dsp_widen, in, depth, taps);
}

static void run(const ofr_call *call) {
    ofr_dsp_fully_connected(call, widen_row, ofr_dsp_multiply_row);
}

const ofr_kernel ofr_kernel_dsp_fully_connected = {
    OFR_KERNEL_DSP_FULLY_CONNECTED,
    OFR_PACKING_DSP_FULLY_CONNECTED,
    sizeof(ofr_dsp_fully_connected_params),
    1,
    1,
    OFR_SCRATCH_ON_INPUT,
    check,
    run,
};

/* Convolution of any size with sparse weights by lanes, on Helium: from columns of taps to those of 16 outputs at a time. */
#pragma GCC optimize("Os")

#include "conv_2d.h"
#include "lanes.h"

/* Bytes of scratch before the columns. */
static uint32_t lanes_bytes(uint32_t taps) {
    return ofr_times(ofr_plus(taps, 15) / 16u, 256);
}

static ofr_status check(const ofr_call *call) {
    const ofr_mve_conv_2d_params *p = call->params;
    ofr_status status = ofr_mve_check_columns(call);
    if (status != OFR_OK) {
        return status;
    }
    if (p->out_c > OFR_MVE_LANES_MAX_OUT_C) {
        return ofr_refuse(call, OFR_E_VALUE, p->out_c, OFR_MVE_LANES_MAX_OUT_C);
    }
    const uint32_t taps = ofr_times(ofr_times(p->kernel_h, p->kernel_w), p->in_c), stream = call->params_bytes - (uint32_t)sizeof *p;
    status = ofr_mve_check_conv_2d_of(call, ofr_plus(lanes_bytes(taps), ofr_mve_columns_bytes(p)), stream);
    return status != OFR_OK ? status : ofr_mve_check_lanes(call, p + 1, stream, taps, p->out_c);
}

static __attribute__((noinline)) void run(const ofr_call *call, uint32_t is_signed) {
    const ofr_mve_conv_2d_params *p = call->params;
    const uint32_t unit = (uint32_t)p->kernel_h * p->in_c, taps = ofr_mve_taps(p), row = columns(p) * unit;
    const spread s = open_spread(p);
    ofr_mve_lanes l = ofr_mve_open_lanes(p + 1, call->scratch, taps, p->out_c, p->add);
    int8_t *out = (int8_t *)call->out[0].data;
    uint8_t *const columns_at = (uint8_t *)call->scratch + lanes_bytes(taps);
    ofr_mve_fill(columns_at, p->fill, p->strip * row + 16); /* columns beside the input stay so */
    for (uint32_t oy = 0; oy < p->out_rows; oy += p->strip) {
        const uint32_t rows = p->out_rows - oy < p->strip ? p->out_rows - oy : p->strip;
        const uint32_t pixels = rows * p->out_cols;
        for (uint32_t r = 0; r < rows; r++) {
            bring(p, &s, call->in[0].data, oy + r, columns_at + r * row);
        }
        for (uint32_t done = 0, n; done < pixels; done += n, out += n * p->out_c) {
            n = pixels - done < OFR_MVE_LANES ? pixels - done : OFR_MVE_LANES;
            for (uint32_t i = 0; i < OFR_MVE_LANES; i++) {
                ofr_mve_to_lane(&l, i, taps_of(p, columns_at, done + (i < n ? i : n - 1), unit));
            }
            ofr_mve_run_lanes(&l, out, n, is_signed);
        }
    }
}

static void run_relu(const ofr_call *call) {
    run(call, 0);
}

static void run_signed(const ofr_call *call) {
    run(call, 1);
}

const ofr_kernel ofr_kernel_mve_conv_2d_lanes = {
    OFR_KERNEL_MVE_CONV_2D_LANES, OFR_PACKING_MVE_CONV_2D_LANES, sizeof(ofr_mve_conv_2d_sparse_params), 1, 1, OFR_SAME_START(0), check, run_relu,
};

const ofr_kernel ofr_kernel_mve_conv_2d_lanes_signed = {
    OFR_KERNEL_MVE_CONV_2D_LANES_SIGNED, OFR_PACKING_MVE_CONV_2D_LANES_SIGNED, sizeof(ofr_mve_conv_2d_sparse_params), 1, 1, OFR_SAME_START(0), check, run_signed,
};

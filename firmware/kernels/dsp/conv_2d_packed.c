/* Convolution of any window, int8, that skips zeros, from the smallest stream. */
#include "packed.h"

static const ofr_dsp_packed_form form = {1, 1 * OFR_DSP_TILE_TAP, 1, 1};

static void multiply(const uint32_t *stream, const ofr_dsp_tile *tile) {
    (void)stream;
    ofr_dsp_packed_tile(tile, &form, ofr_dsp_sparse);
}

static const ofr_dsp_sparse_way way = {multiply, ofr_dsp_spread, 1};

static ofr_status check(const ofr_call *call) {
    return ofr_dsp_check_packed_conv(call, &form);
}

static void run(const ofr_call *call) {
    ofr_dsp_sparse_conv(call, &way);
}

const ofr_kernel ofr_kernel_dsp_conv_2d_packed = {
    OFR_KERNEL_DSP_CONV_2D_PACKED,
    OFR_PACKING_DSP_CONV_2D_PACKED,
    sizeof(ofr_dsp_sparse_params),
    1,
    1,
    OFR_SAME_START(0),
    check,
    run,
};

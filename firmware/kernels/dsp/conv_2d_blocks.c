/* Convolution of any window, int8, that skips zeros in blocks of four neighbouring weights. */
#include "sparse.h"

static const ofr_dsp_sparse_way way = {ofr_dsp_blocks, ofr_dsp_spread_fours, 4};

static ofr_status check(const ofr_call *call) {
    const ofr_status status = ofr_dsp_check_sparse_window(call, 4, 0);
    const uint32_t tail = ofr_dsp_sparse_tail(call->params);
    return status != OFR_OK ? status : ofr_dsp_check_streams(call, 2 + 3 + tail, 3);
}

static void run(const ofr_call *call) {
    ofr_dsp_sparse_conv(call, &way);
}

const ofr_kernel ofr_kernel_dsp_conv_2d_blocks = {
    OFR_KERNEL_DSP_CONV_2D_BLOCKS,
    OFR_PACKING_DSP_CONV_2D_BLOCKS,
    sizeof(ofr_dsp_sparse_params),
    1,
    1,
    OFR_SAME_START(0),
    check,
    run,
};

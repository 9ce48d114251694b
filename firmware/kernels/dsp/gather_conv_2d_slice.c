/* gather_conv_2d with part of a wider layer's weights: see slice.h. */
#pragma GCC optimize("Os")

#include "slice.h"

static ofr_status check(const ofr_call *call) {
    return ofr_dsp_check_slice(call, ofr_dsp_check_gather_conv);
}

static void run(const ofr_call *call) {
    ofr_dsp_slice slices[OFR_DSP_SLICES];
    if (ofr_dsp_open_slice(call, slices)) {
        ofr_dsp_gather_conv(call, ofr_dsp_slice_stream(slices), ofr_dsp_multiply_slice, ofr_dsp_gather);
    }
}

const ofr_kernel ofr_kernel_dsp_gather_conv_2d_slice = {
    OFR_KERNEL_DSP_GATHER_CONV_2D_SLICE,
    OFR_PACKING_DSP_GATHER_CONV_2D_SLICE,
    sizeof(ofr_dsp_slice_params),
    2,
    1,
    OFR_SAME_START(0),
    check,
    run,
};

/* 1x1 convolution without padding, int8 with weights at int16: pointwise_conv_2d.c with the other packing. */
#include "layer.h"

static ofr_status check(const ofr_call *call) {
    return ofr_dsp_check_pointwise(call, OFR_DSP_INT16);
}

static void run(const ofr_call *call) {
    ofr_dsp_pointwise(call, ofr_dsp_stream(call), ofr_dsp_multiply_16, ofr_dsp_widen_three_16);
}

const ofr_kernel ofr_kernel_dsp_pointwise_conv_2d_16 = {
    OFR_KERNEL_DSP_POINTWISE_CONV_2D_16,
    OFR_PACKING_DSP_POINTWISE_CONV_2D_16,
    sizeof(ofr_dsp_conv_2d_params),
    1,
    1,
    OFR_SAME_START(0),
    check,
    run,
};

/* Convolution of any window, channel count and groups, int8 with weights at int16: gather_conv_2d.c with the other
 * packing. */
#include "layer.h"

static ofr_status check(const ofr_call *call) {
    return ofr_dsp_check_gather_conv(call, OFR_DSP_INT16);
}

static void run(const ofr_call *call) {
    ofr_dsp_gather_conv(call, ofr_dsp_stream(call), ofr_dsp_multiply_16, ofr_dsp_gather_16);
}

const ofr_kernel ofr_kernel_dsp_gather_conv_2d_16 = {
    OFR_KERNEL_DSP_GATHER_CONV_2D_16,
    OFR_PACKING_DSP_GATHER_CONV_2D_16,
    sizeof(ofr_dsp_conv_2d_params),
    1,
    1,
    OFR_SAME_START(0),
    check,
    run,
};

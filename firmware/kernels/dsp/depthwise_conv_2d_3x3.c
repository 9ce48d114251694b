/* Depthwise convolution, int8, 3x3 windows at strides 1 and 2, one output channel each; any activation. */
#include "depthwise.h"

static ofr_status check(const ofr_call *call) {
    return ofr_dsp_check_depthwise(call, OFR_DSP_DEPTHWISE_WORDS);
}

static void run(const ofr_call *call) {
    ofr_dsp_depthwise(call, OFR_DSP_DEPTHWISE_WORDS, ofr_dsp_lines_s1, ofr_dsp_lines_s2);
}

const ofr_kernel ofr_kernel_dsp_depthwise_conv_2d_3x3 = {
    OFR_KERNEL_DSP_DEPTHWISE_CONV_2D_3X3,
    OFR_PACKING_DSP_DEPTHWISE_CONV_2D_3X3,
    sizeof(ofr_dsp_depthwise_params),
    1,
    1,
    1u | OFR_SAME_START(0),
    check,
    run,
};

/* Depthwise convolution, int8, 3x3 windows at strides 1 and 2, one output channel each; where no output lies below the
 * zero point. */
#include "depthwise.h"

static void run(const ofr_call *call) {
    ofr_dsp_depthwise(call, ofr_dsp_lines_relu_s1, ofr_dsp_lines_relu_s2);
}

const ofr_kernel ofr_kernel_dsp_depthwise_conv_2d_3x3_relu = {
    OFR_KERNEL_DSP_DEPTHWISE_CONV_2D_3X3_RELU,
    OFR_PACKING_DSP_DEPTHWISE_CONV_2D_3X3_RELU,
    sizeof(ofr_dsp_depthwise_params),
    1,
    1,
    1u | OFR_SAME_START(0),
    ofr_dsp_check_depthwise,
    run,
};

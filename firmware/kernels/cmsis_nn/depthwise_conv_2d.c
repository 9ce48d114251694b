/* Depthwise convolution of any shape and channel multiplier, int8, by CMSIS-NN. */
#include "layer.h"

static void run(const ofr_call *call) {
    const ofr_cmsis_nn_layer l = ofr_cmsis_nn_open(call);
    const cmsis_nn_dw_conv_params params = ofr_cmsis_nn_depthwise_params(l.p);
    (void)arm_depthwise_conv_s8(&l.context, &params, &l.requant, &l.in, (const int8_t *)call->in[0].data, &l.filter,
                                l.weights, &l.bias_dims, l.bias, &l.out, (int8_t *)call->out[0].data);
}

const ofr_kernel ofr_kernel_cmsis_nn_depthwise_conv_2d = {
    OFR_KERNEL_CMSIS_NN_DEPTHWISE_CONV_2D,
    OFR_PACKING_CMSIS_NN_DEPTHWISE_CONV_2D,
    sizeof(ofr_conv_2d_params),
    1,
    1,
    0,
    ofr_cmsis_nn_check_depthwise,
    run,
};

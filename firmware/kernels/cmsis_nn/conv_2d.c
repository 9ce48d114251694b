/* Convolution of any shape, int8, by CMSIS-NN's im2col. */
#include "layer.h"

static ofr_status check(const ofr_call *call) {
    const ofr_status status = ofr_cmsis_nn_check_conv_2d(call);
    if (status != OFR_OK) {
        return status;
    }
    const ofr_cmsis_nn_layer l = ofr_cmsis_nn_open(call);
    return ofr_cmsis_nn_check_scratch(call, arm_convolve_s8_get_buffer_size(&l.in, &l.filter));
}

static void run(const ofr_call *call) {
    const ofr_cmsis_nn_layer l = ofr_cmsis_nn_open(call);
    const cmsis_nn_conv_params params = ofr_cmsis_nn_conv_params(l.p);
    (void)arm_convolve_s8(&l.context, &params, &l.requant, &l.in, (const int8_t *)call->in[0].data, &l.filter,
                          l.weights, &l.bias_dims, l.bias, &l.out, (int8_t *)call->out[0].data);
}

const ofr_kernel ofr_kernel_cmsis_nn_conv_2d = {
    OFR_KERNEL_CMSIS_NN_CONV_2D, OFR_PACKING_CMSIS_NN_CONV_2D, sizeof(ofr_conv_2d_params), 1, 1, 0, check, run,
};

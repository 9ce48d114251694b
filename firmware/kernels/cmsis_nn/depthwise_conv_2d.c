/* Depthwise convolution, int8, channel multiplier a multiple of 4, undilated, by CMSIS-NN without scratch. */
#include "layer.h"

static ofr_status check(const ofr_call *call) {
    const ofr_conv_2d_params *p = call->params;
    if (p->dilation_h != 1 || p->dilation_w != 1 || p->in_c == 0 || p->out_c / p->in_c % 4 != 0) {
        return ofr_refuse(call, OFR_E_VALUE, p->out_c, p->in_c);
    }
    return ofr_cmsis_nn_check_depthwise(call);
}

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
    check,
    run,
};

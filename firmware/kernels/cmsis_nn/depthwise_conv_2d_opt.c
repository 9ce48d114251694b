/* Depthwise convolution, int8, channel multiplier 1, undilated, by CMSIS-NN's loops for DSP and Helium. */
#include "layer.h"

static ofr_status check(const ofr_call *call) {
    const ofr_conv_2d_params *p = call->params;
    if (p->dilation_h != 1 || p->dilation_w != 1 || p->out_c != p->in_c) {
        return ofr_refuse(call, OFR_E_VALUE, p->out_c, p->in_c);
    }
    const ofr_status status = ofr_cmsis_nn_check_depthwise(call);
    if (status != OFR_OK) {
        return status;
    }
    const ofr_cmsis_nn_layer l = ofr_cmsis_nn_open(call);
    return ofr_cmsis_nn_check_scratch(call, arm_depthwise_conv_s8_opt_get_buffer_size(&l.in, &l.filter));
}

static void run(const ofr_call *call) {
    const ofr_cmsis_nn_layer l = ofr_cmsis_nn_open(call);
    const cmsis_nn_dw_conv_params params = ofr_cmsis_nn_depthwise_params(l.p);
    (void)arm_depthwise_conv_s8_opt(&l.context, &params, &l.requant, &l.in, (const int8_t *)call->in[0].data,
                                    &l.filter, l.weights, &l.bias_dims, l.bias, &l.out, (int8_t *)call->out[0].data);
}

const ofr_kernel ofr_kernel_cmsis_nn_depthwise_conv_2d_opt = {
    OFR_KERNEL_CMSIS_NN_DEPTHWISE_CONV_2D_OPT,
    OFR_PACKING_CMSIS_NN_DEPTHWISE_CONV_2D_OPT,
    sizeof(ofr_conv_2d_params),
    1,
    1,
    0,
    check,
    run,
};

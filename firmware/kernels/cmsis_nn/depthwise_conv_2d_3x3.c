/* Depthwise 3x3 convolution, int8, channel multiplier 1, by CMSIS-NN without scratch. */
#include "layer.h"

static ofr_status check(const ofr_call *call) {
    const ofr_conv_2d_params *p = call->params;
    if (p->kernel_h != 3 || p->kernel_w != 3 || p->dilation_h != 1 || p->dilation_w != 1 || p->out_c != p->in_c) {
        return ofr_refuse(call, OFR_E_VALUE, p->kernel_h, 3);
    }
    const ofr_status status = ofr_cmsis_nn_check_depthwise(call);
    if (status != OFR_OK) {
        return status;
    }
    /* The library reads the middle column without asking whether it lies on the input. */
    const uint32_t last_middle = (p->out_cols - 1u) * p->stride_w + 1u;
    if (p->pad_left > 1 || last_middle >= (uint32_t)p->cols + p->pad_left) {
        return ofr_refuse(call, OFR_E_VALUE, p->pad_left, 1);
    }
    return OFR_OK;
}

static void run(const ofr_call *call) {
    const ofr_cmsis_nn_layer l = ofr_cmsis_nn_open(call);
    const cmsis_nn_dw_conv_params params = ofr_cmsis_nn_depthwise_params(l.p);
    (void)arm_depthwise_conv_3x3_s8(&l.context, &params, &l.requant, &l.in, (const int8_t *)call->in[0].data,
                                    &l.filter, l.weights, &l.bias_dims, l.bias, &l.out, (int8_t *)call->out[0].data);
}

const ofr_kernel ofr_kernel_cmsis_nn_depthwise_conv_2d_3x3 = {
    OFR_KERNEL_CMSIS_NN_DEPTHWISE_CONV_2D_3X3,
    OFR_PACKING_CMSIS_NN_DEPTHWISE_CONV_2D_3X3,
    sizeof(ofr_conv_2d_params),
    1,
    1,
    0,
    check,
    run,
};

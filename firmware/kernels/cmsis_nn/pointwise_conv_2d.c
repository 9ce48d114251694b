/* 1x1 convolution of every pixel, int8, by CMSIS-NN's matrix product over the input as it lies. */
#include "layer.h"

static ofr_status check(const ofr_call *call) {
    const ofr_conv_2d_params *p = call->params;
    if (p->kernel_h != 1 || p->kernel_w != 1 || p->stride_h != 1 || p->stride_w != 1 || p->pad_top || p->pad_left) {
        return ofr_refuse(call, OFR_E_VALUE, p->kernel_h, 1);
    }
    if (p->rows != p->out_rows || p->cols != p->out_cols) {
        return ofr_refuse(call, OFR_E_SHAPE, p->out_rows, p->rows);
    }
    return ofr_cmsis_nn_check_conv_2d(call);
}

static void run(const ofr_call *call) {
    const ofr_cmsis_nn_layer l = ofr_cmsis_nn_open(call);
    const cmsis_nn_conv_params params = ofr_cmsis_nn_conv_params(l.p);
    (void)arm_convolve_1x1_s8_fast(&l.context, &params, &l.requant, &l.in, (const int8_t *)call->in[0].data, &l.filter,
                                   l.weights, &l.bias_dims, l.bias, &l.out, (int8_t *)call->out[0].data);
}

const ofr_kernel ofr_kernel_cmsis_nn_pointwise_conv_2d = {
    OFR_KERNEL_CMSIS_NN_POINTWISE_CONV_2D,
    OFR_PACKING_CMSIS_NN_POINTWISE_CONV_2D,
    sizeof(ofr_conv_2d_params),
    1,
    1,
    0,
    check,
    run,
};

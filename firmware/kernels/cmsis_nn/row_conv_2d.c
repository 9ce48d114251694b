/* Convolution along one row, int8, by CMSIS-NN without im2col on Helium: 1xN, undilated, out_cols a multiple of 4. */
#include "layer.h"

static ofr_status check(const ofr_call *call) {
    const ofr_conv_2d_params *p = call->params;
    if (p->rows != 1 || p->kernel_h != 1 || p->dilation_w != 1 || p->out_cols % 4 != 0) {
        return ofr_refuse(call, OFR_E_VALUE, p->out_cols, p->out_cols & ~3u);
    }
    const ofr_status status = ofr_cmsis_nn_check_conv_2d(call);
    if (status != OFR_OK) {
        return status;
    }
    const ofr_cmsis_nn_layer l = ofr_cmsis_nn_open(call);
    return ofr_cmsis_nn_check_scratch(call, arm_convolve_1_x_n_s8_get_buffer_size(&l.in, &l.filter));
}

static void run(const ofr_call *call) {
    const ofr_cmsis_nn_layer l = ofr_cmsis_nn_open(call);
    const cmsis_nn_conv_params params = ofr_cmsis_nn_conv_params(l.p);
    (void)arm_convolve_1_x_n_s8(&l.context, &params, &l.requant, &l.in, (const int8_t *)call->in[0].data, &l.filter,
                                l.weights, &l.bias_dims, l.bias, &l.out, (int8_t *)call->out[0].data);
}

const ofr_kernel ofr_kernel_cmsis_nn_row_conv_2d = {
    OFR_KERNEL_CMSIS_NN_ROW_CONV_2D,
    OFR_PACKING_CMSIS_NN_ROW_CONV_2D,
    sizeof(ofr_conv_2d_params),
    1,
    1,
    0,
    check,
    run,
};

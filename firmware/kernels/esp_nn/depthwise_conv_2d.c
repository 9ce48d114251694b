/* Depthwise convolution, int8, undilated, any channel multiplier, by ESP-NN. */
#include "layer.h"

static dw_conv_params_t params_of(const ofr_conv_2d_params *p) {
    return (dw_conv_params_t){
        .in_offset = -p->input_zero_point,
        .out_offset = p->output_zero_point,
        .ch_mult = p->out_c / p->in_c,
        .stride = {p->stride_w, p->stride_h},
        .padding = {p->pad_left, p->pad_top},
        .dilation = {1, 1},
        .activation = {p->act_min, p->act_max},
    };
}

static ofr_status check(const ofr_call *call) {
    ofr_status status = ofr_esp_nn_check_undilated(call);
    if (status == OFR_OK) {
        status = ofr_check_depthwise_layer(call, 0);
    }
    if (status != OFR_OK) {
        return status;
    }
    const ofr_esp_nn_layer l = ofr_esp_nn_open(call);
    const dw_conv_params_t params = params_of(l.p);
    return ofr_esp_nn_check_scratch(call, esp_nn_get_depthwise_conv_scratch_size(&l.in, &l.filter, &l.out, &params));
}

static void run(const ofr_call *call) {
    const ofr_esp_nn_layer l = ofr_esp_nn_open(call);
    const ofr_conv_2d_params *p = l.p;
    const dw_conv_params_t params = params_of(p);
    esp_nn_set_depthwise_conv_scratch_buf(call->scratch);
    esp_nn_depthwise_conv_s8(&l.in, (const int8_t *)call->in[0].data, &l.filter, l.weights, l.bias, &l.out,
                             (int8_t *)call->out[0].data, &params, &l.requant);
}

const ofr_kernel ofr_kernel_esp_nn_depthwise_conv_2d = {
    OFR_KERNEL_ESP_NN_DEPTHWISE_CONV_2D,
    OFR_PACKING_ESP_NN_DEPTHWISE_CONV_2D,
    sizeof(ofr_conv_2d_params),
    1,
    1,
    0,
    check,
    run,
};

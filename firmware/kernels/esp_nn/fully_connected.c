/* Fully connected, int8, a multiplier for each output, by ESP-NN: a 1x1 convolution over one row of `cols` inputs. */
#include "layer.h"

static ofr_status check(const ofr_call *call) {
    const ofr_conv_2d_params *p = call->params;
    if (p->kernel_h != 1 || p->kernel_w != 1 || p->stride_w != 1 || p->pad_top || p->pad_left || p->rows != 1 ||
        p->out_rows != 1 || p->cols != p->out_cols) {
        return ofr_refuse(call, OFR_E_VALUE, p->rows, 1);
    }
    return ofr_check_conv_2d_layer(call, 0);
}

static void run(const ofr_call *call) {
    const ofr_esp_nn_layer l = ofr_esp_nn_open(call);
    const ofr_conv_2d_params *p = l.p;
    const int8_t *in = (const int8_t *)call->in[0].data;
    int8_t *out = (int8_t *)call->out[0].data;
    for (uint32_t row = 0; row < p->cols; row++, in += p->in_c, out += p->out_c) {
        esp_nn_fully_connected_per_ch_s8(in, -p->input_zero_point, p->in_c, l.weights, 0, l.bias, out, p->out_c,
                                         p->output_zero_point, l.requant.shift, l.requant.mult, p->act_min, p->act_max);
    }
}

const ofr_kernel ofr_kernel_esp_nn_fully_connected = {
    OFR_KERNEL_ESP_NN_FULLY_CONNECTED,
    OFR_PACKING_ESP_NN_FULLY_CONNECTED,
    sizeof(ofr_conv_2d_params),
    1,
    1,
    0,
    check,
    run,
};

/* Fully connected, int8, one multiplier for all outputs, by CMSIS-NN. Block: struct, bias, weights [out_c][depth]. */
#include "layer.h"

static ofr_status check(const ofr_call *call) {
    const ofr_fully_connected_params *p = call->params;
    if (p->input_zero_point < -128 || p->input_zero_point > 127) {
        return ofr_refuse(call, OFR_E_VALUE, (uint32_t)p->input_zero_point, 127);
    }
    if (call->in[0].dtype != OFR_S8 || call->out[0].dtype != OFR_S8) {
        return ofr_refuse(call, OFR_E_DTYPE, call->in[0].dtype, OFR_S8);
    }
    const uint32_t weights = ofr_times(p->out_c, p->depth);
    const uint32_t block =
        ofr_plus(ofr_plus(sizeof *p, 4u * p->out_c), ofr_plus(weights, (0u - weights) & 3u));
    ofr_status status = ofr_expect(call, OFR_E_SHAPE, call->in[0].bytes, ofr_times(p->rows, p->depth));
    if (status == OFR_OK) {
        status = ofr_expect(call, OFR_E_SHAPE, call->out[0].bytes, ofr_times(p->rows, p->out_c));
    }
    if (status == OFR_OK) {
        status = ofr_expect(call, OFR_E_PARAMS, call->params_bytes, block);
    }
    return status == OFR_OK ? ofr_check_shifts(call, &p->shift, 1) : status;
}

static void run(const ofr_call *call) {
    const ofr_fully_connected_params *p = call->params;
    const int32_t *bias = (const int32_t *)(const void *)(p + 1);
    const cmsis_nn_context context = {NULL, 0};
    const cmsis_nn_fc_params params = {-p->input_zero_point, 0, p->output_zero_point, {p->act_min, p->act_max}};
    const cmsis_nn_per_tensor_quant_params requant = {p->multiplier, p->shift};
    const cmsis_nn_dims in = {p->rows, 1, 1, (int32_t)p->depth}, filter = {(int32_t)p->depth, 1, 1, p->out_c};
    const cmsis_nn_dims bias_dims = {1, 1, 1, p->out_c}, out = {p->rows, 1, 1, p->out_c};
    (void)arm_fully_connected_s8(&context, &params, &requant, &in, (const int8_t *)call->in[0].data, &filter,
                                 (const int8_t *)(const void *)(bias + p->out_c), &bias_dims, bias, &out,
                                 (int8_t *)call->out[0].data);
}

const ofr_kernel ofr_kernel_cmsis_nn_fully_connected = {
    OFR_KERNEL_CMSIS_NN_FULLY_CONNECTED,
    OFR_PACKING_CMSIS_NN_FULLY_CONNECTED,
    sizeof(ofr_fully_connected_params),
    1,
    1,
    0,
    check,
    run,
};

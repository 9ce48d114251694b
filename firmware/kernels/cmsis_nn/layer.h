/* What the adapters to Arm's CMSIS-NN share: argument structs and checks. */
#ifndef OFR_CMSIS_NN_LAYER_H
#define OFR_CMSIS_NN_LAYER_H

#include "kernel.h"
#include "library.h"
#include "library_layer.h"

/* The Helium inner loops load 16 bytes past the weights; the other cores read none. */
#ifdef ARM_MATH_MVEI
#define OFR_CMSIS_NN_OVERREAD 16u
#else
#define OFR_CMSIS_NN_OVERREAD 0u
#endif

typedef struct ofr_cmsis_nn_layer {
    const ofr_conv_2d_params *p;
    const int32_t *bias;
    const int8_t *weights;
    cmsis_nn_context context;
    cmsis_nn_per_channel_quant_params requant;
    cmsis_nn_dims in, filter, bias_dims, out;
} ofr_cmsis_nn_layer;

/* Views of a call's parts, as the library wants them. Its structs lack const; it writes to none of this. */
ofr_cmsis_nn_layer ofr_cmsis_nn_open(const ofr_call *call);

static inline ofr_status ofr_cmsis_nn_check_conv_2d(const ofr_call *call) {
    return ofr_check_conv_2d_layer(call, OFR_CMSIS_NN_OVERREAD);
}

static inline ofr_status ofr_cmsis_nn_check_depthwise(const ofr_call *call) {
    return ofr_check_depthwise_layer(call, OFR_CMSIS_NN_OVERREAD);
}

/* Refuses scratch smaller than what the library asks for. */
static inline ofr_status ofr_cmsis_nn_check_scratch(const ofr_call *call, int32_t wanted) {
    return call->scratch_bytes < (uint32_t)wanted
               ? ofr_refuse(call, OFR_E_SCRATCH, call->scratch_bytes, (uint32_t)wanted)
               : OFR_OK;
}

static inline cmsis_nn_conv_params ofr_cmsis_nn_conv_params(const ofr_conv_2d_params *p) {
    return (cmsis_nn_conv_params){
        .input_offset = -p->input_zero_point,
        .output_offset = p->output_zero_point,
        .stride = {.w = p->stride_w, .h = p->stride_h},
        .padding = {.w = p->pad_left, .h = p->pad_top},
        .dilation = {.w = p->dilation_w, .h = p->dilation_h},
        .activation = {.min = p->act_min, .max = p->act_max},
    };
}

static inline cmsis_nn_dw_conv_params ofr_cmsis_nn_depthwise_params(const ofr_conv_2d_params *p) {
    return (cmsis_nn_dw_conv_params){
        .input_offset = -p->input_zero_point,
        .output_offset = p->output_zero_point,
        .ch_mult = p->out_c / p->in_c,
        .stride = {.w = p->stride_w, .h = p->stride_h},
        .padding = {.w = p->pad_left, .h = p->pad_top},
        .dilation = {.w = p->dilation_w, .h = p->dilation_h},
        .activation = {.min = p->act_min, .max = p->act_max},
    };
}

#endif

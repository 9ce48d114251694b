/* Arguments and check of CMSIS-NN's pooling. */
#ifndef OFR_CMSIS_NN_POOLING_H
#define OFR_CMSIS_NN_POOLING_H

#include "layer.h"
#include "pool.h"

typedef struct ofr_cmsis_nn_pool {
    cmsis_nn_context context;
    cmsis_nn_pool_params params;
    cmsis_nn_dims in, filter, out;
} ofr_cmsis_nn_pool;

static inline ofr_cmsis_nn_pool ofr_cmsis_nn_open_pool(const ofr_call *call) {
    const ofr_pool *p = call->params;
    return (ofr_cmsis_nn_pool){
        .context = {call->scratch, (int32_t)call->scratch_bytes},
        .params = {.stride = {.w = p->stride_w, .h = p->stride_h},
                   .padding = {.w = p->pad_left, .h = p->pad_top},
                   .activation = {.min = p->act_min, .max = p->act_max}},
        .in = {1, p->rows, p->cols, p->channels},
        .filter = {1, p->filter_h, p->filter_w, 1},
        .out = {1, p->out_rows, p->out_cols, p->channels},
    };
}

static inline ofr_status ofr_cmsis_nn_check_pool(const ofr_call *call) {
    const ofr_pool *p = call->params;
    const ofr_status status = ofr_check_pool(call);
    if (status != OFR_OK) {
        return status;
    }
    if (!ofr_window_fits(p->rows, p->out_rows, p->filter_h, p->stride_h, 1, p->pad_top) ||
        !ofr_window_fits(p->cols, p->out_cols, p->filter_w, p->stride_w, 1, p->pad_left)) {
        return ofr_refuse(call, OFR_E_VALUE, p->out_rows, p->rows);
    }
    return OFR_OK;
}

#endif

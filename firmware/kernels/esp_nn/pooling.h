/* Check of ESP-NN's pooling. */
#ifndef OFR_ESP_NN_POOLING_H
#define OFR_ESP_NN_POOLING_H

#include "library.h"
#include "library_layer.h"
#include "pool.h"

static inline ofr_status ofr_esp_nn_check_pool(const ofr_call *call) {
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

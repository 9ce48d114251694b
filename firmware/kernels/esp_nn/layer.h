/* What the adapters to Espressif's ESP-NN share: argument structs of layers with per-channel weights. */
#ifndef OFR_ESP_NN_LAYER_H
#define OFR_ESP_NN_LAYER_H

#include "library.h"
#include "library_layer.h"

typedef struct ofr_esp_nn_layer {
    const ofr_conv_2d_params *p;
    const int32_t *bias;
    const int8_t *weights;
    quant_data_t requant;
    data_dims_t in, filter, out;
} ofr_esp_nn_layer;

/* Views of a call's parts, as the library wants them. Its structs lack const; it writes to none of this. */
static inline ofr_esp_nn_layer ofr_esp_nn_open(const ofr_call *call) {
    const ofr_conv_2d_params *p = call->params;
    int32_t *tables = (int32_t *)((uintptr_t)call->params + sizeof *p);
    return (ofr_esp_nn_layer){
        .p = p,
        .bias = tables,
        .weights = (const int8_t *)(tables + 3u * p->out_c),
        .requant = {.mult = tables + p->out_c, .shift = tables + 2u * p->out_c},
        .in = {p->cols, p->rows, p->in_c, 1},
        .filter = {p->kernel_w, p->kernel_h, p->in_c, 1},
        .out = {p->out_cols, p->out_rows, p->out_c, 1},
    };
}

/* Refuses scratch smaller than what the library asks for: nothing, but on the ESP32-S3. */
static inline ofr_status ofr_esp_nn_check_scratch(const ofr_call *call, int wanted) {
    return call->scratch_bytes < (uint32_t)wanted
               ? ofr_refuse(call, OFR_E_SCRATCH, call->scratch_bytes, (uint32_t)wanted)
               : OFR_OK;
}

/* The library has no dilation. */
static inline ofr_status ofr_esp_nn_check_undilated(const ofr_call *call) {
    const ofr_conv_2d_params *p = call->params;
    return p->dilation_h == 1 && p->dilation_w == 1 ? OFR_OK : ofr_refuse(call, OFR_E_VALUE, p->dilation_h, 1);
}

#endif

/* Opens the parameter block that all CMSIS-NN layers with per-channel weights share. */
#include "layer.h"

ofr_cmsis_nn_layer ofr_cmsis_nn_open(const ofr_call *call) {
    const ofr_conv_2d_params *p = call->params;
    int32_t *tables = (int32_t *)((uintptr_t)call->params + sizeof *p);
    return (ofr_cmsis_nn_layer){
        .p = p,
        .bias = tables,
        .weights = (const int8_t *)(tables + 3u * p->out_c),
        .context = {call->scratch, (int32_t)call->scratch_bytes},
        .requant = {.multiplier = tables + p->out_c, .shift = tables + 2u * p->out_c},
        .in = {1, p->rows, p->cols, p->in_c},
        .filter = {p->out_c, p->kernel_h, p->kernel_w, p->in_c},
        .bias_dims = {1, 1, 1, p->out_c},
        .out = {1, p->out_rows, p->out_cols, p->out_c},
    };
}

/* Average pooling, int8, by ESP-NN. */
#include "pooling.h"

static void run(const ofr_call *call) {
    const ofr_pool *p = call->params;
    esp_nn_avg_pool_s8((const int8_t *)call->in[0].data, p->cols, p->rows, (int8_t *)call->out[0].data, p->out_cols,
                       p->out_rows, p->stride_w, p->stride_h, p->filter_w, p->filter_h, p->pad_left, p->pad_top,
                       p->act_min, p->act_max, p->channels);
}

const ofr_kernel ofr_kernel_esp_nn_average_pool_2d = {
    OFR_KERNEL_ESP_NN_AVERAGE_POOL_2D,
    OFR_PACKING_ESP_NN_AVERAGE_POOL_2D,
    sizeof(ofr_pool),
    1,
    1,
    0,
    ofr_esp_nn_check_pool,
    run,
};

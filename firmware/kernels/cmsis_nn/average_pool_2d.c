/* Average pooling, int8, by CMSIS-NN. */
#include "pooling.h"

static ofr_status check(const ofr_call *call) {
    const ofr_pool *p = call->params;
    const ofr_status status = ofr_cmsis_nn_check_pool(call);
    return status != OFR_OK
               ? status
               : ofr_cmsis_nn_check_scratch(call, arm_avgpool_s8_get_buffer_size(p->out_cols, p->channels));
}

static void run(const ofr_call *call) {
    const ofr_cmsis_nn_pool l = ofr_cmsis_nn_open_pool(call);
    (void)arm_avgpool_s8(&l.context, &l.params, &l.in, (const int8_t *)call->in[0].data, &l.filter, &l.out,
                         (int8_t *)call->out[0].data);
}

const ofr_kernel ofr_kernel_cmsis_nn_average_pool_2d = {
    OFR_KERNEL_CMSIS_NN_AVERAGE_POOL_2D, OFR_PACKING_CMSIS_NN_AVERAGE_POOL_2D, sizeof(ofr_pool), 1, 1, 0, check, run,
};

/* Max pooling, int8, by CMSIS-NN. */
#include "pooling.h"

static void run(const ofr_call *call) {
    const ofr_cmsis_nn_pool l = ofr_cmsis_nn_open_pool(call);
    (void)arm_max_pool_s8(&l.context, &l.params, &l.in, (const int8_t *)call->in[0].data, &l.filter, &l.out,
                          (int8_t *)call->out[0].data);
}

const ofr_kernel ofr_kernel_cmsis_nn_max_pool_2d = {
    OFR_KERNEL_CMSIS_NN_MAX_POOL_2D,
    OFR_PACKING_CMSIS_NN_MAX_POOL_2D,
    sizeof(ofr_pool),
    1,
    1,
    0,
    ofr_cmsis_nn_check_pool,
    run,
};

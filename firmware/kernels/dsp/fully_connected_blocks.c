/* Fully connected layer of one row, int8, that skips zeros in blocks of four neighbouring weights. */
#include "sparse.h"

static ofr_status check(const ofr_call *call) {
    const ofr_status status = ofr_dsp_check_sparse_row(call, 4, 0);
    return status != OFR_OK ? status : ofr_dsp_check_streams(call, 2 + 3, 6);
}

static void run(const ofr_call *call) {
    const ofr_dsp_sparse_params *p = call->params;
    const uint32_t mask = ofr_dsp_sparse_row_taps(call, 4);
    int8_t *out = (int8_t *)call->out[0].data;
    ofr_dsp_blocks_row((const uint32_t *)(const void *)(p + 1), call->scratch, mask & ~3u, out, p->out_c);
    ofr_dsp_clamp(out, p->out_c, p->act_min, p->act_max);
}

const ofr_kernel ofr_kernel_dsp_fully_connected_blocks = {
    OFR_KERNEL_DSP_FULLY_CONNECTED_BLOCKS,
    OFR_PACKING_DSP_FULLY_CONNECTED_BLOCKS,
    sizeof(ofr_dsp_sparse_params),
    1,
    1,
    0,
    check,
    run,
};

/* Fully connected layer of one row, int8, that skips zeros in blocks of four neighbouring weights, from the smallest
 * stream. */
#include "packed.h"

static const ofr_dsp_packed_form form = {4, 8, 2, 0};

static ofr_status check(const ofr_call *call) {
    return ofr_dsp_check_packed_row(call, &form);
}

static void run(const ofr_call *call) {
    ofr_dsp_packed_row(call, &form, ofr_dsp_blocks_row);
}

const ofr_kernel ofr_kernel_dsp_fully_connected_packed_blocks = {
    OFR_KERNEL_DSP_FULLY_CONNECTED_PACKED_BLOCKS,
    OFR_PACKING_DSP_FULLY_CONNECTED_PACKED_BLOCKS,
    sizeof(ofr_dsp_sparse_params),
    1,
    1,
    0,
    check,
    run,
};

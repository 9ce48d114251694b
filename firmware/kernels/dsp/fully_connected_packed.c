/* Fully connected layer of one row, int8, that skips zeros, from the smallest
 * stream. */
#include "packed.h"

static const ofr_dsp_packed_form form = {1, 1, 4, 0};

static ofr_status check(const ofr_call *call) {
    return ofr_dsp_check_packed_row(call, &form);
}

static void run(const ofr_call *call) {
    ofr_dsp_packed_row(call, &form, ofr_dsp_sparse_row);
}

const ofr_kernel ofr_kernel_dsp_fully_connected_packed = {
    OFR_KERNEL_DSP_FULLY_CONNECTED_PACKED,
    OFR_PACKING_DSP_FULLY_CONNECTED_PACKED,
    sizeof(ofr_dsp_sparse_params),
    1,
    1,
    0,
    check,
    run,
};

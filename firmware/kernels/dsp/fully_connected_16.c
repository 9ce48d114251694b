/* Fully connected layer with one multiplier for all channels, int8 with weights at int16: fully_connected.c with the
 * other packing. */
#include "layer.h"

static ofr_status check(const ofr_call *call) {
    return ofr_dsp_check_fully_connected(call, OFR_DSP_INT16);
}

/* Taps that fill up the last eight meet weights of 0. */
static void widen_row(const int8_t *in, uint32_t depth, uint32_t *taps) {
    ofr_dsp_widen_row(ofr_dsp_widen_16, in, depth, taps);
}

static void run(const ofr_call *call) {
    ofr_dsp_fully_connected(call, widen_row, ofr_dsp_multiply_row_16);
}

const ofr_kernel ofr_kernel_dsp_fully_connected_16 = {
    OFR_KERNEL_DSP_FULLY_CONNECTED_16,
    OFR_PACKING_DSP_FULLY_CONNECTED_16,
    sizeof(ofr_dsp_fully_connected_params),
    1,
    1,
    OFR_SCRATCH_ON_INPUT,
    check,
    run,
};

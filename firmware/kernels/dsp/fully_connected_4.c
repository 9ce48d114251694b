/* Fully connected layer with one multiplier for all channels, int8 with weights at four bits: fully_connected.c with the
 * other packing. */
#include "layer.h"
#include "row_4.h"

static ofr_status check(const ofr_call *call) {
    return ofr_dsp_check_fully_connected(call, OFR_DSP_INT4);
}

/* Taps that fill up the last sixteen meet weights of 0. */
static void widen_row(const int8_t *in, uint32_t depth, uint32_t *taps) {
    uint32_t *row = taps + OFR_DSP_ROW_4_HEAD / 4, sum = 0;
    const uint32_t whole = depth & ~15u;
    if (whole != depth) {
        int8_t last[16] = {0};
        memcpy(last, in + whole, depth - whole);
        sum = ofr_dsp_widen_row_4(last, row + whole / 2, 2);
    }
    if (whole != 0) {
        sum += ofr_dsp_widen_row_4(in, row, whole / 8);
    }
    *taps = sum;
}

static void run(const ofr_call *call) {
    ofr_dsp_fully_connected(call, widen_row, ofr_dsp_multiply_row_4);
}

const ofr_kernel ofr_kernel_dsp_fully_connected_4 = {
    OFR_KERNEL_DSP_FULLY_CONNECTED_4,
    OFR_PACKING_DSP_FULLY_CONNECTED_4,
    sizeof(ofr_dsp_fully_connected_params),
    1,
    1,
    OFR_SCRATCH_ON_INPUT,
    check,
    run,
};

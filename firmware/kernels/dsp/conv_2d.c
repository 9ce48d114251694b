/* Convolution of any window, int8, channels in fours: input rows widened once into a ring, three pixels by two
 * channels. */
/* The time goes into multiply.S and its like: what is left is compiled for size. */
#pragma GCC optimize("Os")

#include "ring.h"

ofr_status ofr_dsp_check_conv(const ofr_call *call, uint32_t weight_bytes) {
    const ofr_dsp_conv_2d_params *p = call->params;
    if (p->in_c % 4 != 0 || p->groups != 1 || p->input_zero_point < -128 || p->input_zero_point > 127) {
        return ofr_refuse(call, OFR_E_VALUE, p->in_c, 4);
    }
    const ofr_status status = ofr_dsp_check_layer(call, weight_bytes);
    if (status != OFR_OK) {
        return status;
    }
    const uint32_t ring_bytes = ofr_times(ofr_times(ring_rows(p), row_words(p)), 4);
    return ofr_dsp_check_scratch(call, ofr_plus(ring_bytes, ofr_times(groups_of(p), OFR_DSP_TAP_BYTES)));
}

static void gather(const ring *r, uint32_t y, uint32_t x, uint32_t *taps, int alone) {
    (void)gather_run(r, y, x, taps, alone, 0, r->p->in_c);
}

void ofr_dsp_conv(const ofr_call *call, ofr_dsp_multiply_run *multiply, ofr_dsp_widen_run *widen) {
    ring_conv(call, ofr_dsp_stream(call), gather, multiply, widen);
}

static ofr_status check(const ofr_call *call) {
    return ofr_dsp_check_conv(call, OFR_DSP_INT8_SIZE);
}

static void run(const ofr_call *call) {
    ofr_dsp_conv(call, ofr_dsp_multiply, ofr_dsp_widen);
}

const ofr_kernel ofr_kernel_dsp_conv_2d = {
    OFR_KERNEL_DSP_CONV_2D,
    OFR_PACKING_DSP_CONV_2D,
    sizeof(ofr_dsp_conv_2d_params),
    1,
    1,
    OFR_SAME_START(0),
    check,
    run,
};

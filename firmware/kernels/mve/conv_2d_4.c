/* Convolution of any size with weights of four bits, on Helium. */
#pragma GCC optimize("Os")

#include "conv_2d.h"
#include "tile_4.h"

static ofr_status check(const ofr_call *call) {
    const ofr_mve_conv_2d_params *p = call->params;
    const ofr_status status = ofr_mve_check_columns(call);
    if (status != OFR_OK) {
        return status;
    }
    const uint32_t taps = ofr_times(ofr_times(p->kernel_h, p->kernel_w), p->in_c);
    if (taps > OFR_MVE_MAX_TAPS_4) {
        return ofr_refuse(call, OFR_E_VALUE, taps, OFR_MVE_MAX_TAPS_4);
    }
    const uint32_t stream = ofr_times((p->out_c + 1u) / 2u, ofr_mve_pair_bytes_4(taps));
    return ofr_mve_check_conv_2d_of(call, ofr_mve_columns_bytes(p), stream);
}

static __attribute__((noinline)) void run(const ofr_call *call, uint32_t is_signed) {
    ofr_mve_conv_2d(call, is_signed, ofr_mve_pair_bytes_4(ofr_mve_taps(call->params)), ofr_mve_run_4);
}

static void run_relu(const ofr_call *call) {
    run(call, 0);
}

static void run_signed(const ofr_call *call) {
    run(call, 1);
}

const ofr_kernel ofr_kernel_mve_conv_2d_4 = {
    OFR_KERNEL_MVE_CONV_2D_4, OFR_PACKING_MVE_CONV_2D_4, sizeof(ofr_mve_conv_2d_params), 1, 1, OFR_SAME_START(0), check, run_relu,
};

const ofr_kernel ofr_kernel_mve_conv_2d_4_signed = {
    OFR_KERNEL_MVE_CONV_2D_4_SIGNED, OFR_PACKING_MVE_CONV_2D_4_SIGNED, sizeof(ofr_mve_conv_2d_params), 1, 1, OFR_SAME_START(0), check, run_signed,
};

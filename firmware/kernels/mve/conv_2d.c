/* Convolution of any size, int8, on Helium. */
#pragma GCC optimize("Os")

#include "conv_2d.h"

static ofr_status check(const ofr_call *call) {
    const ofr_status status = ofr_mve_check_columns(call);
    return status != OFR_OK ? status : ofr_mve_check_conv_2d(call, ofr_mve_columns_bytes(call->params));
}

static __attribute__((noinline)) void run(const ofr_call *call, uint32_t is_signed) {
    ofr_mve_conv_2d(call, is_signed, ofr_mve_pair_bytes(ofr_mve_taps(call->params)), ofr_mve_run);
}

static void run_relu(const ofr_call *call) {
    run(call, 0);
}

static void run_signed(const ofr_call *call) {
    run(call, 1);
}

const ofr_kernel ofr_kernel_mve_conv_2d = {
    OFR_KERNEL_MVE_CONV_2D, OFR_PACKING_MVE_CONV_2D, sizeof(ofr_mve_conv_2d_params), 1, 1, OFR_SAME_START(0), check, run_relu,
};

const ofr_kernel ofr_kernel_mve_conv_2d_signed = {
    OFR_KERNEL_MVE_CONV_2D_SIGNED, OFR_PACKING_MVE_CONV_2D_SIGNED, sizeof(ofr_mve_conv_2d_params), 1, 1, OFR_SAME_START(0), check, run_signed,
};

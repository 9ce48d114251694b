/* 1x1 convolution at stride 1, and fully connected over many rows, int8, on Helium. */
#pragma GCC optimize("Os")

#include "pointwise.h"

static const ofr_mve_pixels pixels = {16, 1};

static ofr_status check(const ofr_call *call) {
    const ofr_mve_pointwise_params *p = call->params;
    return ofr_mve_check_pointwise(call, ofr_times((p->out_c + 1u) / 2u, ofr_mve_pair_bytes(p->in_c)), pixels);
}

static __attribute__((noinline)) void run(const ofr_call *call, uint32_t is_signed) {
    const ofr_mve_pointwise_params *p = call->params;
    ofr_mve_pointwise(call, is_signed, ofr_mve_pair_bytes(p->in_c), pixels, ofr_mve_run);
}

static void run_relu(const ofr_call *call) {
    run(call, 0);
}

static void run_signed(const ofr_call *call) {
    run(call, 1);
}

const ofr_kernel ofr_kernel_mve_pointwise_conv_2d = {
    OFR_KERNEL_MVE_POINTWISE_CONV_2D, OFR_PACKING_MVE_POINTWISE_CONV_2D, sizeof(ofr_mve_pointwise_params), 1, 1, OFR_SAME_START(0), check, run_relu,
};

const ofr_kernel ofr_kernel_mve_pointwise_conv_2d_signed = {
    OFR_KERNEL_MVE_POINTWISE_CONV_2D_SIGNED, OFR_PACKING_MVE_POINTWISE_CONV_2D_SIGNED, sizeof(ofr_mve_pointwise_params), 1, 1, OFR_SAME_START(0), check, run_signed,
};

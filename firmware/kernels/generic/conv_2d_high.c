/* Convolution and fully connected, int8, with the upper plane of the weights alone: see planes.h. */
#ifdef __ARM_FEATURE_DSP
#pragma GCC optimize("Os") /* other sets serve nearly all layers there */
#endif

#include "planes.h"

static ofr_status check(const ofr_call *call) {
    return check_planes(call, 1);
}

static void run(const ofr_call *call) {
    run_planes(call, 1);
}

const ofr_kernel ofr_kernel_generic_conv_2d_high = {
    OFR_KERNEL_GENERIC_CONV_2D_HIGH, OFR_PACKING_GENERIC_CONV_2D_HIGH, sizeof(ofr_conv_2d_tile_params), 2, 1, 0, check, run,
};

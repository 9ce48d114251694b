/* Convolution and fully connected, int8, with both planes of the weights: see planes.h. */
#ifdef __ARM_FEATURE_DSP
#pragma GCC optimize("Os") /* other sets serve nearly all layers there */
#endif

#include "planes.h"

static ofr_status check(const ofr_call *call) {
    return check_planes(call, 2);
}

static void run(const ofr_call *call) {
    run_planes(call, 2);
}

const ofr_kernel ofr_kernel_generic_conv_2d_planes = {
    OFR_KERNEL_GENERIC_CONV_2D_PLANES, OFR_PACKING_GENERIC_CONV_2D_PLANES, sizeof(ofr_conv_2d_tile_params), 3, 1, 0, check, run,
};

/* Convolution of any size with sparse weights, on Helium. */
#pragma GCC optimize("Os")

#include "conv_2d.h"
#include "tile_sparse.h"

static ofr_status check(const ofr_call *call) {
    const ofr_mve_conv_2d_params *p = call->params;
    ofr_status status = ofr_mve_check_columns(call);
    if (status != OFR_OK) {
        return status;
    }
    const uint32_t stream = call->params_bytes - (uint32_t)sizeof *p;
    status = ofr_mve_check_conv_2d_of(call, ofr_mve_columns_bytes(p), stream);
    return status != OFR_OK ? status : ofr_mve_check_sparse(call, p + 1, stream, ofr_mve_taps(p), p->out_c, OFR_MVE_PAIRS, OFR_MVE_BYTES);
}

static __attribute__((noinline)) void run(const ofr_call *call, uint32_t is_signed) {
    ofr_mve_conv_2d(call, is_signed, 0, ofr_mve_run_sparse);
}

static void run_relu(const ofr_call *call) {
    run(call, 0);
}

static void run_signed(const ofr_call *call) {
    run(call, 1);
}

const ofr_kernel ofr_kernel_mve_conv_2d_sparse = {
    OFR_KERNEL_MVE_CONV_2D_SPARSE, OFR_PACKING_MVE_CONV_2D_SPARSE, sizeof(ofr_mve_conv_2d_sparse_params), 1, 1, OFR_SAME_START(0), check, run_relu,
};

const ofr_kernel ofr_kernel_mve_conv_2d_sparse_signed = {
    OFR_KERNEL_MVE_CONV_2D_SPARSE_SIGNED, OFR_PACKING_MVE_CONV_2D_SPARSE_SIGNED, sizeof(ofr_mve_conv_2d_sparse_params), 1, 1, OFR_SAME_START(0), check, run_signed,
};

/* Convolution of any size with weights in sparse blocks of four, on Helium. */
#pragma GCC optimize("Os")

#include "conv_2d.h"
#include "tile_sparse.h"

static ofr_status check(const ofr_call *call) {
    const ofr_mve_conv_2d_params *p = call->params;
    ofr_status status = ofr_mve_check_columns(call);
    if (status != OFR_OK) {
        return status;
    }
    if (p->in_c % 4u != 0) {
        return ofr_refuse(call, OFR_E_VALUE, p->in_c, 4);
    }
    const uint32_t stream = call->params_bytes - (uint32_t)sizeof *p;
    status = ofr_mve_check_conv_2d_of(call, ofr_mve_columns_bytes(p), stream);
    return status != OFR_OK ? status : ofr_mve_check_sparse(call, p + 1, stream, ofr_mve_taps(p), p->out_c, OFR_MVE_PAIRS, OFR_MVE_BLOCKS);
}

static __attribute__((noinline)) void run(const ofr_call *call, uint32_t is_signed) {
    ofr_mve_conv_2d(call, is_signed, 0, ofr_mve_run_blocks);
}

static void run_relu(const ofr_call *call) {
    run(call, 0);
}

static void run_signed(const ofr_call *call) {
    run(call, 1);
}

const ofr_kernel ofr_kernel_mve_conv_2d_blocks = {
    OFR_KERNEL_MVE_CONV_2D_BLOCKS, OFR_PACKING_MVE_CONV_2D_BLOCKS, sizeof(ofr_mve_conv_2d_sparse_params), 1, 1, OFR_SAME_START(0), check, run_relu,
};

const ofr_kernel ofr_kernel_mve_conv_2d_blocks_signed = {
    OFR_KERNEL_MVE_CONV_2D_BLOCKS_SIGNED, OFR_PACKING_MVE_CONV_2D_BLOCKS_SIGNED, sizeof(ofr_mve_conv_2d_sparse_params), 1, 1, OFR_SAME_START(0), check, run_signed,
};

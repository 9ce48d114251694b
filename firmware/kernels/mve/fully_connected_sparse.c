/* Fully connected over few rows with sparse weights, on Helium. */
#pragma GCC optimize("Os")

#include "rows_sparse.h"

static __attribute__((naked, noinline)) void channels_relu(const ofr_mve_row *r __attribute__((unused))) {
    __asm__ volatile(OFR_MVE_SPARSE_CHANNELS(OFR_MVE_BYTES_OPEN, OFR_MVE_BYTES_PIXEL, OFR_MVE_BYTES_CLOSE, OFR_MVE_ROUND_RELU, OFR_MVE_NARROW_RELU));
}

static __attribute__((naked, noinline)) void channels_signed(const ofr_mve_row *r __attribute__((unused))) {
    __asm__ volatile(OFR_MVE_SPARSE_CHANNELS(OFR_MVE_BYTES_OPEN, OFR_MVE_BYTES_PIXEL, OFR_MVE_BYTES_CLOSE, OFR_MVE_ROUND_SIGNED, OFR_MVE_NARROW_SIGNED));
}

static ofr_status check(const ofr_call *call) {
    return ofr_mve_check_sparse_rows(call, OFR_MVE_BYTES);
}

static __attribute__((noinline)) void run(const ofr_call *call, void channels(const ofr_mve_row *)) {
    ofr_mve_sparse_rows(call, channels, OFR_MVE_BYTES);
}

static void run_relu(const ofr_call *call) {
    run(call, channels_relu);
}

static void run_signed(const ofr_call *call) {
    run(call, channels_signed);
}

const ofr_kernel ofr_kernel_mve_fully_connected_sparse = {
    OFR_KERNEL_MVE_FULLY_CONNECTED_SPARSE, OFR_PACKING_MVE_FULLY_CONNECTED_SPARSE, sizeof(ofr_mve_pointwise_sparse_params), 1, 1, 0, check, run_relu,
};

const ofr_kernel ofr_kernel_mve_fully_connected_sparse_signed = {
    OFR_KERNEL_MVE_FULLY_CONNECTED_SPARSE_SIGNED, OFR_PACKING_MVE_FULLY_CONNECTED_SPARSE_SIGNED, sizeof(ofr_mve_pointwise_sparse_params), 1, 1, 0, check, run_signed,
};

/* Fully connected over few rows, int8, on Helium.
 *
 * The stream holds for each eight channels: for each 16 inputs 16 weights of each. */
#pragma GCC optimize("Os")

#include "fully_connected.h"

/* 16 inputs: weights of channel i times q0 into register 2 i. */
#define STEP(op)                                          \
    "vldrb.8 q0, [r1], #16\n"                             \
    "vldrb.8 q1, [r9], #16\n" op " r0, q0, q1\n"          \
    "vldrb.8 q2, [r9], #16\n" op " r2, q0, q2\n"          \
    "vldrb.8 q1, [r9], #16\n" op " r4, q0, q1\n"          \
    "vldrb.8 q2, [r9], #16\n" op " r6, q0, q2\n"          \
    "vldrb.8 q1, [r9], #16\n" op " r8, q0, q1\n"          \
    "vldrb.8 q2, [r9], #16\n" op " r10, q0, q2\n"         \
    "vldrb.8 q1, [r9], #16\n" op " r12, q0, q1\n"         \
    "vldrb.8 q2, [r9], #16\n" op " r14, q0, q2\n"

static __attribute__((naked, noinline)) void channels_relu(const ofr_mve_row *r __attribute__((unused))) {
    __asm__ volatile(OFR_MVE_CHANNELS("d8-d11", "", STEP, "", OFR_MVE_ROUND_RELU, OFR_MVE_NARROW_RELU));
}

static __attribute__((naked, noinline)) void channels_signed(const ofr_mve_row *r __attribute__((unused))) {
    __asm__ volatile(OFR_MVE_CHANNELS("d8-d11", "", STEP, "", OFR_MVE_ROUND_SIGNED, OFR_MVE_NARROW_SIGNED));
}

static ofr_status check(const ofr_call *call) {
    return ofr_mve_check_rows(call, 128);
}

static __attribute__((noinline)) void run(const ofr_call *call, void channels(const ofr_mve_row *)) {
    ofr_mve_rows(call, channels);
}

static void run_relu(const ofr_call *call) {
    run(call, channels_relu);
}

static void run_signed(const ofr_call *call) {
    run(call, channels_signed);
}

const ofr_kernel ofr_kernel_mve_fully_connected = {
    OFR_KERNEL_MVE_FULLY_CONNECTED, OFR_PACKING_MVE_FULLY_CONNECTED, sizeof(ofr_mve_pointwise_params), 1, 1, 0, check, run_relu,
};

const ofr_kernel ofr_kernel_mve_fully_connected_signed = {
    OFR_KERNEL_MVE_FULLY_CONNECTED_SIGNED, OFR_PACKING_MVE_FULLY_CONNECTED_SIGNED, sizeof(ofr_mve_pointwise_params), 1, 1, 0, check, run_signed,
};

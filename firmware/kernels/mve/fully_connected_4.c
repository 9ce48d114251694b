/* Fully connected over few rows with weights of four bits, on Helium.
 *
 * The stream holds for each eight channels: for each 16 inputs 16 bytes of each pair, the second channel's weight in the
 * high nibble and, without sign, 8 + the first one's in the low. A byte is 16 times the second's and that: two products
 * with it and one shift serve both, and 8 times the inputs' sum is taken off in the end. */
#pragma GCC optimize("Os")

#include "fully_connected.h"

/* 16 inputs: bytes of pair i into register 2 i, the second channel's weights into register 8 + 2 i. */
#define STEP(op)                                                                                      \
    "vldrb.8 q0, [r1], #16\n"                                                                         \
    "vldrb.8 q1, [r9], #16\n" op " r0, q0, q1\n" "vshr.s8 q1, q1, #4\n" op " r8, q0, q1\n"           \
    "vldrb.8 q2, [r9], #16\n" op " r2, q0, q2\n" "vshr.s8 q2, q2, #4\n" op " r10, q0, q2\n"          \
    "vldrb.8 q1, [r9], #16\n" op " r4, q0, q1\n" "vshr.s8 q1, q1, #4\n" op " r12, q0, q1\n"          \
    "vldrb.8 q2, [r9], #16\n" op " r6, q0, q2\n" "vshr.s8 q2, q2, #4\n" op " r14, q0, q2\n"

/* q6: 8 times the sum of all inputs of the row, those of steps behind the first too. */
#define OPEN                        \
    "ldm r0, {r1, r2, r3}\n"        \
    "rsb r2, r3, r2, lsl #2\n"      \
    "adds r2, #1\n"                 \
    "movs r4, #0\n"                 \
    "dls lr, r2\n"                  \
    "0: vldrb.8 q0, [r1], #16\n"    \
    "vaddva.s8 r4, q0\n"            \
    "le lr, 0b\n"                   \
    "lsls r4, #3\n"                 \
    "vdup.32 q6, r4\n"

#define SUMS                        \
    "vshl.i32 q2, q1, #4\n"         \
    "vsub.i32 q0, q0, q2\n"         \
    "vsub.i32 q0, q0, q6\n"

_Static_assert(OFR_MVE_UNROLLED == 4, "OPEN counts steps");

static __attribute__((naked, noinline)) void channels_relu(const ofr_mve_row *r __attribute__((unused))) {
    __asm__ volatile(OFR_MVE_CHANNELS("d8-d13", OPEN, STEP, SUMS, OFR_MVE_ROUND_RELU, OFR_MVE_NARROW_RELU));
}

static __attribute__((naked, noinline)) void channels_signed(const ofr_mve_row *r __attribute__((unused))) {
    __asm__ volatile(OFR_MVE_CHANNELS("d8-d13", OPEN, STEP, SUMS, OFR_MVE_ROUND_SIGNED, OFR_MVE_NARROW_SIGNED));
}

static ofr_status check(const ofr_call *call) {
    return ofr_mve_check_rows(call, 64);
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

const ofr_kernel ofr_kernel_mve_fully_connected_4 = {
    OFR_KERNEL_MVE_FULLY_CONNECTED_4, OFR_PACKING_MVE_FULLY_CONNECTED_4, sizeof(ofr_mve_pointwise_params), 1, 1, 0, check, run_relu,
};

const ofr_kernel ofr_kernel_mve_fully_connected_4_signed = {
    OFR_KERNEL_MVE_FULLY_CONNECTED_4_SIGNED, OFR_PACKING_MVE_FULLY_CONNECTED_4_SIGNED, sizeof(ofr_mve_pointwise_params), 1, 1, 0, check, run_signed,
};

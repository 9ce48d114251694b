/* Four pixels by two channels with weights of four bits. */
#pragma GCC optimize("Os")

#include "tile_4.h"

#include "tile_code.h"

/* 16 times the first channel's weights, which saves a shift, and the second's. */
#define WEIGHTS                \
    "vldrb.8 q1, [r9], #16\n"  \
    "vshl.i8 q0, q1, #4\n"     \
    "vshr.s8 q1, q1, #4\n"

#define COLLECT(a, b)                   \
    OFR_MVE_SUMS(a, b)                  \
    "vshr.s32 " a ", " a ", #4\n"       \
    OFR_MVE_MULTIPLY(a, b)

static __attribute__((naked, noinline)) void pairs(const ofr_mve_tile *tile __attribute__((unused)),
                                                   uint32_t is_signed __attribute__((unused))) {
    __asm__ volatile(OFR_MVE_PAIRS_CODE(WEIGHTS, "60", COLLECT));
}

void ofr_mve_run_4(ofr_mve_tile *t, const ofr_mve_layer *l, int8_t *out, uint32_t n, uint32_t is_signed) {
    ofr_mve_run_pairs(pairs, t, l, out, n, is_signed);
}

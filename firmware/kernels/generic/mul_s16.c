/* Multiplication, int16: the product, requantized. */
#pragma GCC optimize("O2") /* not a loop for each stride */

#include "broadcast.h"
#include "fixed_point.h"

static ofr_status check(const ofr_call *call) {
    return ofr_check_broadcast_of(call, sizeof(ofr_mul_params), OFR_S16);
}

/* Everything of p in registers: a store through `out` could change it, for all the compiler knows. */
static void mul_row(const void *params, const int16_t *a, uint32_t stride_a, const int16_t *b, uint32_t stride_b,
                    int16_t *out, uint32_t n) {
    const ofr_mul_params *p = params;
    const int32_t multiplier = p->multiplier, shift = p->shift, low = p->act_min, high = p->act_max;
    for (const int16_t *end = out + n; out < end; out++) {
        *out = (int16_t)ofr_clamp(ofr_requantize(*a * *b, multiplier, shift), low, high);
        a += stride_a;
        b += stride_b;
    }
}

static void run(const ofr_call *call) {
    ofr_for_rows_s16(call, mul_row);
}

const ofr_kernel ofr_kernel_generic_mul_s16 = {
    OFR_KERNEL_GENERIC_MUL_S16, OFR_PACKING_GENERIC_MUL_S16, sizeof(ofr_mul_params), 2, 1, 3, check, run,
};

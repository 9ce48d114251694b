/* Multiplication, int8: the product of centred values, requantized. */
#include "broadcast.h"
#include "fixed_point.h"

static ofr_status check(const ofr_call *call) {
    return ofr_check_broadcast(call, sizeof(ofr_mul_params));
}

static void mul_row(const void *params, const int8_t *a, uint32_t stride_a, const int8_t *b, uint32_t stride_b,
                    int8_t *out, uint32_t n) {
    const ofr_mul_params *p = params;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t product = (uint32_t)(*a - p->zero_point[0]) * (uint32_t)(*b - p->zero_point[1]);
        const int32_t q = ofr_requantize((int32_t)product, p->multiplier, p->shift);
        out[i] = (int8_t)ofr_clamp(ofr_wrap_add(q, p->out_zero_point), p->act_min, p->act_max);
        a += stride_a;
        b += stride_b;
    }
}

static void run(const ofr_call *call) {
    ofr_for_rows(call, mul_row);
}

const ofr_kernel ofr_kernel_generic_mul = {
    OFR_KERNEL_GENERIC_MUL, OFR_PACKING_GENERIC_MUL, sizeof(ofr_mul_params), 2, 1, 3, check, run,
};

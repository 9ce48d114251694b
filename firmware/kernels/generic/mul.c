/* Multiplication, int8: the product of centred values, requantized. */
#include "broadcast.h"
#include "fixed_point.h"

static ofr_status check(const ofr_call *call) {
    return ofr_check_broadcast(call, sizeof(ofr_mul_params));
}

/* Everything of p in registers: a store through `out` could change it, for all the compiler knows. */
static void mul_row(const void *params, const int8_t *a, uint32_t stride_a, const int8_t *b, uint32_t stride_b,
                    int8_t *out, uint32_t n) {
    const ofr_mul_params *p = params;
    const int32_t multiplier = p->multiplier, shift = p->shift;
    const int32_t zero_a = p->zero_point[0], zero_b = p->zero_point[1], zero_out = p->out_zero_point;
    const int32_t low = p->act_min, high = p->act_max;
    for (const int8_t *end = out + n; out < end; out++) {
        const uint32_t product = (uint32_t)(*a - zero_a) * (uint32_t)(*b - zero_b);
        *out = (int8_t)ofr_clamp(ofr_wrap_add(ofr_requantize((int32_t)product, multiplier, shift), zero_out), low, high);
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

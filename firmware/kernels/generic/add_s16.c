/* Addition and subtraction, int16: both inputs at a common scale with 15 bits more, then requantized. */
#include "broadcast.h"
#include "fixed_point.h"

enum { MORE = 15 };

static ofr_status check(const ofr_call *call) {
    const ofr_add_params *p = call->params;
    const ofr_status status = ofr_check_broadcast_of(call, sizeof *p, OFR_S16);
    return status == OFR_OK && p->subtract > 1 ? ofr_refuse(call, OFR_E_VALUE, p->subtract, 1) : status;
}

static inline int32_t scaled(int32_t x, int32_t multiplier, int32_t right) {
    return ofr_rounding_divide_by_pot(ofr_doubling_high_mul(x, multiplier), (uint32_t)right & 31u);
}

/* Everything of p in registers: a store through `out` could change it, for all the compiler knows. */
static void add_row(const void *params, const int16_t *a, uint32_t stride_a, const int16_t *b, uint32_t stride_b,
                    int16_t *out, uint32_t n) {
    const ofr_add_params *p = params;
    const int32_t of_a = p->multiplier[0], of_b = p->multiplier[1], of_sum = p->multiplier[2];
    const int32_t right_a = p->shift[0], right_b = p->shift[1], right_sum = p->shift[2];
    const int32_t low = p->act_min, high = p->act_max, negate = p->subtract ? -1 : 0;
    for (const int16_t *end = out + n; out < end; out++) {
        const int32_t x = scaled(*a * (1 << MORE), of_a, right_a), y = scaled(*b * (1 << MORE), of_b, right_b);
        const int32_t sum = ofr_wrap_add(x, ofr_wrap_add(y ^ negate, -negate));
        *out = (int16_t)ofr_clamp(scaled(sum, of_sum, right_sum), low, high);
        a += stride_a;
        b += stride_b;
    }
}

static void run(const ofr_call *call) {
    ofr_for_rows_s16(call, add_row);
}

const ofr_kernel ofr_kernel_generic_add_s16 = {
    OFR_KERNEL_GENERIC_ADD_S16, OFR_PACKING_GENERIC_ADD_S16, sizeof(ofr_add_params), 2, 1, 3, check, run,
};

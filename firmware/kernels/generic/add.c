/* Addition and subtraction, int8: both inputs at a common scale with 20 bits more, then requantized. */
#include "broadcast.h"
#include "fixed_point.h"

enum { LEFT_SHIFT = 20 };

static ofr_status check(const ofr_call *call) {
    const ofr_add_params *p = call->params;
    const ofr_status status = ofr_check_broadcast(call, sizeof *p);
    if (status != OFR_OK) {
        return status;
    }
    for (uint32_t i = 0; i < 2; i++) {
        if (p->shift[i] < 0 || p->shift[i] > 31 || p->zero_point[i] < -128 || p->zero_point[i] > 127) {
            return ofr_refuse(call, OFR_E_VALUE, (uint32_t)p->shift[i], 31);
        }
    }
    return p->subtract > 1 ? ofr_refuse(call, OFR_E_VALUE, p->subtract, 1) : OFR_OK;
}

/* |x| <= 255, so that the product neither overflows nor saturates, whatever the multiplier. */
static inline int32_t scaled(int32_t x, int32_t multiplier, int32_t shift) {
    const int32_t high = (int32_t)(((int64_t)(x * (1 << LEFT_SHIFT)) * multiplier + (1 << 30)) >> 31);
    return shift == 0 ? high : ofr_rounding_divide_by_pot(high, (uint32_t)shift);
}

static void add_row(const void *params, const int8_t *a, uint32_t stride_a, const int8_t *b, uint32_t stride_b,
                    int8_t *out, uint32_t n) {
    const ofr_add_params *p = params;
    const int32_t sign = p->subtract ? -1 : 1;
    for (uint32_t i = 0; i < n; i++) {
        const int32_t left = scaled(*a - p->zero_point[0], p->multiplier[0], p->shift[0]);
        const int32_t right = scaled(*b - p->zero_point[1], p->multiplier[1], p->shift[1]);
        const int32_t q = ofr_requantize(left + sign * right, p->out_multiplier, p->out_shift);
        out[i] = (int8_t)ofr_clamp(ofr_wrap_add(q, p->out_zero_point), p->act_min, p->act_max);
        a += stride_a;
        b += stride_b;
    }
}

static void run(const ofr_call *call) {
    ofr_for_rows(call, add_row);
}

const ofr_kernel ofr_kernel_generic_add = {
    OFR_KERNEL_GENERIC_ADD, OFR_PACKING_GENERIC_ADD, sizeof(ofr_add_params), 2, 1, 3, check, run,
};

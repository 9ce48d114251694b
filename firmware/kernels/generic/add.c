/* Addition and subtraction, int8: both inputs at a common scale with 20 bits more, then requantized. */
#include "broadcast.h"
#include "fixed_point.h"

/* x * multiplier / 2^31, then / 2^right, each rounded as gemmlowp does, for |x| <= 2^29. */
typedef struct scaling {
    int32_t multiplier;
    uint32_t right;
    int32_t half;     /* of 2^right */
    int32_t negative; /* mask: a negative half rounds down; none without a shift */
} scaling;

static inline scaling scaling_of(int32_t multiplier, int32_t shift) {
    return (scaling){multiplier, (uint32_t)shift, shift != 0 ? 1 << (shift - 1) : 0, shift != 0 ? -1 : 0};
}

static inline int32_t divide(scaling s, int32_t x) {
    return (x + s.half + ((x >> 31) & s.negative)) >> s.right;
}

/* An input's value, |x| <= 255, with 20 bits more: the first rounding's 31 bits become 11. */
static inline int32_t scale_input(scaling s, int32_t x) {
    return divide(s, (int32_t)(((int64_t)x * s.multiplier + (1 << 10)) >> 11));
}

static inline int32_t scale_sum(scaling s, int32_t x) {
    return divide(s, (int32_t)(((int64_t)x * s.multiplier + (1 << 30)) >> 31));
}

static ofr_status check(const ofr_call *call) {
    const ofr_add_params *p = call->params;
    const ofr_status status = ofr_check_broadcast(call, sizeof *p);
    for (uint32_t i = 0; i < 3 && status == OFR_OK; i++) {
        if (p->shift[i] < 0 || p->shift[i] > 31) {
            return ofr_refuse(call, OFR_E_VALUE, (uint32_t)p->shift[i], 31);
        }
        if (p->zero_point[i] < -128 || p->zero_point[i] > 127) {
            return ofr_refuse(call, OFR_E_VALUE, (uint32_t)p->zero_point[i], 127);
        }
    }
    return status == OFR_OK && p->subtract > 1 ? ofr_refuse(call, OFR_E_VALUE, p->subtract, 1) : status;
}

/* All of p but the clamp's ends, for which RV32 has no registers left, in registers: a store through `out` could change it, for all the compiler knows. */
static void add_row(const void *params, const int8_t *a, uint32_t stride_a, const int8_t *b, uint32_t stride_b,
                    int8_t *out, uint32_t n) {
    const ofr_add_params *p = params;
    const scaling of_a = scaling_of(p->multiplier[0], p->shift[0]);
    const scaling of_b = scaling_of(p->multiplier[1], p->shift[1]);
    const scaling of_sum = scaling_of(p->multiplier[2], p->shift[2]);
    const int32_t zero_a = p->zero_point[0], zero_b = p->zero_point[1], zero_out = p->zero_point[2];
    const int32_t sign = p->subtract ? -1 : 1;
    for (const int8_t *end = out + n; out < end; out++) {
        const int32_t sum = scale_input(of_a, *a - zero_a) + sign * scale_input(of_b, *b - zero_b);
        *out = (int8_t)ofr_clamp(scale_sum(of_sum, sum) + zero_out, p->act_min, p->act_max);
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

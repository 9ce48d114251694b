/* Softmax over rows, int8 to int8 with scale 1/256: gemmlowp's exponential computed, where a table is too large. */
#pragma GCC optimize("Os") /* a few rows a run: size counts */

#include "params.h"

typedef ofr_softmax_exp_params params;

#include "softmax.h"

enum { FRACTION_BITS = 26 }; /* the exponential's argument is Q5.26 */

/* exp(a) as Q0.31 for a in [-1/4, 0), Q0.31: a polynomial around -1/8. */
static int32_t exp_on_quarter(int32_t a) {
    const int32_t x = a + (1 << 28);
    const int32_t x2 = ofr_doubling_high_mul(x, x), x3 = ofr_doubling_high_mul(x2, x);
    const int32_t x4_over_4 = ofr_rounding_divide_by_pot(ofr_doubling_high_mul(x2, x2), 2);
    const int32_t above = ofr_doubling_high_mul(x4_over_4 + x3, 715827883) + x2; /* 1/3 */
    const int32_t sum = x + ofr_rounding_divide_by_pot(above, 1);
    return 1895147668 + ofr_doubling_high_mul(sum, 1895147668); /* exp(-1/8) */
}

static __attribute__((noinline)) int32_t exponential(const params *p, uint32_t d) {
    /* exp(-2^i) for i = -2 to 4 */
    static const int32_t of_power[] = {1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242};
    const int32_t x = ofr_requantize(-(int32_t)d, p->multiplier, p->shift);
    const int32_t quarter = 1 << (FRACTION_BITS - 2), part = (x & (quarter - 1)) - quarter;
    const uint32_t rest = (uint32_t)part - (uint32_t)x;
    int32_t result = exp_on_quarter(part * (1 << 5));
    for (uint32_t i = 0; i < 7; i++) {
        const int32_t is_set = ofr_joined(-(int32_t)(rest >> (FRACTION_BITS - 2 + i) & 1));
        result += (ofr_doubling_high_mul(result, of_power[i]) - result) & is_set;
    }
    return x == 0 ? INT32_MAX : result;
}

static ofr_status check(const ofr_call *call) {
    return check_softmax(call, 0);
}

const ofr_kernel ofr_kernel_generic_softmax_exp = {
    OFR_KERNEL_GENERIC_SOFTMAX_EXP, OFR_PACKING_GENERIC_SOFTMAX_EXP, sizeof(params), 1, 1, 1, check, run,
};

/* gemmlowp's double rounding, as TensorFlow Lite Micro computes it; free of undefined behaviour for all inputs. */
#ifndef OFR_FIXED_POINT_H
#define OFR_FIXED_POINT_H

#include <stdint.h>

/* The value itself, behind which compilers do not part ways over how it came about: repeating what follows in each, the
 * end of a loop say, would leave `pack --certify` nothing to bound. */
static inline int32_t ofr_joined(int32_t x) {
#if defined(__GNUC__)
    __asm__("" : "+r"(x));
#endif
    return x;
}

/* Sum modulo 2^32. */
static inline int32_t ofr_wrap_add(int32_t a, int32_t b) {
    return (int32_t)((uint32_t)a + (uint32_t)b);
}

/* (2 a b) >> 32, rounded to nearest, halves up; saturates at -2^31 * -2^31. */
static inline int32_t ofr_doubling_high_mul(int32_t a, int32_t b) {
    const uint32_t product = (uint32_t)(((int64_t)a * b + ((int64_t)1 << 30)) >> 31);
    const uint32_t saturates = (a == INT32_MIN) & (b == INT32_MIN);
    return (int32_t)(product - saturates);
}

/* x / 2^exponent, halves away from zero; exponent in [0, 31]. */
static inline int32_t ofr_rounding_divide_by_pot(int32_t x, uint32_t exponent) {
    const uint32_t mask = (1u << exponent) - 1u;
    const uint32_t threshold = (mask >> 1) + (x < 0 ? 1u : 0u);
    return (x >> exponent) + (((uint32_t)x & mask) > threshold ? 1 : 0);
}

/* x * multiplier * 2^(shift - 31). Shifts outside [-31, 31] are taken modulo 32: harmless, never produced. */
static inline int32_t ofr_requantize(int32_t x, int32_t multiplier, int32_t shift) {
    const uint32_t left = shift > 0 ? (uint32_t)shift & 31u : 0u;
    const uint32_t right = shift < 0 ? (0u - (uint32_t)shift) & 31u : 0u;
    return ofr_rounding_divide_by_pot(ofr_doubling_high_mul((int32_t)((uint32_t)x << left), multiplier), right);
}

/* x * multiplier / 2^right for the 64-bit sums of int16 activations, halves up: 16 bits of multiplier, right in [8, 46].
 * Other numbers are harmless, never produced. */
static inline int32_t ofr_requantize_wide(int64_t x, int32_t multiplier, int32_t right) {
    const uint64_t product = (uint64_t)x * (uint16_t)multiplier;
    return (int32_t)(uint32_t)((uint64_t)(((int64_t)product >> (((uint32_t)right - 1) & 63u)) + 1) >> 1);
}

/* Leading zero bits of x, at most 31. */
static inline uint32_t ofr_leading_zeros(uint32_t x) {
#if defined(__ARM_FEATURE_CLZ)
    return (uint32_t)__builtin_clz(x | 1);
#else
    uint32_t n = 0;
    for (uint32_t bits = 16; bits != 0; bits /= 2) {
        const uint32_t zeros = (x >> (32 - bits) == 0) * bits;
        x <<= zeros;
        n += zeros;
    }
    return n;
#endif
}

static inline int32_t ofr_clamp(int32_t x, int32_t low, int32_t high) {
    x = ofr_joined(x < low ? low : x);
    return ofr_joined(x > high ? high : x);
}

/* sum / count, halves away from zero; at most 2^(30 - top) values in [-2^top, 2^top). */
static inline int32_t ofr_rounded_quotient(int32_t sum, int32_t count, int32_t top) {
    const int32_t sign = sum >> 31;
#if defined(__ARM_ARCH) && !defined(__ARM_FEATURE_IDIV)
    /* The library's division takes as long as its operands ask for, and `pack --certify` proves how long. The quotient
     * has top + 1 bits, each found without a branch. */
    int32_t rest = (sum ^ sign) - sign + count / 2, quotient = 0;
    for (int32_t bit = top; bit >= 0; bit--) {
        rest -= count << bit;
        const int32_t none = rest >> 31;
        rest += (count << bit) & none;
        quotient = 2 * quotient + 1 + none;
    }
    return (quotient ^ sign) - sign;
#else
    (void)top;
    return (sum + ((count / 2 ^ sign) - sign)) / count;
#endif
}

/* Of int8, at most 65,536 values. */
static inline int32_t ofr_rounded_average(int32_t sum, int32_t count) {
    return ofr_rounded_quotient(sum, count, 7);
}

#endif

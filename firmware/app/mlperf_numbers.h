/* Numbers of MLPerf Tiny in integers: thousandths of quantized values, int8 from float32, squared differences.
 *
 * A scale is `mantissa` times 2 to the -`shift`, mantissa in [2^23, 2^24), shift in [10, 62]: a float32 as it is, from
 * 2^-39 up to 8192 (offramp/build/mlperf.py). Any bits are a float here; infinities and NaN count as very large. */
#ifndef OFFRAMP_MLPERF_NUMBERS_H
#define OFFRAMP_MLPERF_NUMBERS_H

#include <stdbool.h>
#include <stdint.h>

struct mlperf_scale {
    uint32_t mantissa, shift;
    int32_t zero_point;
};

/* The value of q in thousandths: the exact product, to the nearest, ties to even, as printf("%.3f") of it. */
static inline int64_t mlperf_thousandths(int32_t q, struct mlperf_scale scale) {
    const int32_t steps = q - scale.zero_point;
    const uint64_t product = (uint64_t)scale.mantissa * 1000u * (uint32_t)(steps < 0 ? -steps : steps);
    const uint64_t half = (uint64_t)1 << (scale.shift - 1), rest = product & (2u * half - 1u);
    uint64_t whole = product >> scale.shift;
    if (rest > half || (rest == half && (whole & 1u))) ++whole;
    return steps < 0 ? -(int64_t)whole : (int64_t)whole;
}

/* A float32's magnitude is its mantissa times 2 to the result - 150; below 2^-126 it is taken for 0. */
static inline int32_t mlperf_parts(uint32_t bits, uint32_t *mantissa) {
    const int32_t exponent = (int32_t)(bits >> 23 & 0xFFu);
    *mantissa = exponent == 0 ? 0 : (bits & 0x7FFFFFu) | 0x800000u;
    return exponent;
}

/* int8 of a float32: the exact quotient by the scale to the nearest, ties away from zero, plus the zero point, clamped. */
static inline int8_t mlperf_quantize(uint32_t bits, struct mlperf_scale scale) {
    uint32_t mantissa;
    const int32_t power = mlperf_parts(bits, &mantissa) - 150 + (int32_t)scale.shift;
    int32_t q = 512;
    if (mantissa == 0 || power < -1) /* below half a step: mantissas are less than a factor of 2 apart */
        q = 0;
    else if (power < 9)
        q = (int32_t)((((uint64_t)mantissa << (power + 1)) + scale.mantissa) / (2u * scale.mantissa));
    q = (bits >> 31 ? -q : q) + scale.zero_point;
    return (int8_t)(q < -128 ? -128 : q > 127 ? 127 : q);
}

#define MLPERF_LARGEST (1 << 27) /* 2048 in 2^-16 */

/* magnitude * 2^power to the nearest, ties up, at most MLPERF_LARGEST; magnitude is below 2^33. */
static inline int32_t mlperf_scaled(uint64_t magnitude, int32_t power) {
    if (power < -40) return 0;
    if (power < 0) magnitude = (magnitude + ((uint64_t)1 << (-power - 1))) >> -power;
    if (power > 0) magnitude = power > 30 && magnitude != 0 ? MLPERF_LARGEST : magnitude << (power > 30 ? 0 : power);
    return magnitude > MLPERF_LARGEST ? MLPERF_LARGEST : (int32_t)magnitude;
}

/* The square of q's value less a float32, in 2^-32; each rounded to 2^-16 and taken for 2048 where it is larger, so that
 * 1,023 such squares fit a sum. */
static inline uint64_t mlperf_square(int32_t q, struct mlperf_scale scale, uint32_t bits) {
    const int32_t steps = q - scale.zero_point;
    uint32_t mantissa;
    const int32_t power = mlperf_parts(bits, &mantissa) - 150 + 16;
    const int32_t x = mlperf_scaled(mantissa, power);
    const int32_t y = mlperf_scaled((uint64_t)scale.mantissa * (uint32_t)(steps < 0 ? -steps : steps),
                                    16 - (int32_t)scale.shift);
    int32_t difference = (steps < 0 ? -y : y) - (bits >> 31 ? -x : x);
    if (difference > MLPERF_LARGEST || difference < -MLPERF_LARGEST) difference = MLPERF_LARGEST;
    return (uint64_t)((int64_t)difference * difference);
}

/* The mean of n squares in thousandths, to the nearest, ties up. */
static inline int64_t mlperf_mean(uint64_t sum, uint32_t n) {
    return (int64_t)((sum / n * 1000u + ((uint64_t)1 << 31)) >> 32);
}

#endif

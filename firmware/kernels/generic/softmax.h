/* Softmax over rows, int8 to int8 with scale 1/256, by gemmlowp's reciprocal. Who includes this has defined `params`,
 * a struct with depth, rows and entries, and exponential(p, d) for d < entries. */
#ifndef OFR_GENERIC_SOFTMAX_H
#define OFR_GENERIC_SOFTMAX_H

#include "fixed_point.h"
#include "kernel.h"

enum { SUM_BITS = 12 }; /* the sum of exponentials is Q12.19 */

/* exp of the scaled -d as Q0.31; further d have 0. */
static int32_t exponential(const params *p, uint32_t d);

static ofr_status check_softmax(const ofr_call *call, uint32_t bytes_an_entry) {
    const params *p = call->params;
    if (p->entries == 0 || p->entries > 256 || p->depth == 0 || p->depth > 4096) {
        return ofr_refuse(call, OFR_E_VALUE, p->depth, 4096); /* beyond 2^12 terms the sum may overflow */
    }
    if (call->in[0].dtype != OFR_S8 || call->out[0].dtype != OFR_S8) {
        return ofr_refuse(call, OFR_E_DTYPE, call->in[0].dtype, OFR_S8);
    }
    ofr_status status = ofr_expect(call, OFR_E_PARAMS, call->params_bytes, (uint32_t)sizeof *p + bytes_an_entry * p->entries);
    if (status == OFR_OK) {
        status = ofr_expect(call, OFR_E_SHAPE, call->in[0].bytes, ofr_times(p->depth, p->rows));
    }
    return status != OFR_OK ? status : ofr_expect(call, OFR_E_SHAPE, call->out[0].bytes, call->in[0].bytes);
}

static int32_t saturate(int64_t x) {
    return x > INT32_MAX ? INT32_MAX : x < INT32_MIN ? INT32_MIN : (int32_t)x;
}

/* 1 / sum as Q0.31 in [1/2, 1]; sum has `headroom` leading zero bits. Three Newton steps. */
static int32_t reciprocal(uint32_t sum, uint32_t headroom) {
    const int32_t x = (int32_t)((sum << headroom) - 0x80000000u);
    const int32_t half = (int32_t)(((int64_t)x + INT32_MAX + 1) >> 1);
    int32_t value = ofr_wrap_add(1515870810, ofr_doubling_high_mul(half, -1010580540)); /* 48/17 - 32/17 d, Q2.29 */
    for (int i = 0; i < 3; i++) {
        const int32_t error = ofr_wrap_add(1 << 29, -ofr_doubling_high_mul(half, value));
        value = ofr_wrap_add(value, saturate((int64_t)ofr_doubling_high_mul(value, error) * 4));
    }
    return saturate((int64_t)value * 2);
}

/* Apart, so that all is in registers: a maximum on the stack would be stored only where it grows. */
static __attribute__((noinline)) int32_t max_of(const int8_t *x, uint32_t n) {
    int32_t max = -128;
    for (uint32_t i = 0; i < n; i++) {
        max = x[i] > max ? x[i] : max;
    }
    return max;
}

/* Multiplies by 0 rather than to part ways over a value: `pack --certify` bounds how long it takes. */
static void softmax_row(const params *p, const int8_t *in, int8_t *out) {
    const int32_t max = max_of(in, p->depth);
    uint32_t sum = 0;
    for (uint32_t i = 0; i < p->depth; i++) {
        const uint32_t d = (uint32_t)(max - in[i]);
        const uint32_t known = d < p->entries;
        sum += known * (uint32_t)ofr_rounding_divide_by_pot(exponential(p, known * d), SUM_BITS);
    }
    const uint32_t headroom = ofr_leading_zeros(sum);
    const int32_t scale = reciprocal(sum, headroom);
    const uint32_t shift = SUM_BITS - headroom + 31 - 8;
    const uint32_t entries = (uint32_t)(shift < 32) * p->entries; /* a sum of 2^28 and more leaves less than half a step to each */
    for (uint32_t i = 0; i < p->depth; i++) {
        const uint32_t d = (uint32_t)(max - in[i]);
        const uint32_t known = d < entries;
        const int32_t q = ofr_rounding_divide_by_pot(ofr_doubling_high_mul(exponential(p, known * d), scale), shift & 31);
        out[i] = (int8_t)ofr_clamp(ofr_wrap_add((int32_t)known * q, -128), -128, 127);
    }
}

static void run(const ofr_call *call) {
    const params *p = call->params;
    for (uint32_t row = 0; row < p->rows; row++) {
        const uint32_t at = row * p->depth;
        softmax_row(p, (const int8_t *)call->in[0].data + at, (int8_t *)call->out[0].data + at);
    }
}

#endif

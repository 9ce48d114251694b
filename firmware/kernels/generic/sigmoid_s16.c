/* Logistic and tanh, int16 to int16 with scale 1/32768: interpolated in a table of the logistic function. */
#pragma GCC optimize("Os") /* a few values a run: size counts */

#include "fixed_point.h"
#include "kernel.h"

enum { ENTRIES = 256 };

static ofr_status check(const ofr_call *call) {
    const ofr_sigmoid_s16_params *p = call->params;
    if (p->is_tanh > 1) {
        return ofr_refuse(call, OFR_E_VALUE, p->is_tanh, 1);
    }
    if (call->in[0].dtype != OFR_S16 || call->out[0].dtype != OFR_S16) {
        return ofr_refuse(call, OFR_E_DTYPE, call->in[0].dtype, OFR_S16);
    }
    const ofr_status status = ofr_expect(call, OFR_E_PARAMS, call->params_bytes, (uint32_t)sizeof *p + 2 * ENTRIES);
    return status != OFR_OK ? status : ofr_expect(call, OFR_E_SHAPE, call->out[0].bytes, call->in[0].bytes);
}

/* The table's function of a value of `size` / 2^bits / 24, in units of 2^-16 / 2^bits; at most `most` / 2^bits. */
static inline uint32_t interpolate(const uint16_t *table, uint32_t size, uint32_t bits, uint32_t most) {
    const uint32_t index = size >> bits;
    if (index >= ENTRIES - 1) {
        return most << bits;
    }
    const uint32_t low = table[index];
    return (low << bits) + (size & ((1u << bits) - 1)) * (table[index + 1] - low);
}

static inline int16_t logistic(const uint16_t *table, int32_t x, uint32_t size) {
    const uint32_t y = interpolate(table, size, 9, 0xFFFE);
    return (int16_t)((x >= 0 ? y + (1u << 9) : (1u << 25) - y + (1u << 9) - 1) >> 10);
}

/* 2 * logistic(2 x) - 1 */
static inline int16_t tangent(const uint16_t *table, int32_t x, uint32_t size) {
    const int32_t y = (int32_t)interpolate(table, size, 8, 0xFFFF) - (1 << 23);
    return (int16_t)(((x >= 0 ? y : -y - 1) + (1 << 7)) >> 8);
}

static void run(const ofr_call *call) {
    const ofr_sigmoid_s16_params *p = call->params;
    const uint16_t *table = (const void *)(p + 1);
    const int16_t *in = (const void *)call->in[0].data;
    int16_t *out = (void *)call->out[0].data;
    const uint32_t right = p->shift & 31u, half = (1u << right) / 2;
    for (const int16_t *end = out + call->out[0].bytes / 2; out != end; in++, out++) {
        const int32_t x = (int32_t)((uint32_t)*in * (uint32_t)p->multiplier + half) >> right;
        const uint32_t size = x < 0 ? 0u - (uint32_t)x : (uint32_t)x;
        *out = p->is_tanh ? tangent(table, x, size) : logistic(table, x, size);
    }
}

const ofr_kernel ofr_kernel_generic_sigmoid_s16 = {
    OFR_KERNEL_GENERIC_SIGMOID_S16, OFR_PACKING_GENERIC_SIGMOID_S16, sizeof(ofr_sigmoid_s16_params), 1, 1, 1, check, run,
};

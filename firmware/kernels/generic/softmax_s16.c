/* Softmax over rows, int16 to int16 with scale 1/32768: exponentials and the reciprocal interpolated in tables. */
#pragma GCC optimize("Os") /* a few rows a run: size counts */

#include "fixed_point.h"
#include "kernel.h"

enum { ROOM = 514 }; /* of a table: 513 values and what pads them */

static ofr_status check(const ofr_call *call) {
    const ofr_softmax_s16_params *p = call->params;
    if (p->depth == 0 || p->depth > 65536) {
        return ofr_refuse(call, OFR_E_VALUE, p->depth, 65536); /* beyond 2^16 terms the sum may overflow */
    }
    if (call->in[0].dtype != OFR_S16 || call->out[0].dtype != OFR_S16) {
        return ofr_refuse(call, OFR_E_DTYPE, call->in[0].dtype, OFR_S16);
    }
    ofr_status status = ofr_expect(call, OFR_E_PARAMS, call->params_bytes, (uint32_t)sizeof *p + 2 * 2 * ROOM);
    if (status == OFR_OK) {
        status = ofr_expect(call, OFR_E_SHAPE, call->in[0].bytes, ofr_times(2 * p->depth, p->rows));
    }
    return status != OFR_OK ? status : ofr_expect(call, OFR_E_SHAPE, call->out[0].bytes, call->in[0].bytes);
}

/* Between the entries of a table over int16. */
static int32_t look_up(const int16_t *table, int32_t x) {
    const int16_t *at = table + 256 + (ofr_clamp(x, INT16_MIN, INT16_MAX) >> 7);
    return (int16_t)(at[0] + (((at[1] - at[0]) * (x & 127) + 64) >> 7));
}

/* Apart, so that all is in registers: a maximum on the stack would be stored only where it grows. */
static __attribute__((noinline)) int32_t max_of(const int16_t *x, uint32_t n) {
    int32_t max = INT16_MIN;
    for (uint32_t i = 0; i < n; i++) {
        max = x[i] > max ? x[i] : max;
    }
    return max;
}

static void softmax_row(const ofr_softmax_s16_params *p, const int16_t *in, int16_t *out) {
    const int16_t *exponential = (const void *)(p + 1), *reciprocal = exponential + ROOM;
    const int32_t max = max_of(in, p->depth);
    uint32_t sum = 0; /* Q16.15 */
    for (uint32_t i = 0; i < p->depth; i++) {
        const int32_t scaled = ofr_requantize(in[i] - max, p->multiplier, p->shift);
        const int32_t power = look_up(exponential, ofr_wrap_add(scaled, 32767));
        out[i] = (int16_t)power;
        sum += (uint32_t)power;
    }
    const uint32_t headroom = ofr_leading_zeros(sum);
    const uint32_t leading = (uint32_t)((((uint64_t)sum << headroom) / 2 + (1 << 13)) >> 14);
    const int32_t scale = look_up(reciprocal, (int32_t)leading - (1 << 15) - (1 << 16));
    const uint32_t right = 31 - headroom;
    for (uint32_t i = 0; i < p->depth; i++) {
        const int32_t result = (out[i] * scale + (int32_t)((1u << right) / 2)) >> right;
        out[i] = (int16_t)ofr_clamp(result, 0, INT16_MAX);
    }
}

static void run(const ofr_call *call) {
    const ofr_softmax_s16_params *p = call->params;
    for (uint32_t row = 0; row < p->rows; row++) {
        const uint32_t at = row * p->depth;
        softmax_row(p, (const int16_t *)(const void *)call->in[0].data + at, (int16_t *)(void *)call->out[0].data + at);
    }
}

const ofr_kernel ofr_kernel_generic_softmax_s16 = {
    OFR_KERNEL_GENERIC_SOFTMAX_S16, OFR_PACKING_GENERIC_SOFTMAX_S16, sizeof(ofr_softmax_s16_params), 1, 1, 1, check, run,
};

/* Fully connected on int16 rows that are brought to int8 by their own range: the specification is the operator's. */
#pragma GCC optimize("Os") /* the products are apart, and not made small */

#include "kernel.h"
#include "product_s16.h"

enum { MOST = 127, FRACTION = 22 };

static ofr_status check(const ofr_call *call) {
    const ofr_dynamic_fully_connected_params *p = call->params;
    if (p->depth == 0 || p->depth > 65536 || p->out_c == 0) {
        return ofr_refuse(call, OFR_E_VALUE, p->depth, 65536); /* 2^16 products of 2^14 fit an int32 sum */
    }
    if (call->in[0].dtype != OFR_S16 || call->out[0].dtype != OFR_S16) {
        return ofr_refuse(call, OFR_E_DTYPE, call->in[0].dtype, OFR_S16);
    }
    const uint32_t k = ofr_padded_s16(p->depth);
    const uint32_t tables = ofr_times(p->out_c, ofr_plus(sizeof(ofr_channel_s16), k));
    ofr_status status = ofr_expect(call, OFR_E_SHAPE, call->in[0].bytes, ofr_times(p->rows, 2 * p->depth));
    if (status == OFR_OK) {
        status = ofr_expect(call, OFR_E_SHAPE, call->out[0].bytes, ofr_times(p->rows, 2u * p->out_c));
    }
    if (status == OFR_OK) {
        status = ofr_expect(call, OFR_E_PARAMS, call->params_bytes, ofr_plus(sizeof *p, tables));
    }
    if (status == OFR_OK && call->scratch_bytes < 2 * k) {
        status = ofr_refuse(call, OFR_E_SCRATCH, call->scratch_bytes, 2 * k);
    }
    return status;
}

/* The largest |x|, or 1 where that is 0. */
static uint32_t range_of(const int16_t *x, uint32_t n) {
    int32_t most = 1;
    for (const int16_t *end = x + n; x != end; x++) {
        const int32_t size = (*x ^ (*x >> 15)) - (*x >> 15);
        most = size > most ? size : most;
    }
    return (uint32_t)most;
}

/* n / d for n below 2^30, d at most 2^15; without an instruction for it bit by bit, so that its time is known. */
static uint32_t divide(uint32_t n, uint32_t d) {
#if defined(__ARM_ARCH) && !defined(__ARM_FEATURE_IDIV)
    uint32_t quotient = 0, rest = 0;
    for (uint32_t bit = 30; bit-- > 0;) {
        rest = 2 * rest + (n >> bit & 1);
        const uint32_t fits = rest >= d;
        rest -= fits * d;
        quotient = 2 * quotient + fits;
    }
    return quotient;
#else
    return n / d;
#endif
}

/* A row as int8 values, by its range; behind them zeros up to a whole round. */
static void quantize(const int16_t *x, uint32_t n, uint32_t range, int16_t *q) {
    const int32_t reciprocal = (int32_t)divide(((uint32_t)MOST << FRACTION) + range / 2, range);
    for (const int16_t *end = x + n; x != end; x++) {
        *q++ = (int16_t)((*x * reciprocal + (1 << (FRACTION - 1))) >> FRACTION);
    }
    for (; n % OFR_ROUND_S16 != 0; n++) {
        *q++ = 0;
    }
}

static int16_t output(const ofr_dynamic_fully_connected_params *p, const ofr_channel_s16 *c, int32_t sum,
                             uint32_t range) {
    const int64_t acc = ofr_biased_s16(c, (uint64_t)((int64_t)sum * (int32_t)range));
    return (int16_t)ofr_clamp(ofr_requantize_wide(acc, c->multiplier, c->shift), p->act_min, p->act_max);
}

static void run_row(const ofr_dynamic_fully_connected_params *p, const int16_t *q, uint32_t range, int16_t *out) {
    const ofr_channel_s16 *channels = (const void *)(p + 1);
    const uint32_t k = ofr_padded_s16(p->depth);
    const int8_t *w = (const void *)(channels + p->out_c);
    for (uint32_t c = 0; c < p->out_c; c += 2, w += 2 * k) {
        const int pair = c + 1 < p->out_c;
        const ofr_sums_s16 s = ofr_generic_multiply_one_s16(q, w, pair ? w + k : w, k);
        out[c] = output(p, channels + c, s.a0, range);
        if (pair) {
            out[c + 1] = output(p, channels + c + 1, s.a1, range);
        }
    }
}

static void run(const ofr_call *call) {
    const ofr_dynamic_fully_connected_params *p = call->params;
    const int16_t *in = (const void *)call->in[0].data;
    int16_t *out = (void *)call->out[0].data, *q = call->scratch;
    for (uint32_t row = 0; row < p->rows; row++, in += p->depth, out += p->out_c) {
        const uint32_t range = range_of(in, p->depth);
        quantize(in, p->depth, range, q);
        run_row(p, q, range, out);
    }
}

const ofr_kernel ofr_kernel_generic_dynamic_fully_connected = {
    OFR_KERNEL_GENERIC_DYNAMIC_FULLY_CONNECTED,
    OFR_PACKING_GENERIC_DYNAMIC_FULLY_CONNECTED,
    sizeof(ofr_dynamic_fully_connected_params),
    1,
    1,
    0,
    check,
    run,
};

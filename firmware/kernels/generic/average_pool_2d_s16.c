/* Average pooling, int16: padding does not count, halves round away from zero. */
#pragma GCC optimize("Os") /* a few values a run: size counts */

#include "pool.h"

static ofr_status check(const ofr_call *call) {
    return ofr_check_pool_of(call, OFR_S16);
}

static inline int32_t average(const ofr_pool *p, const void *in, ofr_range y, ofr_range x) {
    int32_t sum = 0;
    for (int32_t row = y.first; row < y.last; row++) {
        const int16_t *at = (const int16_t *)in + ((uint32_t)row * p->cols + (uint32_t)x.first) * p->channels;
        for (int32_t col = x.first; col < x.last; col++, at += p->channels) {
            sum += *at;
        }
    }
    const int32_t count = (y.last - y.first) * (x.last - x.first);
    if (count == 0) {
        return 0; /* a window beside the input: no such blob is packed */
    }
    return ofr_rounded_quotient(sum, count, 15);
}

static void run(const ofr_call *call) {
    ofr_pool_windows(call, 2, average);
}

const ofr_kernel ofr_kernel_generic_average_pool_2d_s16 = {
    OFR_KERNEL_GENERIC_AVERAGE_POOL_2D_S16, OFR_PACKING_GENERIC_AVERAGE_POOL_2D_S16, sizeof(ofr_pool), 1, 1, 0, check, run,
};

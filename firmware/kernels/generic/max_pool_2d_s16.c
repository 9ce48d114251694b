/* Max pooling, int16. */
#pragma GCC optimize("Os") /* a few values a run: size counts */

#include "pool.h"

static ofr_status check(const ofr_call *call) {
    return ofr_check_pool_of(call, OFR_S16);
}

static inline int32_t largest(const ofr_pool *p, const void *in, ofr_range y, ofr_range x) {
    int32_t max = INT16_MIN;
    for (int32_t row = y.first; row < y.last; row++) {
        const int16_t *at = (const int16_t *)in + ((uint32_t)row * p->cols + (uint32_t)x.first) * p->channels;
        for (int32_t col = x.first; col < x.last; col++, at += p->channels) {
            max = *at > max ? *at : max;
        }
    }
    return max;
}

static void run(const ofr_call *call) {
    ofr_pool_windows(call, 2, largest);
}

const ofr_kernel ofr_kernel_generic_max_pool_2d_s16 = {
    OFR_KERNEL_GENERIC_MAX_POOL_2D_S16, OFR_PACKING_GENERIC_MAX_POOL_2D_S16, sizeof(ofr_pool), 1, 1, 0, check, run,
};

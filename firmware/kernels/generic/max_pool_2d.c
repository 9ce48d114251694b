/* Max pooling, int8. */
#include "pool.h"

static inline int32_t largest(const ofr_pool *p, const void *in, ofr_range y, ofr_range x) {
    int32_t max = -128;
    for (int32_t row = y.first; row < y.last; row++) {
        const int8_t *at = (const int8_t *)in + ((uint32_t)row * p->cols + (uint32_t)x.first) * p->channels;
        for (int32_t col = x.first; col < x.last; col++, at += p->channels) {
            max = *at > max ? *at : max;
        }
    }
    return max;
}

static void run(const ofr_call *call) {
    ofr_pool_windows(call, 1, largest);
}

const ofr_kernel ofr_kernel_generic_max_pool_2d = {
    OFR_KERNEL_GENERIC_MAX_POOL_2D, OFR_PACKING_GENERIC_MAX_POOL_2D, sizeof(ofr_pool), 1, 1, 0, ofr_check_pool, run,
};

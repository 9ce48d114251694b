/* Softmax over rows, int8 to int8 with scale 1/256: exponentials from a table. */
#pragma GCC optimize("Os") /* a few rows a run: size counts */

#include "params.h"

typedef ofr_softmax_params params;

#include "softmax.h"

static inline int32_t exponential(const params *p, uint32_t d) {
    const int32_t *table = (const int32_t *)(const void *)(p + 1);
    return table[d];
}

static ofr_status check(const ofr_call *call) {
    return check_softmax(call, 4);
}

const ofr_kernel ofr_kernel_generic_softmax = {
    OFR_KERNEL_GENERIC_SOFTMAX, OFR_PACKING_GENERIC_SOFTMAX, sizeof(params), 1, 1, 1, check, run,
};

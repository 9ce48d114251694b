/* Per-channel requantization of int32 accumulators, shared by the kernels with weights. */
#ifndef OFR_GEMM_H
#define OFR_GEMM_H

#include "fixed_point.h"

/* Output side of a layer: multiplier[i * per_channel], shift[i * per_channel] belong to channel i. */
typedef struct ofr_requant {
    const int32_t *multiplier, *shift;
    uint32_t per_channel; /* 0 or 1 */
    int32_t zero_point, act_min, act_max;
} ofr_requant;

static inline int8_t ofr_requantize_s8(const ofr_requant *r, uint32_t channel, int32_t acc) {
    const uint32_t i = channel * r->per_channel;
    const int32_t scaled = ofr_requantize(acc, r->multiplier[i], r->shift[i]);
    return (int8_t)ofr_clamp(ofr_wrap_add(scaled, r->zero_point), r->act_min, r->act_max);
}

#endif

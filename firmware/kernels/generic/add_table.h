/* A sum of two int8 values of which one is looked up, the other times a factor, requantized. */
#ifndef OFR_GENERIC_ADD_TABLE_H
#define OFR_GENERIC_ADD_TABLE_H

#include "broadcast.h"
#include "doubled.h"

/* ofr_add_table_params behind its axes; then s32 table[256]. */
typedef struct ofr_generic_sum {
    int32_t factor, multiplier;
    uint32_t shift;
    int16_t out_zero_point, act_min, act_max;
    uint16_t lookup;
} ofr_generic_sum;
_Static_assert(sizeof(ofr_broadcast) == offsetof(ofr_add_table_params, factor), "layout");
_Static_assert(sizeof(ofr_add_table_params) == sizeof(ofr_broadcast) + sizeof(ofr_generic_sum), "layout");
_Static_assert(offsetof(ofr_add_table_params, lookup) == sizeof(ofr_broadcast) + offsetof(ofr_generic_sum, lookup),
               "layout");

enum { OFR_GENERIC_SUM_BYTES = sizeof(ofr_generic_sum) + 4 * 256 };

/* n sums, not clamped. */
static inline void ofr_generic_add(const ofr_generic_sum *p, const uint32_t *table, const int8_t *a, uint32_t stride_a,
                                   const int8_t *b, uint32_t stride_b, int8_t *out, uint32_t n) {
    const ofr_scale scale = {p->multiplier, p->shift};
    const ofr_doubled d = ofr_doubled_of(&scale, 2 * p->out_zero_point + 1);
    const uint32_t factor = (uint32_t)p->factor;
    if (p->lookup == 0) {
        const int8_t *looked_up = a;
        const uint32_t stride = stride_a;
        a = b, stride_a = stride_b;
        b = looked_up, stride_b = stride;
    }
    __asm__("" : "+r"(table)); /* an address that each look up would compute again from the struct's */
    for (const int8_t *end = out + n; out < end; out++) {
        *out = ofr_requantize_doubled(d, table[(uint8_t)*b] + (uint32_t)*a * factor);
        a += stride_a;
        b += stride_b;
    }
}

#endif

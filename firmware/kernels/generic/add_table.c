/* Addition and subtraction, int8: the smaller-scaled input from a table, the other's scaling is an exact shift. */
#include "broadcast.h"
#include "doubled.h"

_Static_assert(sizeof(ofr_broadcast) == offsetof(ofr_add_table_params, factor), "layout");

enum { TABLE = 256 };

static ofr_status check(const ofr_call *call) {
    const ofr_add_table_params *p = call->params;
    return p->lookup > 1 ? ofr_refuse(call, OFR_E_VALUE, p->lookup, 1)
                         : ofr_check_broadcast(call, (uint32_t)sizeof *p + 4u * TABLE);
}

static void add_row(const void *params, const int8_t *a, uint32_t stride_a, const int8_t *b, uint32_t stride_b,
                    int8_t *out, uint32_t n) {
    const ofr_add_table_params *p = params;
    const uint32_t *table = (const uint32_t *)(const void *)(p + 1);
    const ofr_scale scale = {p->multiplier, p->shift};
    const ofr_doubled d = ofr_doubled_of(&scale, 2 * p->out_zero_point + 1);
    const uint32_t factor = (uint32_t)p->factor;
    if (p->lookup == 0) {
        const int8_t *looked_up = a;
        const uint32_t stride = stride_a;
        a = b, stride_a = stride_b;
        b = looked_up, stride_b = stride;
    }
    for (const int8_t *end = out + n; out < end; out++) {
        *out = ofr_requantize_doubled(d, table[(uint8_t)*b] + (uint32_t)*a * factor);
        a += stride_a;
        b += stride_b;
    }
}

static void run(const ofr_call *call) {
    const ofr_add_table_params *p = call->params;
    ofr_for_rows(call, add_row);
    ofr_clamp_s8((int8_t *)call->out[0].data, call->out[0].bytes, p->act_min, p->act_max);
}

const ofr_kernel ofr_kernel_generic_add_table = {
    OFR_KERNEL_GENERIC_ADD_TABLE, OFR_PACKING_GENERIC_ADD_TABLE, sizeof(ofr_add_table_params), 2, 1, 3, check, run,
};

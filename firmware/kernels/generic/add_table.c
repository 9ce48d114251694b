/* Addition and subtraction, int8: the smaller-scaled input from a table, the other's scaling is an exact shift. */
#include "add_table.h"

static ofr_status check(const ofr_call *call) {
    const ofr_add_table_params *p = call->params;
    return p->lookup > 1 ? ofr_refuse(call, OFR_E_VALUE, p->lookup, 1)
                         : ofr_check_broadcast(call, (uint32_t)sizeof(ofr_broadcast) + OFR_GENERIC_SUM_BYTES);
}

static void add_row(const void *params, const int8_t *a, uint32_t stride_a, const int8_t *b, uint32_t stride_b,
                    int8_t *out, uint32_t n) {
    const ofr_generic_sum *sum = (const void *)((const ofr_broadcast *)params + 1);
    ofr_generic_add(sum, (const void *)(sum + 1), a, stride_a, b, stride_b, out, n);
}

static void run(const ofr_call *call) {
    const ofr_add_table_params *p = call->params;
    ofr_for_rows(call, add_row);
    ofr_clamp_s8((int8_t *)call->out[0].data, call->out[0].bytes, p->act_min, p->act_max);
}

const ofr_kernel ofr_kernel_generic_add_table = {
    OFR_KERNEL_GENERIC_ADD_TABLE, OFR_PACKING_GENERIC_ADD_TABLE, sizeof(ofr_add_table_params), 2, 1, 3, check, run,
};

/* Addition and subtraction, int8, with broadcasts: one input by a table, the other times a factor, then requantized. */
#pragma GCC optimize("Os")

#include "rows.h"

_Static_assert(sizeof(ofr_broadcast) == offsetof(ofr_add_table_params, factor), "layout");

enum { TABLE = 256 };

static ofr_status check(const ofr_call *call) {
    const ofr_add_table_params *p = call->params;
    return p->lookup > 1 ? ofr_refuse(call, OFR_E_VALUE, p->lookup, 1)
                         : ofr_dsp_check_rows(call, (uint32_t)sizeof *p + 4u * TABLE);
}

static void add_row(const void *params, const int8_t *a, uint32_t stride_a, const int8_t *b, uint32_t stride_b,
                    int8_t *out, uint32_t n) {
    const ofr_add_table_params *p = params;
    const ofr_dsp_sums sums = {ofr_dsp_scale_of(p->multiplier, p->shift, p->out_zero_point), (uint32_t)p->factor,
                               (const uint32_t *)(const void *)(p + 1)};
    if (p->lookup == 1) {
        ofr_dsp_each(ofr_dsp_sum_fours, &sums, a, stride_a, b, stride_b, out, n);
    } else {
        ofr_dsp_each(ofr_dsp_sum_fours, &sums, b, stride_b, a, stride_a, out, n);
    }
}

static void run(const ofr_call *call) {
    const ofr_add_table_params *p = call->params;
    ofr_for_rows(call, add_row);
    ofr_dsp_clamp((int8_t *)call->out[0].data, call->out[0].bytes, p->act_min, p->act_max);
}

const ofr_kernel ofr_kernel_dsp_add_table = {
    OFR_KERNEL_DSP_ADD_TABLE, OFR_PACKING_DSP_ADD_TABLE, sizeof(ofr_add_table_params), 2, 1, 3, check, run,
};

/* Any function of one 8-bit value: a table of 256 bytes, indexed by the value's bits. */
#include "lookup.h"

static void run(const ofr_call *call) {
    const ofr_table_params *p = call->params;
    const uint8_t *in = call->in[0].data;
    uint8_t *out = call->out[0].data;
    const uint8_t *end = out + (call->out[0].bytes & ~7u);
    for (; out != end; in += 8, out += 8) {
        for (uint32_t i = 0; i < 8; i++) {
            out[i] = p->values[in[i]];
        }
    }
    for (end += call->out[0].bytes & 7u; out != end;) {
        *out++ = p->values[*in++];
    }
}

const ofr_kernel ofr_kernel_generic_table = {
    OFR_KERNEL_GENERIC_TABLE, OFR_PACKING_GENERIC_TABLE, sizeof(ofr_table_params), 1, 1, 1, ofr_check_table, run,
};

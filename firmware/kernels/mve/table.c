/* Any function of one 8-bit value on Helium: sixteen values gathered from its table at a time. */
#pragma GCC optimize("Os")

#include "lookup.h"

static void run(const ofr_call *call) {
    const uint8_t *in = call->in[0].data;
    uint8_t *out = call->out[0].data;
    __asm__ volatile("wlstp.8 lr, %[n], 2f\n"
                     "1: vldrb.8 q0, [%[in]], #16\n"
                     "vldrb.u8 q1, [%[table], q0]\n"
                     "vstrb.8 q1, [%[out]], #16\n"
                     "letp lr, 1b\n"
                     "2:\n"
                     : [in] "+l"(in), [out] "+l"(out)
                     : [n] "r"(call->out[0].bytes), [table] "r"(call->params)
                     : "q0", "q1", "lr", "memory");
}

const ofr_kernel ofr_kernel_mve_table = {
    OFR_KERNEL_MVE_TABLE, OFR_PACKING_MVE_TABLE, sizeof(ofr_table_params), 1, 1, 1, ofr_check_table, run,
};

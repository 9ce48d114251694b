/* The part of a check that all kernels with weights share. */
#pragma GCC optimize("Os")

#include "sizes.h"

ofr_status ofr_mve_check_sizes(const ofr_call *call, uint32_t in, uint32_t out, uint32_t params, uint32_t scratch) {
    if (call->in[0].dtype != OFR_S8 || call->out[0].dtype != OFR_S8) {
        return ofr_refuse(call, OFR_E_DTYPE, call->in[0].dtype, OFR_S8);
    }
    if (call->scratch_bytes < scratch) {
        return ofr_refuse(call, OFR_E_SCRATCH, call->scratch_bytes, scratch);
    }
    const uint32_t pairs[3][2] = {{call->in[0].bytes, in}, {call->out[0].bytes, out}, {call->params_bytes, params}};
    for (uint32_t i = 0; i < 3; i++) {
        if (pairs[i][0] != pairs[i][1]) {
            return ofr_refuse(call, i == 2 ? OFR_E_PARAMS : OFR_E_SHAPE, pairs[i][0], pairs[i][1]);
        }
    }
    return OFR_OK;
}

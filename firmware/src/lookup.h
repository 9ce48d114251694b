/* The check of kernels that look up a function of one 8-bit value. */
#ifndef OFR_LOOKUP_H
#define OFR_LOOKUP_H

#include "kernel.h"

static inline ofr_status ofr_check_table(const ofr_call *call) {
    const uint8_t in = call->in[0].dtype, out = call->out[0].dtype;
    if ((in != OFR_S8 && in != OFR_U8) || (out != OFR_S8 && out != OFR_U8)) {
        return ofr_refuse(call, OFR_E_DTYPE, in, OFR_U8);
    }
    const ofr_status status = ofr_expect(call, OFR_E_PARAMS, call->params_bytes, sizeof(ofr_table_params));
    return status != OFR_OK ? status : ofr_expect(call, OFR_E_SHAPE, call->out[0].bytes, call->in[0].bytes);
}

#endif

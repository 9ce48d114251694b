/* Addition of two int8 tensors of one shape: one input shifted, the other through a table, then requantized. */
#include "multiply.h"

enum { TABLE = 256 }; /* int32: twice the scaled second input by its byte, less the first input's zero point shifted */

static ofr_status check(const ofr_call *call) {
    for (uint32_t i = 0; i < 2; i++) {
        if (call->in[i].dtype != OFR_S8 || call->out[0].dtype != OFR_S8) {
            return ofr_refuse(call, OFR_E_DTYPE, call->in[i].dtype, OFR_S8);
        }
        if (call->in[i].bytes != call->out[0].bytes) {
            return ofr_refuse(call, OFR_E_SHAPE, call->in[i].bytes, call->out[0].bytes);
        }
    }
    return ofr_expect(call, OFR_E_PARAMS, call->params_bytes, sizeof(ofr_dsp_add_params) + 4u * TABLE);
}

static void run(const ofr_call *call) {
    const ofr_dsp_add_params *p = call->params;
    const uint32_t bytes = call->out[0].bytes, whole = bytes & ~3u;
    const uint8_t *a = call->in[0].data, *b = call->in[1].data;
    uint8_t *out = call->out[0].data;
    if (whole != 0) {
        ofr_dsp_add(a, b, out, whole / 4, p);
    }
    if (whole != bytes) {
        uint8_t rest[2][4] = {{0}};
        memcpy(rest[0], a + whole, bytes - whole);
        memcpy(rest[1], b + whole, bytes - whole);
        ofr_dsp_add(rest[0], rest[1], rest[0], 1, p);
        memcpy(out + whole, rest[0], bytes - whole);
    }
    ofr_dsp_clamp((int8_t *)out, bytes, p->act_min, p->act_max);
}

const ofr_kernel ofr_kernel_dsp_add = {
    OFR_KERNEL_DSP_ADD, OFR_PACKING_DSP_ADD, sizeof(ofr_dsp_add_params), 2, 1, 3, check, run,
};

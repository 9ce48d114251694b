/* Element-wise kernels of two int8 tensors of one shape: checks, and their elements by eights. */
#pragma GCC optimize("Os")

#include "elementwise.h"

ofr_status ofr_mve_check_elements(const ofr_call *call, uint32_t elements, uint32_t params_bytes) {
    ofr_status status = ofr_expect(call, OFR_E_PARAMS, call->params_bytes, params_bytes);
    const ofr_operand *const operands[] = {&call->in[0], &call->in[1], &call->out[0]};
    for (uint32_t i = 0; i < 3 && status == OFR_OK; i++) {
        status = ofr_expect(call, OFR_E_DTYPE, operands[i]->dtype, OFR_S8);
        if (status == OFR_OK) {
            status = ofr_expect(call, OFR_E_SHAPE, operands[i]->bytes, elements);
        }
    }
    return status;
}

void ofr_mve_elements(const ofr_call *call, const uint8_t *x, const uint8_t *y, ofr_mve_eights *eights) {
    const uint32_t whole = call->out[0].bytes / 8u, rest = call->out[0].bytes % 8u;
    uint8_t *out = call->out[0].data;
    if (whole != 0) {
        eights(call->params, x, y, out, whole);
    }
    if (rest != 0) {
        uint8_t last[2][8] = {{0}};
        memcpy(last[0], x + 8u * whole, rest);
        memcpy(last[1], y + 8u * whole, rest);
        eights(call->params, last[0], last[1], last[0], 1);
        memcpy(out + 8u * whole, last[0], rest);
    }
}

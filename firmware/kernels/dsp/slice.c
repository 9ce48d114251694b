/* What the kernels with parts of a wider layer's weights share: check, and the stream's beginning. */
#pragma GCC optimize("Os")

#include "slice.h"

static uint32_t fours_of(const ofr_dsp_slice_params *p) {
    return ((uint32_t)p->kernel_h * p->kernel_w * p->in_c + 3u) / 4u;
}

ofr_status ofr_dsp_check_slice(const ofr_call *call, ofr_dsp_check_run *check) {
    const ofr_dsp_slice_params *p = call->params;
    if (p->groups != 1 || p->chunk == 0 || p->in_c % p->chunk != 0 || (p->chunk != p->in_c && p->chunk % 4 != 0)) {
        return ofr_refuse(call, OFR_E_VALUE, p->chunk, p->in_c);
    }
    ofr_call without = *call; /* of a block that begins with the same fields, and no weights */
    without.params_bytes -= (uint32_t)(sizeof(ofr_dsp_slice_params) - sizeof(ofr_dsp_conv_2d_params));
    ofr_status status = check(&without, 0);
    if (status == OFR_OK) {
        status = ofr_expect(call, OFR_E_DTYPE, call->in[1].dtype, OFR_U8);
    }
    if (status != OFR_OK) {
        return status;
    }
    const uint32_t fours = fours_of(p); /* at most 2^14 */
    if (p->fours < fours) {
        return ofr_refuse(call, OFR_E_VALUE, p->fours, fours);
    }
    const uint32_t least = ofr_times((p->out_c + 1u) / 2u, ofr_times(p->fours, 2u * OFR_DSP_INT8_SIZE));
    return call->in[1].bytes < least ? ofr_refuse(call, OFR_E_SHAPE, call->in[1].bytes, least) : OFR_OK;
}

int ofr_dsp_open_slice(const ofr_call *call, ofr_dsp_slice *slices) {
    const ofr_dsp_slice_params *p = call->params;
    slices->weights = (const uint32_t *)(const void *)call->in[1].data;
    slices->numbers = (const uint32_t *)(const void *)(p + 1);
    slices->skip = (p->fours - fours_of(p)) * 2u * OFR_DSP_INT8_SIZE;
    return (uintptr_t)call->in[1].data % sizeof(uint32_t) == 0;
}

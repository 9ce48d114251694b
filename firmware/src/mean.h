/* Means over windows: the check of their layout. */
#ifndef OFR_MEAN_H
#define OFR_MEAN_H

#include "broadcast.h"

static inline ofr_status ofr_check_mean_of(const ofr_call *call, uint8_t dtype) {
    const uint32_t size = dtype == OFR_S16 ? 2 : 1;
    const ofr_mean_params *p = call->params;
    const uint32_t kept = ofr_volume(p->kept, 2);
    const uint32_t volume = ofr_times(kept, ofr_volume(p->reduced, 2));
    if (volume == 0) {
        return ofr_refuse(call, OFR_E_VALUE, 0, 1);
    }
    if (call->in[0].dtype != dtype || call->out[0].dtype != dtype) {
        return ofr_refuse(call, OFR_E_DTYPE, call->in[0].dtype, dtype);
    }
    const uint32_t reach = ofr_plus(ofr_reach(p->kept, p->kept_strides, 2) - 1,
                                    ofr_reach(p->reduced, p->reduced_strides, 2));
    ofr_status status = ofr_expect(call, OFR_E_PARAMS, call->params_bytes, sizeof *p);
    if (status == OFR_OK) {
        status = ofr_expect(call, OFR_E_SHAPE, call->out[0].bytes, ofr_times(kept, size));
    }
    if (status == OFR_OK) {
        status = ofr_expect(call, OFR_E_SHAPE, call->in[0].bytes, ofr_times(volume, size));
    }
    return status != OFR_OK ? status : ofr_expect(call, OFR_E_SHAPE, call->in[0].bytes, ofr_times(reach, size));
}

static inline ofr_status ofr_check_mean(const ofr_call *call) {
    return ofr_check_mean_of(call, OFR_S8);
}

#endif

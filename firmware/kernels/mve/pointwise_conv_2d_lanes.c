/* 1x1 convolution at stride 1, and fully connected over many rows, with sparse weights by lanes, on Helium. */
#pragma GCC optimize("Os")

#include "lanes.h"
#include "sizes.h"

static ofr_status check(const ofr_call *call) {
    const ofr_mve_pointwise_params *p = call->params;
    if (p->pixels == 0 || p->in_c == 0 || p->out_c == 0 || p->out_c > OFR_MVE_LANES_MAX_OUT_C) {
        return ofr_refuse(call, OFR_E_VALUE, p->out_c, OFR_MVE_LANES_MAX_OUT_C);
    }
    const ofr_status status =
        ofr_mve_check_sizes(call, ofr_times(p->pixels, p->in_c), ofr_times(p->pixels, p->out_c), call->params_bytes,
                            ofr_times(ofr_plus(p->in_c, 15) / 16u, 256));
    return status != OFR_OK ? status
                            : ofr_mve_check_lanes(call, p + 1, call->params_bytes - (uint32_t)sizeof *p, p->in_c, p->out_c);
}

static __attribute__((noinline)) void run(const ofr_call *call, uint32_t is_signed) {
    const ofr_mve_pointwise_params *p = call->params;
    ofr_mve_lanes l = ofr_mve_open_lanes(p + 1, call->scratch, p->in_c, p->out_c, p->add);
    const uint8_t *in = call->in[0].data;
    int8_t *out = (int8_t *)call->out[0].data;
    for (uint32_t done = 0, n; done < p->pixels; done += n, out += n * p->out_c) {
        n = p->pixels - done < OFR_MVE_LANES ? p->pixels - done : OFR_MVE_LANES;
        for (uint32_t i = 0; i < OFR_MVE_LANES; i++) {
            ofr_mve_to_lane(&l, i, in + (done + (i < n ? i : n - 1u)) * p->in_c);
        }
        ofr_mve_run_lanes(&l, out, n, is_signed);
    }
}

static void run_relu(const ofr_call *call) {
    run(call, 0);
}

static void run_signed(const ofr_call *call) {
    run(call, 1);
}

const ofr_kernel ofr_kernel_mve_pointwise_conv_2d_lanes = {
    OFR_KERNEL_MVE_POINTWISE_CONV_2D_LANES, OFR_PACKING_MVE_POINTWISE_CONV_2D_LANES, sizeof(ofr_mve_pointwise_sparse_params), 1, 1, OFR_SAME_START(0), check, run_relu,
};

const ofr_kernel ofr_kernel_mve_pointwise_conv_2d_lanes_signed = {
    OFR_KERNEL_MVE_POINTWISE_CONV_2D_LANES_SIGNED, OFR_PACKING_MVE_POINTWISE_CONV_2D_LANES_SIGNED, sizeof(ofr_mve_pointwise_sparse_params), 1, 1, OFR_SAME_START(0), check, run_signed,
};

/* conv_2d with part of a wider layer's weights: taps by blocks of input channels, see slice.h. */
#pragma GCC optimize("Os")

#include "ring.h"
#include "slice.h"

static void gather(const ring *r, uint32_t y, uint32_t x, uint32_t *taps, int alone) {
    const uint32_t chunk = ((const ofr_dsp_slice_params *)(const void *)r->p)->chunk;
    for (uint32_t first = 0; first < r->p->in_c; first += chunk) {
        taps = gather_run(r, y, x, taps, alone, first, chunk);
    }
}

static ofr_status check(const ofr_call *call) {
    return ofr_dsp_check_slice(call, ofr_dsp_check_conv);
}

static void run(const ofr_call *call) {
    ofr_dsp_slice slices[OFR_DSP_SLICES];
    if (ofr_dsp_open_slice(call, slices)) {
        ring_conv(call, ofr_dsp_slice_stream(slices), gather, ofr_dsp_multiply_slice, ofr_dsp_widen);
    }
}

const ofr_kernel ofr_kernel_dsp_conv_2d_slice = {
    OFR_KERNEL_DSP_CONV_2D_SLICE,
    OFR_PACKING_DSP_CONV_2D_SLICE,
    sizeof(ofr_dsp_slice_params),
    2,
    1,
    OFR_SAME_START(0),
    check,
    run,
};

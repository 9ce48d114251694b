/* Layers whose weights are part of a wider layer's: a constant operand that the plans of several widths share.
 *
 * Weights of a pair of the wide layer's channels lie as ofr_dsp_multiply wants them, in blocks of input channels: all
 * taps of the first `chunk` channels, then of the next. So what a narrower layer needs of a pair stands first. The
 * parameter block holds the stream of pairs without their weights. */
#ifndef OFR_DSP_SLICE_H
#define OFR_DSP_SLICE_H

#include "layer.h"

/* What ofr_dsp_multiply_slice takes as its stream: it leaves what follows in the next entry, and returns that. */
typedef struct ofr_dsp_slice {
    const uint32_t *weights; /* of the next pair */
    const uint32_t *numbers; /* bias0, bias1, then as in multiply.h what follows the weights */
    uint32_t skip;           /* bytes of a pair's weights that the wide layer has more */
} ofr_dsp_slice;
enum { OFR_DSP_SLICES = 3 }; /* entries that the channels of three pixels take, their number odd */
ofr_dsp_multiply_run ofr_dsp_multiply_slice;

/* The layer's check by that of the kernel with weights in its block, then the wide weights. */
typedef ofr_status ofr_dsp_check_run(const ofr_call *call, uint32_t weight_bytes);
ofr_status ofr_dsp_check_slice(const ofr_call *call, ofr_dsp_check_run *check);

/* Fills the first entry; 0 where a caller's input stands for the weights and is no aligned one: nothing can be run. */
int ofr_dsp_open_slice(const ofr_call *call, ofr_dsp_slice *slices);

static inline const uint32_t *ofr_dsp_slice_stream(const ofr_dsp_slice *slices) {
    return (const uint32_t *)(const void *)slices;
}

#endif

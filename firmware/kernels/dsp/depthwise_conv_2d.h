/* Depthwise convolution of any window, stride, dilation and multiplier: one output position at a time, four input
 * channels in a word. */
#ifndef OFR_DSP_DEPTHWISE_CONV_2D_H
#define OFR_DSP_DEPTHWISE_CONV_2D_H

#include "layer.h"

enum { OFR_DSP_LANES = 4, OFR_DSP_LANES_WORDS = 4 + 12 }; /* words of a block, beside 4 for each two taps */

/* One output position's taps and where its outputs go. */
typedef struct ofr_dsp_taps {
    const uint32_t *offsets; /* of each tap from `in`, modulo 2^32; an even number */
    uint32_t pairs;          /* of taps, at least 1 */
    uint32_t fours;          /* of input channels, next to each other, at least 1 */
    uint32_t multiplier;     /* output channels of one input channel, at least 1 */
    int8_t *out;
} ofr_dsp_taps;

/* Writes 4 * fours * multiplier outputs. Stream: for each four input channels and each of their outputs twice the bias
 * of four, twice the weights, two taps a word, of four channels for each two taps, then M, c and e as in multiply.h of
 * each. Returns the end of the stream. */
const uint32_t *ofr_dsp_depthwise_position(const int8_t *in, const ofr_dsp_taps *taps, const uint32_t *stream);

#endif

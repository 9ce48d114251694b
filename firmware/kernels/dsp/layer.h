/* What the convolutions of the dsp set share: the check of geometry and block, channels of three pixels. */
#ifndef OFR_DSP_LAYER_H
#define OFR_DSP_LAYER_H

#include "multiply.h"

/* a * b * c, or UINT32_MAX where that does not fit. */
static inline uint32_t ofr_dsp_volume(uint16_t a, uint16_t b, uint32_t c) {
    return ofr_times((uint32_t)a * b, c);
}

/* Sizes, types and the length of the stream, with so many bytes of weights for four taps of a channel; the kernel adds
 * its limits and its scratch. */
ofr_status ofr_dsp_check_layer(const ofr_call *call, uint32_t weight_bytes);

/* Pixels multiplied at once, bytes of four taps of each; bytes of four weights, with bit 1 for the lesser alone. */
enum { OFR_DSP_PIXELS = 3, OFR_DSP_TAP_BYTES = 24, OFR_DSP_INT4 = 2, OFR_DSP_INT8_SIZE = 4, OFR_DSP_INT16 = 8 };

/* All channels of one group of three pixels, where their number is odd. Returns the end of the group's stream. */
const uint32_t *ofr_dsp_odd_channels(ofr_dsp_multiply_run *multiply, const uint32_t *stream, const uint32_t *taps,
                                     int8_t *const out[OFR_DSP_PIXELS], uint32_t out_c, uint32_t groups,
                                     uint32_t linear);

/* The same for any number. */
static inline const uint32_t *ofr_dsp_channels(ofr_dsp_multiply_run *multiply, const uint32_t *stream,
                                               const uint32_t *taps, int8_t *const out[OFR_DSP_PIXELS], uint32_t out_c,
                                               uint32_t groups, uint32_t linear) {
    return out_c & 1 ? ofr_dsp_odd_channels(multiply, stream, taps, out, out_c, groups, linear)
                     : multiply(stream, taps, out, out_c / 2, groups, linear);
}

/* Widens a row of `depth` taps to scratch, which may begin where the row does. */
typedef void ofr_dsp_widen_row_run(const int8_t *in, uint32_t depth, uint32_t *taps);
void ofr_dsp_widen_row(ofr_dsp_widen_run *widen, const int8_t *in, uint32_t depth, uint32_t *taps);

/* What `multiply` reads behind the fixed parameters. */
static inline const uint32_t *ofr_dsp_stream(const ofr_call *call) {
    return (const uint32_t *)(const void *)((const ofr_dsp_conv_2d_params *)call->params + 1);
}

/* The kernels by their packing: the check with the bytes of four weights, the run with its inner parts. */
ofr_status ofr_dsp_check_pointwise(const ofr_call *call, uint32_t weight_bytes);
ofr_status ofr_dsp_check_conv(const ofr_call *call, uint32_t weight_bytes);
ofr_status ofr_dsp_check_gather_conv(const ofr_call *call, uint32_t weight_bytes);
ofr_status ofr_dsp_check_fully_connected(const ofr_call *call, uint32_t weight_bytes);
void ofr_dsp_pointwise(const ofr_call *call, const uint32_t *stream, ofr_dsp_multiply_run *multiply,
                       ofr_dsp_widen_three_run *widen);
void ofr_dsp_conv(const ofr_call *call, ofr_dsp_multiply_run *multiply, ofr_dsp_widen_run *widen);
void ofr_dsp_gather_conv(const ofr_call *call, const uint32_t *stream, ofr_dsp_multiply_run *multiply,
                         ofr_dsp_gather_run *gather);
void ofr_dsp_fully_connected(const ofr_call *call, ofr_dsp_widen_row_run *widen, ofr_dsp_multiply_row_run *multiply);

/* Positions along one axis that the windows of all outputs span, padding included. */
static inline uint32_t ofr_dsp_span(uint32_t out, uint32_t stride, uint32_t taps, uint32_t dilation) {
    return ofr_plus(ofr_times(out - 1, stride), (taps - 1) * dilation + 1);
}

static inline ofr_status ofr_dsp_check_scratch(const ofr_call *call, uint32_t wanted) {
    return call->scratch_bytes < wanted ? ofr_refuse(call, OFR_E_SCRATCH, call->scratch_bytes, wanted) : OFR_OK;
}

/* int8 in and out, and these lengths; no empty output. */
static inline __attribute__((always_inline)) ofr_status ofr_dsp_check_operands(const ofr_call *call, uint32_t in,
                                                                               uint32_t out) {
    if ((call->in[0].dtype | call->out[0].dtype) != OFR_S8) {
        return ofr_refuse(call, OFR_E_DTYPE, call->in[0].dtype, OFR_S8);
    }
    if (out == 0) { /* pixels without bytes could be any number */
        return ofr_refuse(call, OFR_E_VALUE, 0, 1);
    }
    const ofr_status status = ofr_expect(call, OFR_E_SHAPE, call->in[0].bytes, in);
    return status != OFR_OK ? status : ofr_expect(call, OFR_E_SHAPE, call->out[0].bytes, out);
}
_Static_assert(OFR_S8 == 0, "types can be joined");

#endif

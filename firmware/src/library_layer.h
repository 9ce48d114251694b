/* Checks that vendors' libraries (CMSIS-NN, ESP-NN) leave to their caller.
 *
 * Layers with per-channel weights have ofr_conv_2d_params, then int32 bias, multiplier and shift of each output
 * channel, then the int8 weights, then `overread` bytes that the library's loads may touch. For depthwise layers groups
 * is in_c. */
#ifndef OFR_LIBRARY_LAYER_H
#define OFR_LIBRARY_LAYER_H

#include "kernel.h"

/* Whether windows along one axis stay within what the libraries compute with: each touches the input, and positions
 * fit their int16. CMSIS-NN clears whole rows of taps beside the input by their number and would clear too many. */
int ofr_window_fits(uint32_t length, uint32_t out, uint32_t taps, uint32_t stride, uint32_t dilation, uint32_t pad);

/* Sizes, types and ranges of a convolution: groups is 1, each output channel has kernel_h * kernel_w * in_c weights. */
ofr_status ofr_check_conv_2d_layer(const ofr_call *call, uint32_t overread);

/* The same for a depthwise convolution: groups is in_c, each output channel has kernel_h * kernel_w weights. */
ofr_status ofr_check_depthwise_layer(const ofr_call *call, uint32_t overread);

/* Refuses shifts outside [-31, 30], which C does not define. */
ofr_status ofr_check_shifts(const ofr_call *call, const int32_t *shift, uint32_t n);

#endif

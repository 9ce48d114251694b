/* Element-wise kernels of two int8 tensors of one shape: checks, and their elements by eights. */
#ifndef OFR_MVE_ELEMENTWISE_H
#define OFR_MVE_ELEMENTWISE_H

#include "kernel.h"

/* Types and sizes of two inputs and an output of `elements`, and of the block. */
ofr_status ofr_mve_check_elements(const ofr_call *call, uint32_t elements, uint32_t params_bytes);

/* 8 n elements, n > 0. */
typedef void ofr_mve_eights(const void *params, const uint8_t *x, const uint8_t *y, uint8_t *out, uint32_t n);

/* All elements; x and y are the call's inputs in the order that `eights` wants. */
void ofr_mve_elements(const ofr_call *call, const uint8_t *x, const uint8_t *y, ofr_mve_eights *eights);

#endif

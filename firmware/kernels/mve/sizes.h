/* The part of a check that all kernels with weights share. */
#ifndef OFR_MVE_SIZES_H
#define OFR_MVE_SIZES_H

#include "kernel.h"

/* Refuses unless input, output and block have exactly, and scratch at least, these bytes, and both tensors are int8. */
ofr_status ofr_mve_check_sizes(const ofr_call *call, uint32_t in, uint32_t out, uint32_t params, uint32_t scratch);

#endif

/* What a kernel is and what it sees of its step. Kernels trust nothing before `check` has passed. */
#ifndef OFR_KERNEL_H
#define OFR_KERNEL_H

#include <string.h>

#include "offramp.h"
#include "params.h"

/* One operand of a step: bytes of constant, arena, state or input memory. */
typedef struct ofr_operand {
    uint8_t *data;  /* inputs are never written through it */
    uint32_t bytes; /* of the tensor; data has room for them */
    uint8_t dtype;  /* ofr_dtype */
} ofr_operand;

#define OFR_MAX_INPUTS 4u /* operands of one step */
#define OFR_MAX_OUTPUTS 1u

/* A step, ready to check or run. params, scratch and operands lie inside blob, arena, state and inputs. */
typedef struct ofr_call {
    const void *params; /* the kernel's struct, then its tables and weights; 16-byte aligned */
    uint32_t params_bytes;
    uint32_t scratch_bytes;
    void *scratch; /* 16-byte aligned; overlaps no operand */
    ofr_operand in[OFR_MAX_INPUTS];
    ofr_operand out[OFR_MAX_OUTPUTS];
    ofr_fault *fault; /* during check: where to write found and allowed */
} ofr_call;

/* Bits of in_place. Bit i, 0 to 3: output 0 may lie exactly on input i. Bit 4 + i, 4 to 6: it may begin where input i
 * begins, whatever their lengths; the host has shown that nothing is overwritten before it is read. Bit 7: scratch may
 * begin where input 0 begins. Whatever lies where, a kernel stays inside its operands and scratch. */
#define OFR_SAME_START(i) (0x10u << (i))
#define OFR_SCRATCH_ON_INPUT 0x80u

struct ofr_kernel {
    uint16_t id;           /* OFR_KERNEL_… of params.h */
    uint16_t packing;      /* layout version of the parameter block */
    uint16_t params_bytes; /* least size of the block, the fixed struct */
    uint8_t n_inputs, n_outputs;
    uint8_t in_place; /* what may overlap, see above; any other overlap is refused */
    /* At load: whether the run stays inside its operands, block and scratch whatever the values. */
    ofr_status (*check)(const ofr_call *call);
    void (*run)(const ofr_call *call);
};

/* Refusal with the two figures. */
static inline ofr_status ofr_refuse(const ofr_call *call, ofr_status status, uint32_t found, uint32_t allowed) {
    call->fault->found = found;
    call->fault->allowed = allowed;
    return status;
}

/* Refuses unless a tensor, block or scratch has exactly the bytes that the parameters imply. */
static inline ofr_status ofr_expect(const ofr_call *call, ofr_status status, uint32_t found, uint32_t allowed) {
    return found == allowed ? OFR_OK : ofr_refuse(call, status, found, allowed);
}

/* a * b, or UINT32_MAX where that does not fit: sizes made of hostile numbers then match no tensor. */
static inline uint32_t ofr_times(uint32_t a, uint32_t b) {
    const uint64_t product = (uint64_t)a * b;
    return product >> 32 != 0 ? UINT32_MAX : (uint32_t)product;
}

/* Whether a sliding window's numbers are small enough for positions to be computed in int32. */
static inline int ofr_window_is_sane(uint32_t taps, uint32_t stride, uint32_t dilation) {
    return taps <= 4096 && stride <= 4096 && dilation <= 4096;
}

/* a + b, or UINT32_MAX where that does not fit. */
static inline uint32_t ofr_plus(uint32_t a, uint32_t b) {
    return a > UINT32_MAX - b ? UINT32_MAX : a + b;
}

#endif

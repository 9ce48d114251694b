/* The blob as the runtime sees it: the header, and access to the vectors of a loaded model. */
#ifndef OFR_BLOB_H
#define OFR_BLOB_H

#include "blob_fields.h"
#include "kernel.h"

#define OFR_MAGIC 0x3152464fu /* "OFR1" */

typedef struct ofr_header { /* the first 64 bytes of a blob */
    uint32_t magic;
    uint16_t major, minor;
    uint32_t flatbuffer_bytes; /* follows the header */
    uint32_t trailer_bytes;    /* follows the FlatBuffer */
    uint32_t security_version;
    uint8_t core; /* 0: any */
    uint8_t reserved[39];
    uint32_t crc; /* CRC-32 of the 60 bytes before and of the FlatBuffer */
} ofr_header;
_Static_assert(sizeof(ofr_header) == 64, "header");

enum { OFR_PHASE_NONE, OFR_PHASE_IDLE, OFR_PHASE_RUNNING, OFR_PHASE_DONE, OFR_PHASE_EXIT };

static inline const ofr_fb_blob_tensor *ofr_tensor_at(const ofr_model *m, uint32_t i) {
    const ofr_fb_blob_tensor *t = (const ofr_fb_blob_tensor *)(const void *)m->tensors + i;
    __asm__("" : "+r"(t)); /* else gcc keeps base and index for the first field too: 7 instructions a step */
    return t;
}

static inline const ofr_fb_step *ofr_step_at(const ofr_model *m, uint32_t i) {
    return (const ofr_fb_step *)(const void *)m->steps + i;
}

static inline const ofr_fb_state_init *ofr_initial_at(const ofr_model *m, uint32_t i) {
    return (const ofr_fb_state_init *)(const void *)m->initial + i;
}

static inline const ofr_fb_exit *ofr_exit_at(const ofr_model *m, uint32_t i) {
    return (const ofr_fb_exit *)(const void *)m->exits + i;
}

static inline const ofr_fb_segment *ofr_segment_at(const ofr_model *m, uint32_t i) {
    return (const ofr_fb_segment *)(const void *)m->segments + i;
}

/* The exit at which the run stands; OFR_PHASE_EXIT is given. */
static inline const ofr_fb_exit *ofr_this_exit(const ofr_model *m) {
    return ofr_exit_at(m, m->stage - 1u);
}

/* Where in ofr_model.memory a tensor's memory stands; the load has checked kind and slot. */
static inline uint32_t ofr_memory_of(const ofr_fb_blob_tensor *t) {
    return (uint32_t)t->memory + t->bound; /* bound is 0 but for inputs in the caller's memory */
}

/* A place in one of ofr_model.memory. Of an empty area and of an input not bound yet that is NULL, to which C adds
 * not even 0: hence the integer. */
static inline uint8_t *ofr_place(const ofr_model *m, uint32_t memory, uint32_t offset) {
    return (uint8_t *)((uintptr_t)m->memory[memory] + offset);
}

static inline ofr_operand ofr_operand_of(const ofr_model *m, const ofr_fb_blob_tensor *t) {
    return (ofr_operand){ofr_place(m, ofr_memory_of(t), t->offset), t->bytes, t->dtype};
}

/* Writes found and allowed, returns the status. */
static inline ofr_status ofr_blame(ofr_fault *fault, ofr_status status, uint32_t found, uint32_t allowed) {
    fault->found = found;
    fault->allowed = allowed;
    return status;
}

/* The kernel with this id, or NULL. */
const ofr_kernel *ofr_find_kernel(const ofr_kernels *kernels, uint32_t id);

/* All of a call but its operands, for a step whose parameter block and scratch have been checked. */
static inline void ofr_prepare(const ofr_model *m, const ofr_fb_step *step, ofr_call *call) {
    call->params = ofr_place(m, OFR_FB_MEMORY_CONSTANT, step->params);
    call->params_bytes = step->params_bytes;
    call->scratch = ofr_place(m, OFR_FB_MEMORY_ARENA, step->scratch);
    call->scratch_bytes = step->scratch_bytes;
}

#endif

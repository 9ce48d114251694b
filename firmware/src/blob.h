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

enum { OFR_PHASE_NONE, OFR_PHASE_IDLE, OFR_PHASE_RUNNING, OFR_PHASE_DONE };

static inline const ofr_fb_blob_tensor *ofr_tensor_at(const ofr_model *m, uint32_t i) {
    return (const ofr_fb_blob_tensor *)(const void *)m->tensors + i;
}

static inline const ofr_fb_step *ofr_step_at(const ofr_model *m, uint32_t i) {
    return (const ofr_fb_step *)(const void *)m->steps + i;
}

static inline const ofr_fb_state_init *ofr_initial_at(const ofr_model *m, uint32_t i) {
    return (const ofr_fb_state_init *)(const void *)m->initial + i;
}

/* Writes found and allowed, returns the status. */
static inline ofr_status ofr_blame(ofr_fault *fault, ofr_status status, uint32_t found, uint32_t allowed) {
    fault->found = found;
    fault->allowed = allowed;
    return status;
}

/* The kernel with this id, or NULL. */
const ofr_kernel *ofr_find_kernel(const ofr_kernels *kernels, uint32_t id);

/* Fills a call from a step whose operands, parameter block and scratch have been checked. */
void ofr_prepare(const ofr_model *m, const ofr_fb_step *step, ofr_call *call);

#endif

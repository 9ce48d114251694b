/* Element-wise kernels of two int8 or int16 inputs: up to four axes, where a stride of 0 repeats a value. */
#ifndef OFR_BROADCAST_H
#define OFR_BROADCAST_H

#include "kernel.h"

enum { OFR_BROADCAST_AXES = 4 };

/* First part of ofr_add_params and ofr_mul_params; the output is dense in the order of the axes. */
typedef struct ofr_broadcast {
    uint32_t dims[OFR_BROADCAST_AXES]; /* outermost first */
    uint32_t strides[2][OFR_BROADCAST_AXES];
} ofr_broadcast;
_Static_assert(sizeof(ofr_broadcast) == offsetof(ofr_add_params, multiplier), "layout");
_Static_assert(sizeof(ofr_broadcast) == offsetof(ofr_mul_params, multiplier), "layout");

/* Bytes from the first to the last value that the strides reach. */
static inline uint32_t ofr_reach(const uint32_t *dims, const uint32_t *strides, uint32_t axes) {
    uint32_t reach = 1;
    for (uint32_t i = 0; i < axes; i++) {
        reach = ofr_plus(reach, ofr_times(dims[i] - 1, strides[i]));
    }
    return reach;
}

/* Product of lengths; 0 where one is 0. */
static inline uint32_t ofr_volume(const uint32_t *dims, uint32_t axes) {
    uint32_t volume = 1;
    for (uint32_t i = 0; i < axes; i++) {
        volume = ofr_times(volume, dims[i]);
    }
    return volume;
}

/* Both inputs are exactly as long as the strides reach, so one that lies under the output is not repeated. */
static inline ofr_status ofr_check_broadcast_of(const ofr_call *call, uint32_t params_bytes, uint8_t dtype) {
    const uint32_t size = dtype == OFR_S16 ? 2 : 1;
    const ofr_broadcast *p = call->params;
    const uint32_t volume = ofr_volume(p->dims, OFR_BROADCAST_AXES);
    ofr_status status = ofr_expect(call, OFR_E_PARAMS, call->params_bytes, params_bytes);
    if (status == OFR_OK && volume == 0) {
        status = ofr_refuse(call, OFR_E_VALUE, 0, 1);
    }
    if (status == OFR_OK) {
        status = ofr_expect(call, OFR_E_DTYPE, call->out[0].dtype, dtype);
    }
    if (status == OFR_OK) {
        status = ofr_expect(call, OFR_E_SHAPE, call->out[0].bytes, ofr_times(volume, size));
    }
    for (uint32_t i = 0; i < 2 && status == OFR_OK; i++) {
        status = ofr_expect(call, OFR_E_DTYPE, call->in[i].dtype, dtype);
        if (status == OFR_OK) {
            const uint32_t reach = ofr_reach(p->dims, p->strides[i], OFR_BROADCAST_AXES);
            status = ofr_expect(call, OFR_E_SHAPE, call->in[i].bytes, ofr_times(reach, size));
        }
    }
    return status;
}

static inline ofr_status ofr_check_broadcast(const ofr_call *call, uint32_t params_bytes) {
    return ofr_check_broadcast_of(call, params_bytes, OFR_S8);
}

/* n outputs along the innermost axis. */
typedef void ofr_row(const void *params, const int8_t *a, uint32_t stride_a, const int8_t *b, uint32_t stride_b,
                     int8_t *out, uint32_t n);

static inline void ofr_for_rows(const ofr_call *call, ofr_row *row) {
    const ofr_broadcast *p = call->params;
    const uint32_t *d = p->dims, *sa = p->strides[0], *sb = p->strides[1];
    int8_t *out = (int8_t *)call->out[0].data;
    for (uint32_t i = 0; i < d[0]; i++) {
        for (uint32_t j = 0; j < d[1]; j++) {
            for (uint32_t k = 0; k < d[2]; k++) {
                const int8_t *a = (const int8_t *)call->in[0].data + (i * sa[0] + j * sa[1] + k * sa[2]);
                const int8_t *b = (const int8_t *)call->in[1].data + (i * sb[0] + j * sb[1] + k * sb[2]);
                row(p, a, sa[3], b, sb[3], out, d[3]);
                out += d[3];
            }
        }
    }
}

/* The same of int16. */
typedef void ofr_row_s16(const void *params, const int16_t *a, uint32_t stride_a, const int16_t *b, uint32_t stride_b,
                         int16_t *out, uint32_t n);

static inline void ofr_for_rows_s16(const ofr_call *call, ofr_row_s16 *row) {
    const ofr_broadcast *p = call->params;
    const uint32_t *d = p->dims, *sa = p->strides[0], *sb = p->strides[1];
    int16_t *out = (int16_t *)(void *)call->out[0].data;
    for (uint32_t i = 0; i < d[0]; i++) {
        for (uint32_t j = 0; j < d[1]; j++) {
            for (uint32_t k = 0; k < d[2]; k++) {
                const int16_t *a = (const int16_t *)(const void *)call->in[0].data + (i * sa[0] + j * sa[1] + k * sa[2]);
                const int16_t *b = (const int16_t *)(const void *)call->in[1].data + (i * sb[0] + j * sb[1] + k * sb[2]);
                row(p, a, sa[3], b, sb[3], out, d[3]);
                out += d[3];
            }
        }
    }
}

#endif

/* Moves runs of bytes along up to five axes, any type; may fill the whole output with one byte or two before. */
#include "kernel.h"

enum { AXES = 5 };

/* Whether all runs that offset and strides reach lie inside `bytes`. */
static int inside(const ofr_strided_copy_params *p, uint32_t offset, const int32_t *strides, uint32_t bytes) {
    int64_t low = offset, high = (int64_t)offset + p->run;
    for (uint32_t i = 0; i < AXES; i++) {
        const uint32_t step = strides[i] < 0 ? 0u - (uint32_t)strides[i] : (uint32_t)strides[i];
        const int64_t span = ofr_times(p->dims[i] - 1, step); /* saturated: then larger than any tensor */
        low -= strides[i] < 0 ? span : 0;
        high += strides[i] > 0 ? span : 0;
    }
    return low >= 0 && high <= bytes;
}

static ofr_status check(const ofr_call *call) {
    const ofr_strided_copy_params *p = call->params;
    uint32_t volume = p->run;
    for (uint32_t i = 0; i < AXES; i++) {
        volume = ofr_times(volume, p->dims[i]);
    }
    if (volume == 0 || volume > call->out[0].bytes) { /* more would write bytes twice, perhaps forever */
        return ofr_refuse(call, OFR_E_VALUE, volume, call->out[0].bytes);
    }
    if (call->in[0].dtype != call->out[0].dtype) {
        return ofr_refuse(call, OFR_E_DTYPE, call->in[0].dtype, call->out[0].dtype);
    }
    const ofr_status status = ofr_expect(call, OFR_E_PARAMS, call->params_bytes, sizeof *p);
    if (status == OFR_OK && !inside(p, p->in_offset, p->in_strides, call->in[0].bytes)) {
        return ofr_refuse(call, OFR_E_SHAPE, p->in_offset, call->in[0].bytes);
    }
    if (status == OFR_OK && !inside(p, p->out_offset, p->out_strides, call->out[0].bytes)) {
        return ofr_refuse(call, OFR_E_SHAPE, p->out_offset, call->out[0].bytes);
    }
    return status;
}

/* The innermost axis; offsets are modulo 2^32, so that negative strides need no signs. */
static void copy_axis(const ofr_strided_copy_params *p, const uint8_t *in, uint32_t from, uint8_t *out, uint32_t to) {
    const uint32_t in_step = (uint32_t)p->in_strides[AXES - 1], out_step = (uint32_t)p->out_strides[AXES - 1];
    const uint32_t n = p->dims[AXES - 1], run = p->run;
    for (uint32_t i = 0; i < n; i++) {
        if (run == 1) {
            out[to] = in[from];
        } else {
            memcpy(out + to, in + from, run);
        }
        from += in_step;
        to += out_step;
    }
}

static void run(const ofr_call *call) {
    const ofr_strided_copy_params *p = call->params;
    uint32_t index[AXES - 1] = {0};
    uint32_t from = p->in_offset, to = p->out_offset;
    uint8_t *out = call->out[0].data;
    if (p->fill_first) {
        memset(out, p->fill, call->out[0].bytes);
    }
    for (uint32_t i = 1; p->fill_first == 2 && i < call->out[0].bytes; i += 2) {
        out[i] = p->fill_high;
    }
    for (;;) {
        copy_axis(p, call->in[0].data, from, out, to);
        uint32_t axis = AXES - 1;
        do {
            if (axis == 0) {
                return;
            }
            axis--;
            from += (uint32_t)p->in_strides[axis];
            to += (uint32_t)p->out_strides[axis];
            if (++index[axis] < p->dims[axis]) {
                break;
            }
            index[axis] = 0;
            from -= p->dims[axis] * (uint32_t)p->in_strides[axis];
            to -= p->dims[axis] * (uint32_t)p->out_strides[axis];
        } while (1);
    }
}

const ofr_kernel ofr_kernel_generic_strided_copy = {
    OFR_KERNEL_GENERIC_STRIDED_COPY,
    OFR_PACKING_GENERIC_STRIDED_COPY,
    sizeof(ofr_strided_copy_params),
    1,
    1,
    0,
    check,
    run,
};

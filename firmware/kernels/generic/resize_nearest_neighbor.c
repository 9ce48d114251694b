/* Nearest-neighbour resize, int8: source rows and columns come in the parameter block. */
#include "kernel.h"

/* uint16_t source rows[out_rows], then columns[out_cols], each list padded to 4 bytes. */
static const uint16_t *source_rows(const ofr_call *call) {
    return (const uint16_t *)(const void *)((const ofr_resize_nearest_neighbor_params *)call->params + 1);
}

static ofr_status check(const ofr_call *call) {
    const ofr_resize_nearest_neighbor_params *p = call->params;
    const uint32_t n_rows = (p->out_rows + 1u) & ~1u, n_cols = (p->out_cols + 1u) & ~1u;
    if (p->channels == 0) { /* pixels without bytes could be any number */
        return ofr_refuse(call, OFR_E_VALUE, 0, 1);
    }
    if (call->in[0].dtype != OFR_S8 || call->out[0].dtype != OFR_S8) {
        return ofr_refuse(call, OFR_E_DTYPE, call->in[0].dtype, OFR_S8);
    }
    ofr_status status = ofr_expect(call, OFR_E_PARAMS, call->params_bytes, sizeof *p + 2 * (n_rows + n_cols));
    if (status == OFR_OK) {
        status = ofr_expect(call, OFR_E_SHAPE, call->in[0].bytes, ofr_times(ofr_times(p->rows, p->cols), p->channels));
    }
    if (status == OFR_OK) {
        status = ofr_expect(call, OFR_E_SHAPE, call->out[0].bytes,
                            ofr_times(ofr_times(p->out_rows, p->out_cols), p->channels));
    }
    const uint16_t *rows = source_rows(call), *cols = rows + n_rows;
    for (uint32_t i = 0; i < p->out_rows && status == OFR_OK; i++) {
        status = rows[i] < p->rows ? OFR_OK : ofr_refuse(call, OFR_E_VALUE, rows[i], p->rows);
    }
    for (uint32_t i = 0; i < p->out_cols && status == OFR_OK; i++) {
        status = cols[i] < p->cols ? OFR_OK : ofr_refuse(call, OFR_E_VALUE, cols[i], p->cols);
    }
    return status;
}

static void run(const ofr_call *call) {
    const ofr_resize_nearest_neighbor_params *p = call->params;
    const uint16_t *rows = source_rows(call), *cols = rows + ((p->out_rows + 1u) & ~1u);
    uint8_t *out = call->out[0].data;
    for (uint32_t y = 0; y < p->out_rows; y++) {
        const uint8_t *row = call->in[0].data + (uint32_t)rows[y] * p->cols * p->channels;
        for (uint32_t x = 0; x < p->out_cols; x++) {
            memcpy(out, row + cols[x] * p->channels, p->channels);
            out += p->channels;
        }
    }
}

const ofr_kernel ofr_kernel_generic_resize_nearest_neighbor = {
    OFR_KERNEL_GENERIC_RESIZE_NEAREST_NEIGHBOR,
    OFR_PACKING_GENERIC_RESIZE_NEAREST_NEIGHBOR,
    sizeof(ofr_resize_nearest_neighbor_params),
    1,
    1,
    0,
    check,
    run,
};

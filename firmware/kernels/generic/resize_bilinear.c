/* Bilinear resize, int8: source positions and weights in 1/1024 come in the parameter block. */
#include "kernel.h"

enum { BITS = 10, ONE = 1 << BITS };

typedef struct tap { /* of one output row or column */
    uint16_t lower, upper; /* source index */
    uint16_t weight;       /* of upper; ONE - weight is lower's */
} tap;

/* tap rows[out_rows], then columns[out_cols]. */
static const tap *taps(const ofr_call *call) {
    return (const tap *)(const void *)((const ofr_resize_bilinear_params *)call->params + 1);
}

static ofr_status check_taps(const ofr_call *call, const tap *t, uint32_t n, uint32_t length) {
    for (uint32_t i = 0; i < n; i++) {
        if (t[i].lower >= length || t[i].upper >= length) {
            return ofr_refuse(call, OFR_E_VALUE, t[i].lower, length);
        }
        if (t[i].weight >= ONE) {
            return ofr_refuse(call, OFR_E_VALUE, t[i].weight, ONE);
        }
    }
    return OFR_OK;
}

static ofr_status check(const ofr_call *call) {
    const ofr_resize_bilinear_params *p = call->params;
    const uint32_t bytes = ((uint32_t)p->out_rows + p->out_cols) * sizeof(tap);
    if (p->channels == 0) { /* pixels without bytes could be any number */
        return ofr_refuse(call, OFR_E_VALUE, 0, 1);
    }
    if (call->in[0].dtype != OFR_S8 || call->out[0].dtype != OFR_S8) {
        return ofr_refuse(call, OFR_E_DTYPE, call->in[0].dtype, OFR_S8);
    }
    ofr_status status = ofr_expect(call, OFR_E_PARAMS, call->params_bytes, sizeof *p + ((bytes + 3) & ~3u));
    if (status == OFR_OK) {
        status = ofr_expect(call, OFR_E_SHAPE, call->in[0].bytes, ofr_times(ofr_times(p->rows, p->cols), p->channels));
    }
    if (status == OFR_OK) {
        status = ofr_expect(call, OFR_E_SHAPE, call->out[0].bytes,
                            ofr_times(ofr_times(p->out_rows, p->out_cols), p->channels));
    }
    if (status == OFR_OK) {
        status = check_taps(call, taps(call), p->out_rows, p->rows);
    }
    return status != OFR_OK ? status : check_taps(call, taps(call) + p->out_rows, p->out_cols, p->cols);
}

static void run(const ofr_call *call) {
    const ofr_resize_bilinear_params *p = call->params;
    const tap *rows = taps(call), *cols = rows + p->out_rows;
    const int8_t *in = (const int8_t *)call->in[0].data;
    int8_t *out = (int8_t *)call->out[0].data;
    const uint32_t channels = p->channels, pitch = p->cols * channels;
    for (uint32_t y = 0; y < p->out_rows; y++) {
        const int8_t *top = in + rows[y].lower * pitch, *bottom = in + rows[y].upper * pitch;
        const int32_t down = rows[y].weight;
        for (uint32_t x = 0; x < p->out_cols; x++) {
            const int8_t *a = top + cols[x].lower * channels, *b = top + cols[x].upper * channels;
            const int8_t *c = bottom + cols[x].lower * channels, *d = bottom + cols[x].upper * channels;
            const int32_t across = cols[x].weight, of_d = across * down;
            const int32_t of_a = (ONE - across) * (ONE - down), of_b = across * ONE - of_d, of_c = down * ONE - of_d;
            for (const int8_t *end = out + channels; out != end;) {
                const int32_t sum = *a++ * of_a + *b++ * of_b + *c++ * of_c + *d++ * of_d; /* |sum| <= 2^27 */
                *out++ = (int8_t)((sum + ONE * ONE / 2 + (sum >> 31)) >> (2 * BITS)); /* halves away from zero */
            }
        }
    }
}

const ofr_kernel ofr_kernel_generic_resize_bilinear = {
    OFR_KERNEL_GENERIC_RESIZE_BILINEAR,
    OFR_PACKING_GENERIC_RESIZE_BILINEAR,
    sizeof(ofr_resize_bilinear_params),
    1,
    1,
    0,
    check,
    run,
};

/* Addition of two int8 tensors of one shape: one input shifted, the other through a table, then requantized. */
#include "multiply.h"

enum { EXACT_SHIFT = 20, TABLE = 256 }; /* the input whose scale is the larger one, doubled */

/* Behind the struct: twice the scaled second input by its byte, less the first input's zero point shifted. */
static const int32_t *table_of(const ofr_dsp_add_params *p) {
    return (const int32_t *)(const void *)(p + 1);
}

static ofr_status check(const ofr_call *call) {
    for (uint32_t i = 0; i < 2; i++) {
        if (call->in[i].dtype != OFR_S8 || call->out[0].dtype != OFR_S8) {
            return ofr_refuse(call, OFR_E_DTYPE, call->in[i].dtype, OFR_S8);
        }
        if (call->in[i].bytes != call->out[0].bytes) {
            return ofr_refuse(call, OFR_E_SHAPE, call->in[i].bytes, call->out[0].bytes);
        }
    }
    return ofr_expect(call, OFR_E_PARAMS, call->params_bytes, sizeof(ofr_dsp_add_params) + 4u * TABLE);
}

static inline int32_t one(const ofr_dsp_add_params *p, int32_t a, uint32_t b) {
    int32_t sum = table_of(p)[b] + (int32_t)((uint32_t)a << EXACT_SHIFT);
    const int32_t offset = p->offset + (sum >> 31);
    __asm__("smmlar %0, %0, %1, %2" : "+r"(sum) : "r"(p->multiplier), "r"(offset));
    __asm__("asr %0, %0, %1\n\tssat %0, #8, %0" : "+r"(sum) : "r"(p->exponent));
    return sum;
}

static void run(const ofr_call *call) {
    const ofr_dsp_add_params *p = call->params;
    const uint8_t *a = call->in[0].data, *b = call->in[1].data;
    uint8_t *out = call->out[0].data;
    const uint8_t *end = out + (call->out[0].bytes & ~3u);
    for (; out != end; a += 4, b += 4, out += 4) {
        uint32_t x, y;
        memcpy(&x, a, 4);
        memcpy(&y, b, 4);
        out[0] = (uint8_t)one(p, (int8_t)x, y & 255u);
        out[1] = (uint8_t)one(p, (int8_t)(x >> 8), y >> 8 & 255u);
        out[2] = (uint8_t)one(p, (int8_t)(x >> 16), y >> 16 & 255u);
        out[3] = (uint8_t)one(p, (int32_t)x >> 24, y >> 24);
    }
    for (uint32_t i = 0; i < (call->out[0].bytes & 3u); i++) {
        out[i] = (uint8_t)one(p, (int8_t)a[i], b[i]);
    }
    ofr_dsp_clamp((int8_t *)call->out[0].data, call->out[0].bytes, p->act_min, p->act_max);
}

const ofr_kernel ofr_kernel_dsp_add = {
    OFR_KERNEL_DSP_ADD, OFR_PACKING_DSP_ADD, sizeof(ofr_dsp_add_params), 2, 1, 3, check, run,
};

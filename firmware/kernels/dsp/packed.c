/* Streams of nibbles: checks, and what turns one channel at a time to what sparse.S reads. */
#include "packed.h"

enum { ESCAPE = 15 };


static uint32_t padded(uint32_t bytes) {
    return (bytes + 3) & ~3u;
}

/* Nibbles of an entry without what it skips before. */
static uint32_t entry_nibbles(const ofr_dsp_sparse_params *p, const ofr_dsp_packed_form *form) {
    return 1 + form->taps * p->value_bits / 4u;
}

ofr_status ofr_dsp_check_packed(const ofr_call *call, const ofr_dsp_packed_form *form, uint32_t *words) {
    const ofr_dsp_sparse_params *p = call->params;
    const uint32_t out_c = p->out_c, scales = p->scales;
    if ((p->value_bits != 4 && p->value_bits != 8) || (scales != 1 && scales != out_c) || p->linear != 0) {
        return ofr_refuse(call, OFR_E_VALUE, p->value_bits, 8);
    }
    const uint32_t fixed = (uint32_t)sizeof *p + 4 * (out_c + scales) + padded(2 * out_c) + padded(scales);
    if (call->params_bytes < fixed) {
        return ofr_refuse(call, OFR_E_PARAMS, call->params_bytes, fixed);
    }
    const ofr_dsp_packed packed = ofr_dsp_open_packed(p, form);
    uint32_t bytes = OFR_DSP_PACKED_BEHIND, most = 0;
    for (uint32_t c = 0; c < out_c; c++) {
        const uint32_t n = packed.nibbles[c];
        bytes += (n + 1) / 2;
        most = n > most ? n : most;
    }
    const uint32_t entries = most / entry_nibbles(p, form) + 1 + form->at_once;
    *words = 2 + 3 + entries * (form->taps == 1 ? 1 : 3);
    return ofr_expect(call, OFR_E_PARAMS, call->params_bytes, fixed + padded(bytes));
}

ofr_dsp_packed ofr_dsp_open_packed(const ofr_dsp_sparse_params *p, const ofr_dsp_packed_form *form) {
    const uint8_t *at = (const uint8_t *)(p + 1);
    ofr_dsp_packed packed = {.p = p, .form = form, .bias = (const int32_t *)(const void *)at};
    packed.multiplier = packed.bias + p->out_c;
    packed.nibbles = (const uint16_t *)(const void *)(packed.multiplier + p->scales);
    packed.exponent = (const uint8_t *)packed.nibbles + padded(2u * p->out_c);
    packed.values = packed.exponent + padded(p->scales);
    return packed;
}

/* Seven nibbles from nibble i on, the first lowest. */
static inline uint32_t nibbles(const uint8_t *values, uint32_t i) {
    uint32_t word;
    memcpy(&word, values + (i >> 1), 4);
    return word >> (i & 1) * 4;
}

/* Twice the first value of these in the upper half of a word. */
static inline uint32_t doubled(uint32_t from, uint32_t bits) {
    return (uint32_t)((int32_t)(from << (32 - bits)) >> (32 - bits)) << 17;
}

/* Entries of a channel; returns their end. */
static inline __attribute__((always_inline)) uint32_t *unpack(const uint8_t *values, uint32_t n, uint32_t *to,
                                                              uint32_t place, uint32_t bits, uint32_t taps) {
    uint32_t at = 0;
    for (uint32_t i = 0; i < n;) {
        const uint32_t word = nibbles(values, i++);
        at += (word & 15) * place;
        if ((word & 15) == ESCAPE) {
            continue;
        }
        if (taps == 1) {
            *to++ = doubled(word >> 4, bits) | (at & 0xffffu);
        } else {
            const uint32_t first = nibbles(values, i), second = nibbles(values, i + bits / 2);
            *to++ = at;
            *to++ = doubled(second, bits) | doubled(first, bits) >> 16;
            *to++ = doubled(second >> bits, bits) | doubled(first >> bits, bits) >> 16;
        }
        i += taps * bits / 4;
        at += place;
    }
    return to;
}

static uint32_t *unpack_blocks(const uint8_t *values, uint32_t n, uint32_t *to, uint32_t place, uint32_t bits) {
    return bits == 4 ? unpack(values, n, to, place, 4, 4) : unpack(values, n, to, place, 8, 4);
}

static uint32_t *unpack_weights(const uint8_t *values, uint32_t n, uint32_t *to, uint32_t place, uint32_t bits) {
    return bits == 4 ? ofr_dsp_unpack_int4(values, n, to, place) : unpack(values, n, to, place, 8, 1);
}

void ofr_dsp_unpack(ofr_dsp_packed *packed, uint32_t *stream) {
    const ofr_dsp_packed_form *form = packed->form;
    const uint32_t n = *packed->nibbles++, words = form->taps == 1 ? 1 : 3, e = *packed->exponent & 31u;
    const uint32_t bits = packed->p->value_bits;
    uint32_t *first = stream + 2, *end = form->taps == 1 ? unpack_weights(packed->values, n, first, form->place, bits)
                                                         : unpack_blocks(packed->values, n, first, form->place, bits);
    packed->values += (n + 1) / 2;
    const uint32_t at_once = words * form->at_once;
    uint32_t counted = (uint32_t)(end - first) / at_once;
    const uint32_t *full = first + counted * at_once;
    if (full != end || counted < form->uncounted) {
        for (full = first + ++counted * at_once; end != full;) {
            *end++ = 0;
        }
    }
    stream[0] = counted - form->uncounted;
    stream[1] = (uint32_t)*packed->bias++;
    end[0] = (uint32_t)*packed->multiplier;
    end[1] = (1u << e >> 1) + ((uint32_t)packed->p->output_zero_point << e);
    end[2] = e;
    if (packed->p->scales != 1) {
        packed->multiplier++;
        packed->exponent++;
    }
}

ofr_status ofr_dsp_check_packed_conv(const ofr_call *call, const ofr_dsp_packed_form *form) {
    uint32_t words = 0;
    const ofr_status status = ofr_dsp_check_packed(call, form, &words);
    return status != OFR_OK ? status : ofr_dsp_check_sparse_window(call, form->taps, 4 * words);
}

ofr_status ofr_dsp_check_packed_row(const ofr_call *call, const ofr_dsp_packed_form *form) {
    uint32_t words = 0;
    const ofr_status status = ofr_dsp_check_packed(call, form, &words);
    return status != OFR_OK ? status : ofr_dsp_check_sparse_row(call, form->taps, 4 * words);
}

void ofr_dsp_packed_tile(const ofr_dsp_tile *tile, const ofr_dsp_packed_form *form, ofr_dsp_sparse_run *multiply) {
    ofr_dsp_packed packed = ofr_dsp_open_packed(tile->p, form);
    ofr_dsp_tile one = *tile;
    one.channels = 1;
    for (uint32_t c = tile->channels; c != 0; c--, one.out++) {
        ofr_dsp_unpack(&packed, one.entries);
        multiply(one.entries, &one);
    }
}

/* Channels of weights of four bits without their entries in between. */
static void multiply_nibbles(ofr_dsp_packed packed, const int8_t *taps, uint32_t mask, int8_t *out) {
    const ofr_dsp_sparse_params *p = packed.p;
    const uint32_t next = p->scales != 1;
    for (uint32_t c = p->out_c; c != 0; c--, packed.multiplier += next, packed.exponent += next) {
        const uint32_t n = *packed.nibbles++, e = *packed.exponent & 31u;
        const uint32_t products = (uint32_t)ofr_dsp_multiply_nibbles(packed.values, n, taps, mask);
        const int32_t sum = (int32_t)((uint32_t)*packed.bias++ + 2 * products);
        const int64_t scaled = ((int64_t)sum * *packed.multiplier + (1ll << 31)) >> 32;
        const uint32_t offset = (1u << e >> 1) + ((uint32_t)p->output_zero_point << e) - (sum < 0);
        const int32_t value = (int32_t)((uint32_t)scaled + offset) >> e;
        *out++ = (int8_t)(value < -128 ? -128 : value > 127 ? 127 : value);
        packed.values += (n + 1) / 2;
    }
}

static void multiply_entries(ofr_dsp_packed packed, const void *taps, uint32_t mask, int8_t *out, uint32_t *stream,
                             ofr_dsp_sparse_row_run *multiply) {
    for (uint32_t c = packed.p->out_c; c != 0; c--) {
        ofr_dsp_unpack(&packed, stream);
        multiply(stream, taps, mask, out++, 1);
    }
}

void ofr_dsp_packed_row(const ofr_call *call, const ofr_dsp_packed_form *form, ofr_dsp_sparse_row_run *multiply) {
    const ofr_dsp_sparse_params *p = call->params;
    ofr_dsp_packed packed = ofr_dsp_open_packed(p, form);
    int8_t *out = (int8_t *)call->out[0].data;
    const uint32_t mask = ofr_dsp_sparse_row_taps(call, form->taps) & (form->taps == 1 ? UINT32_MAX : ~3u);
    if (form->taps == 1 && p->value_bits == 4) {
        multiply_nibbles(packed, call->scratch, mask, out);
    } else {
        uint32_t *stream = (uint32_t *)call->scratch + ofr_dsp_row_bytes(p->in_c, form->taps) / 4;
        multiply_entries(packed, call->scratch, mask, out, stream, multiply);
    }
    ofr_dsp_clamp(out, p->out_c, p->act_min, p->act_max);
}

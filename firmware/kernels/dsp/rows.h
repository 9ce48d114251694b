/* Rows of two int8 inputs for the dsp set: four elements at a time, one input perhaps a single value. */
#ifndef OFR_DSP_ROWS_H
#define OFR_DSP_ROWS_H

#include "broadcast.h"
#include "multiply.h"

/* Numbers of one scale as in multiply.h, laid out for rows.S. */
typedef struct ofr_dsp_scale {
    int32_t multiplier, offset;
    uint32_t exponent;
} ofr_dsp_scale;

static inline ofr_dsp_scale ofr_dsp_scale_of(int32_t multiplier, uint32_t exponent, int32_t zero_point) {
    const uint32_t e = exponent & 31;
    return (ofr_dsp_scale){multiplier, (int32_t)((1u << e >> 1) + ((uint32_t)zero_point << e)), e};
}

/* For 4 * fours elements, fours at least 1: requantizes table[b] + a * factor. */
typedef struct ofr_dsp_sums {
    ofr_dsp_scale scale;
    uint32_t factor;
    const uint32_t *table; /* of 256, twice the sums' */
} ofr_dsp_sums;
/* The same for products of centred values. */
typedef struct ofr_dsp_products {
    ofr_dsp_scale scale;
    uint32_t centre[2]; /* less a zero point, in both halves */
} ofr_dsp_products;

/* Reads and writes 4 * fours bytes each, fours at least 1; `out` may be one of the inputs. */
typedef void ofr_dsp_fours(const int8_t *a, const int8_t *b, int8_t *out, uint32_t fours, const void *job);
ofr_dsp_fours ofr_dsp_sum_fours, ofr_dsp_multiply_fours;

/* n elements; strides are 0 or 1. */
void ofr_dsp_each(ofr_dsp_fours *fours, const void *job, const int8_t *a, uint32_t stride_a, const int8_t *b,
                 uint32_t stride_b, int8_t *out, uint32_t n);

/* As ofr_check_broadcast, and the strides of rows. */
ofr_status ofr_dsp_check_rows(const ofr_call *call, uint32_t params_bytes);

#endif

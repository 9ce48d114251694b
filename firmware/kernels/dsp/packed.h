/* The smallest streams of weights that are mostly zeros: nibbles, of which one channel at a time becomes what sparse.h
 * reads.
 *
 * Behind the fixed struct lie, each part padded to 4 bytes: twice the bias of each channel, int32; multipliers, int32,
 * and how many nibbles a channel has, uint16; exponents, uint8; nibbles, low ones first, each channel's from a byte on,
 * and OFR_DSP_PACKED_BEHIND bytes. `scales` says whether there is one multiplier and exponent or one for each channel.
 *
 * A nibble below 15 is how many taps, or blocks of four, are skipped, and behind it stands the weight of the next, or
 * its four weights: value_bits each. 15 skips 15 without a weight. c of sparse.h follows from exponent and zero point.
 * Nibbles that say anything else give other weights, and their number bounds the entries. */
#ifndef OFR_DSP_PACKED_H
#define OFR_DSP_PACKED_H

#include "sparse.h"

enum { OFR_DSP_PACKED_BEHIND = 8 };

/* What differs between convolutions and rows. */
typedef struct ofr_dsp_packed_form {
    uint16_t taps;      /* of an entry: 1 or 4 */
    uint16_t place;     /* bytes from one entry's taps to the next's */
    uint16_t at_once;   /* entries that are counted as one, filled up by zeros */
    uint16_t uncounted; /* entries that are not counted: there is one at least */
} ofr_dsp_packed_form;

/* Whether the block has its parts' lengths, and the words that one channel's stream needs at most. */
ofr_status ofr_dsp_check_packed(const ofr_call *call, const ofr_dsp_packed_form *form, uint32_t *words);

typedef struct ofr_dsp_packed {
    const ofr_dsp_sparse_params *p;
    const ofr_dsp_packed_form *form;
    const int32_t *bias, *multiplier;
    const uint16_t *nibbles;
    const uint8_t *exponent, *values;
} ofr_dsp_packed;

ofr_dsp_packed ofr_dsp_open_packed(const ofr_dsp_sparse_params *p, const ofr_dsp_packed_form *form);

/* Writes the next channel's stream. */
void ofr_dsp_unpack(ofr_dsp_packed *packed, uint32_t *stream);

/* The entries of n nibbles with weights of four bits, in assembly; returns their end. */
uint32_t *ofr_dsp_unpack_int4(const uint8_t *values, uint32_t n, uint32_t *to, uint32_t place);

/* The same nibbles' weights by bytes, at masked places; returns the sum. */
int32_t ofr_dsp_multiply_nibbles(const uint8_t *values, uint32_t n, const int8_t *taps, uint32_t mask);

/* The kernels: checks, and runs with the inner part for one channel. */
ofr_status ofr_dsp_check_packed_conv(const ofr_call *call, const ofr_dsp_packed_form *form);
ofr_status ofr_dsp_check_packed_row(const ofr_call *call, const ofr_dsp_packed_form *form);
void ofr_dsp_packed_tile(const ofr_dsp_tile *tile, const ofr_dsp_packed_form *form, ofr_dsp_sparse_run *multiply);
void ofr_dsp_packed_row(const ofr_call *call, const ofr_dsp_packed_form *form, ofr_dsp_sparse_row_run *multiply);

#endif

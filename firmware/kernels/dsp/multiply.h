/* Inner products of the dsp kernels, activations widened once; weights are packed in one of two ways.
 *
 * At int8 size, two to a half word: four taps x0 to x3 are widened to two words of two int16 each: z = (x1 - 127, x3 -
 * 127) and y = (256 x0, 256 x2) - z. Their four weights are one word W of two int16: (256 w1 + w0, 256 w3 + w2). Then
 * W . z + (w0, w2) . y = 256 (w0 x0 + w1 (x1 - 127) + w2 x2 + w3 (x3 - 127)): one unpacking serves four weights. The
 * host adds 127 times the odd weights to the bias and shows that no final sum reaches 2^23. Bias and sums are 256 fold.
 *
 * At int16: four taps are the words (x0, x2) and (x1, x3), their weights the like, twice as great. Bias and sums are
 * twofold, and no final sum reaches 2^31. The functions' names end with _16.
 *
 * At four bits: weights w0 to w7 of eight taps are one word, from bit 0 on the nibbles w0 + 8, w1, w4 + 8, w5, w2 + 8,
 * w3, w6 + 8, w7. Four taps are widened to z = (x1, x3) and y = (16 x0, 16 x2) - z with every x 128 greater: the low
 * bytes of the word's halves meet z, their low nibbles y, and the high bytes the next four taps. Where the number of
 * fours is odd, a pair's weights begin with a word for the first four of both, channel 1 in the high bytes. What the 8 in the low nibbles adds is -8 (y + z) less; the host
 * counters the 128 in the bias. Sums are 16 fold and no final sum reaches 2^27. The functions' names end with _4.
 *
 * Requantization: multiplier M, offset c = 2^(e-1) + (zero_point << e) and exponent e of each channel. The high word of
 * 2 sum * M, rounded, plus c, less one for a negative sum, arithmetically shifted by e, saturated to int8: gemmlowp's
 * two roundings for e in [1, 23] and multipliers not below 0. In the linear form, see linear.h, the bias holds an
 * offset and M stands alone; weights at int16 are then some multiple of up to 256. Any other numbers give some byte,
 * nothing worse. */
#ifndef OFR_DSP_MULTIPLY_H
#define OFR_DSP_MULTIPLY_H

#include "kernel.h"

/* Of a channel pair's stream, beside the weights. */
enum { OFR_DSP_PAIR_WORDS = 8, OFR_DSP_LINEAR_PAIR_WORDS = 4 }; /* the latter 2 more at four bits */

/* Multiplies `pairs` (at least 1) of channels by three pixels of 4 * groups taps, `groups` at least 1.
 *
 * taps: for each four the first word (z) of the three pixels, then the second (y) of the three. Stream of a pair:
 * bias0, bias1, the weights, then M, c, e of each channel, or M of each if `linear` (at four bits what is added behind
 * it too). Weights at int8 size: W of channel
 * 0 and of channel 1 for each four taps; at int16: the first word of channel 0 and of channel 1, the second of each.
 * out: where each pixel's channels go; where these are equal the first pixel's stay. Returns the end of the stream. */
typedef const uint32_t *ofr_dsp_multiply_run(const uint32_t *stream, const uint32_t *taps, int8_t *const out[3],
                                             uint32_t pairs, uint32_t groups, uint32_t linear);
ofr_dsp_multiply_run ofr_dsp_multiply, ofr_dsp_multiply_16, ofr_dsp_multiply_4;

/* Widens three pixels of 4 * groups bytes, groups at least 1, as ofr_dsp_multiply wants them; returns the end. */
typedef uint32_t *ofr_dsp_widen_three_run(const int8_t *const in[3], uint32_t *taps, uint32_t groups);
ofr_dsp_widen_three_run ofr_dsp_widen_three, ofr_dsp_widen_three_16, ofr_dsp_widen_three_4;

/* Widens 4 * groups bytes, groups at least 1, to two words for each four, from the end: `out` may begin where `in`
 * does. */
typedef void ofr_dsp_widen_run(const int8_t *in, uint32_t *out, uint32_t groups);
ofr_dsp_widen_run ofr_dsp_widen, ofr_dsp_widen_16, ofr_dsp_widen_4;

/* Brings three widened pixels, `distance` bytes apart, together as ofr_dsp_multiply wants them, groups at least 1;
 * returns the end. */
uint32_t *ofr_dsp_interleave(const uint32_t *first, uint32_t distance, uint32_t *taps, uint32_t groups);

/* Copies one widened pixel to one of the three places, `taps` to `taps` + 2, groups at least 1; returns the end. */
uint32_t *ofr_dsp_place(const uint32_t *pixel, uint32_t *taps, uint32_t groups);

/* Channels in fours and taps in eights, both at least 1, with one multiplier, offset and exponent for all. */
typedef struct ofr_dsp_row {
    uint32_t quads, eights;
    int32_t multiplier, offset;
    uint32_t exponent;
} ofr_dsp_row;

/* Multiplies four channels at a time by one row of 8 * eights taps: two words for each four.
 *
 * Stream of four channels: bias of each, then for each four taps W of each, or for each two one word of each. Returns
 * the end of the stream. */
typedef const uint32_t *ofr_dsp_multiply_row_run(const uint32_t *stream, const uint32_t *taps, int8_t *out,
                                                 const ofr_dsp_row *row);
ofr_dsp_multiply_row_run ofr_dsp_multiply_row, ofr_dsp_multiply_row_16, ofr_dsp_multiply_row_4;

/* Widens 8 * eights bytes, eights at least 1, for ofr_dsp_multiply_row_4, from the end: `out` may begin where `in` does.
 * A word of weights is multiplied four times: as it is by (x1, x3); its low nibbles by 16 (x0 + 128, x2 + 128) less
 * that; its high bytes by (x5 - 128, x7 - 128) less 256 (x1, x3), and their low nibbles by 16 (x4 + 128, x6 + 128) less
 * (x5 - 128, x7 - 128). w1 and w3 are kept 8 greater too. Returns -128 times the sum of what meets greater weights, x1
 * and x3 128 greater; OFR_DSP_ROW_4_HEAD bytes in front of the taps ofr_dsp_multiply_row_4 wants it for all. */
uint32_t ofr_dsp_widen_row_4(const int8_t *in, uint32_t *out, uint32_t eights);

/* Where the taps of three pixels lie among rows of bytes. Up to 3 bytes behind each run are read and, in the rests,
 * written. */
typedef struct ofr_dsp_window {
    const int8_t *pixel[3];
    uint32_t offset;        /* bytes from there to the first tap */
    uint32_t rows, jump;    /* of runs, and bytes from one to the next */
    uint32_t runs, step;    /* of a row, and bytes from one to the next */
    uint32_t fours, rest;   /* taps of a run that lie together: fours, and bytes behind them */
    int8_t *rests;          /* where those go, for the first pixel */
    uint32_t rest_bytes;    /* from one pixel's rests to the next */
    uint32_t rest_fours;    /* of one pixel's rests */
} ofr_dsp_window;

/* Widens the fours of all runs as ofr_dsp_multiply wants them, then the bytes left of each run, one behind the other. */
typedef void ofr_dsp_gather_run(const ofr_dsp_window *window, uint32_t *taps);
ofr_dsp_gather_run ofr_dsp_gather, ofr_dsp_gather_16, ofr_dsp_gather_4;

/* Adds `fours` (at least 1) times four elements; `params` with the table behind. Outputs may lie over an input. */
void ofr_dsp_add(const uint8_t *exact, const uint8_t *other, uint8_t *out, uint32_t fours,
                 const ofr_dsp_add_params *params);

/* Limits n bytes to a fused activation's range; does nothing where that is all of int8. */
void ofr_dsp_clamp(int8_t *values, uint32_t n, int32_t low, int32_t high);

#endif

/* Depthwise convolution of 3x3 windows: channels in fours laid out as planes of int16, two outputs at a time.
 *
 * A plane's line is a row of the image, or a column where pairs fit those better. The band of lines that a number of
 * output lines needs stands in scratch, so that outputs may overwrite the input behind it. */
#ifndef OFR_DSP_DEPTHWISE_H
#define OFR_DSP_DEPTHWISE_H

#include "layer.h"

enum { OFR_DSP_DEPTHWISE_WORDS = 10, OFR_DSP_DEPTHWISE_LINEAR_WORDS = 8 }; /* of one channel's block */

/* Output lines of several channels, each with its block and next to the one before. in: two int16 a word; lengths and
 * distances in bytes but for the counts. */
typedef struct ofr_dsp_lines {
    const uint32_t *in;
    uint32_t pitch; /* from one line of `in` to the next */
    uint32_t next;  /* from the lines of one output line to those of the next */
    int8_t *out;
    uint32_t step;      /* from one output to the next */
    uint32_t line_step; /* from one output line to the next */
    uint32_t outputs;   /* of a line, at least 1 */
    uint32_t lines;     /* at least 1 */
    uint32_t plane;     /* from one channel of `in` to the next */
    uint32_t channels;  /* at least 1 */
} ofr_dsp_lines;

/* Channel block: for each of three lines (w0, w1) and (w1, w2), twice the weights; then twice the bias, M, c and e as
 * in multiply.h. In the linear form, see linear.h, a power of two up to 256 times weights and bias, an offset in the
 * bias, and M. */
typedef void ofr_dsp_lines_run(const ofr_dsp_lines *lines, const uint32_t *block);
ofr_dsp_lines_run ofr_dsp_lines_s1, ofr_dsp_lines_s2, ofr_dsp_lines_linear_s1, ofr_dsp_lines_linear_s2;

/* A line of four channels: `zero` and the first pixel if `head`, pairs of pixels, the last pixel and `zero` if `tail`,
 * each two a word of two int16 to each of four planes. */
typedef struct ofr_dsp_pixels {
    const int8_t *in;
    uint32_t step; /* bytes from one pixel to the next */
    uint32_t *planes;
    uint32_t plane_words; /* from one plane to the next */
    uint32_t zero;        /* four zero points */
    uint32_t head, pairs, tail;
} ofr_dsp_pixels;
void ofr_dsp_planar(const ofr_dsp_pixels *pixels);

/* `words` of one channel's block. */
ofr_status ofr_dsp_check_depthwise(const ofr_call *call, uint32_t words);

/* The whole layer by the loops for stride 1 and for stride 2. */
void ofr_dsp_depthwise(const ofr_call *call, uint32_t words, ofr_dsp_lines_run *s1, ofr_dsp_lines_run *s2);

#endif

/* Gathers the taps of one output position into scratch, padding read as the input's zero point. */
#ifndef OFR_GATHER_H
#define OFR_GATHER_H

#include <string.h>

#include "offramp.h"

/* Geometry of a window over an int8 NHWC input. */
typedef struct ofr_taps {
    const int8_t *in;
    int32_t rows, cols, channels;
    int32_t kernel_h, kernel_w, dilation_h, dilation_w;
    int32_t zero_point;
} ofr_taps;

/* Channels [first, first + n) of every tap of the window whose top left corner is (y0, x0). */
static inline void ofr_gather(const ofr_taps *t, int32_t y0, int32_t x0, uint32_t first, uint32_t n, int8_t *taps) {
    for (int32_t ky = 0; ky < t->kernel_h; ky++) {
        const int32_t y = y0 + ky * t->dilation_h;
        if (y < 0 || y >= t->rows) {
            memset(taps, t->zero_point, n * (uint32_t)t->kernel_w);
            taps += n * (uint32_t)t->kernel_w;
            continue;
        }
        const int8_t *row = t->in + (uint32_t)(y * t->cols) * (uint32_t)t->channels + first;
        if (x0 >= 0 && t->dilation_w == 1 && n == (uint32_t)t->channels && x0 + t->kernel_w <= t->cols) {
            memcpy(taps, row + (uint32_t)x0 * n, n * (uint32_t)t->kernel_w);
            taps += n * (uint32_t)t->kernel_w;
            continue;
        }
        for (int32_t kx = 0; kx < t->kernel_w; kx++, taps += n) {
            const int32_t x = x0 + kx * t->dilation_w;
            if (x < 0 || x >= t->cols) {
                memset(taps, t->zero_point, n);
            } else {
                memcpy(taps, row + (uint32_t)(x * t->channels), n);
            }
        }
    }
}

#endif

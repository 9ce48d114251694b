/* The Fourier transform of real frames: decimation in time by four, then the two halves of the frame are parted. */
#include "transform.h"

typedef struct complex32 {
    int32_t re, im;
} complex32;

/* Bits 15 to 30 of a product or of a sum of two, rounded; as unsigned, since tables of hostile blobs may overflow it. */
static int32_t rounded(uint32_t x) {
    return (int16_t)((int32_t)(x + (1u << 14)) >> 15);
}

static complex32 divided(const int16_t *z, int32_t factor) {
    return (complex32){rounded((uint32_t)(z[0] * factor)), rounded((uint32_t)(z[1] * factor))};
}

static complex32 times(complex32 a, int32_t re, int32_t im) {
    return (complex32){rounded((uint32_t)(a.re * re) - (uint32_t)(a.im * im)),
                       rounded((uint32_t)(a.re * im) + (uint32_t)(a.im * re))};
}

static void put(int16_t *z, int32_t re, int32_t im) {
    z[0] = (int16_t)re;
    z[1] = (int16_t)im;
}

/* Puts what has the digits of its index, base 4, reversed in each place. */
static void reverse_digits(int16_t *z, uint32_t points) {
    for (uint32_t i = 0; i < points; i++) {
        uint32_t reversed = 0;
        for (uint32_t rest = i, n = points; n > 1; n >>= 2, rest >>= 2) {
            reversed = reversed << 2 | (rest & 3);
        }
        if (reversed > i) {
            const int16_t re = z[2 * i], im = z[2 * i + 1];
            put(z + 2 * i, z[2 * reversed], z[2 * reversed + 1]);
            put(z + 2 * reversed, re, im);
        }
    }
}

/* Four transforms of `quarter` points become one; the sum is divided by four first. `turn`: angle of index 1. */
static void butterfly(int16_t *z, uint32_t quarter, uint32_t k, uint32_t turn, uint32_t points, const int16_t *cosines) {
    const uint32_t mask = 2 * points - 1, sine = points / 2;
    complex32 f[4];
    for (uint32_t i = 0; i < 4; i++) {
        const uint32_t angle = i * k * turn;
        f[i] = divided(z + 2 * (k + i * quarter), 32767 / 4);
        f[i] = times(f[i], cosines[angle & mask], cosines[(angle + sine) & mask]);
    }
    const int32_t difference_re = (int16_t)(f[0].re - f[2].re), difference_im = (int16_t)(f[0].im - f[2].im);
    const int32_t even_re = f[0].re + f[2].re, even_im = f[0].im + f[2].im;
    const int32_t odd_re = f[1].re + f[3].re, odd_im = f[1].im + f[3].im;
    const int32_t cross_re = f[1].re - f[3].re, cross_im = f[1].im - f[3].im;
    put(z + 2 * k, even_re + odd_re, even_im + odd_im);
    put(z + 2 * (k + quarter), difference_re + cross_im, difference_im - cross_re);
    put(z + 2 * (k + 2 * quarter), even_re - odd_re, even_im - odd_im);
    put(z + 2 * (k + 3 * quarter), difference_re - cross_im, difference_im + cross_re);
}

static void complex_fft(int16_t *z, uint32_t points, const int16_t *cosines) {
    reverse_digits(z, points);
    for (uint32_t quarter = 1; quarter < points; quarter *= 4) {
        for (uint32_t start = 0; start < points; start += 4 * quarter) {
            for (uint32_t k = 0; k < quarter; k++) {
                butterfly(z + 2 * start, quarter, k, points / (2 * quarter), points, cosines);
            }
        }
    }
}

/* Bins k and points - k of the frame from those of its even and odd samples as one complex number. */
static void part(int16_t *z, uint32_t k, uint32_t points, const int16_t *cosines) {
    int16_t *mirrored = z + 2 * (points - k);
    const uint32_t mask = 2 * points - 1, sine = points / 2;
    const complex32 here = divided(z + 2 * k, 32767 / 2), there = divided(mirrored, 32767 / 2);
    const int32_t sum_re = (int16_t)(here.re + there.re), sum_im = (int16_t)(here.im - there.im);
    const complex32 difference = {(int16_t)(here.re - there.re), (int16_t)(here.im + there.im)};
    const complex32 turned = times(difference, cosines[(k + sine) & mask], cosines[(k + 2 * sine) & mask]);
    put(mirrored, (sum_re - turned.re) >> 1, (turned.im - sum_im) >> 1);
    if (2 * k != points) {
        put(z + 2 * k, (sum_re + turned.re) >> 1, (sum_im + turned.im) >> 1);
    }
}

void ofr_real_fft_s16(int16_t *z, uint32_t points, const int16_t *cosines) {
    complex_fft(z, points, cosines);
    const complex32 first = divided(z, 32767 / 2);
    put(z, first.re + first.im, 0);
    for (uint32_t k = 1; 2 * k <= points; k++) {
        part(z, k, points, cosines);
    }
}

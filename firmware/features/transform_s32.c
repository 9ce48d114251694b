/* The Fourier transform of real frames of 32 bits: decimation in time by two, half of the sum each stage. */
#include "transform.h"

enum { TURN_BITS = 30 };

typedef struct complex32 {
    int32_t re, im;
} complex32;

/* Of a table and its place: what turns by `angle` steps. */
typedef struct turns {
    const int32_t *cosines;
    uint32_t mask, sine;
} turns;

/* Products of a hostile table may overflow, so sums are of unsigned numbers. */
static int32_t rounded(uint64_t x) {
    return (int32_t)((int64_t)(x + (1u << (TURN_BITS - 1))) >> TURN_BITS);
}

static complex32 turned(complex32 a, const turns *t, uint32_t angle) {
    const int64_t re = t->cosines[angle & t->mask], im = t->cosines[(angle + t->sine) & t->mask];
    return (complex32){rounded((uint64_t)(a.re * re) - (uint64_t)(a.im * im)),
                       rounded((uint64_t)(a.re * im) + (uint64_t)(a.im * re))};
}

/* Half of a sum, rounded upwards. */
static int32_t halved(int64_t sum) {
    return (int32_t)((sum + 1) >> 1);
}

static void reverse_bits(complex32 *z, uint32_t points) {
    for (uint32_t i = 0; i < points; i++) {
        uint32_t reversed = 0;
        for (uint32_t rest = i, n = points; n > 1; n >>= 1, rest >>= 1) {
            reversed = reversed << 1 | (rest & 1);
        }
        if (reversed > i) {
            const complex32 kept = z[i];
            z[i] = z[reversed];
            z[reversed] = kept;
        }
    }
}

static void complex_fft(complex32 *z, uint32_t points, const turns *t) {
    reverse_bits(z, points);
    for (uint32_t half = 1; half < points; half *= 2) {
        for (uint32_t k = 0; k < half; k++) {
            for (uint32_t i = k; i < points; i += 2 * half) {
                const complex32 even = z[i], odd = turned(z[i + half], t, k * (points / half));
                z[i] = (complex32){halved((int64_t)even.re + odd.re), halved((int64_t)even.im + odd.im)};
                z[i + half] = (complex32){halved((int64_t)even.re - odd.re), halved((int64_t)even.im - odd.im)};
            }
        }
    }
}

/* A bin of the frame from those of its even and odd samples as one complex number, itself and its mirror's. */
static complex32 parted(complex32 here, complex32 there, const turns *t, uint32_t k) {
    const complex32 sum = {halved((int64_t)here.re + there.re), halved((int64_t)here.im - there.im)};
    const complex32 difference = {halved((int64_t)here.re - there.re), halved((int64_t)here.im + there.im)};
    const complex32 turn = turned(difference, t, k + t->sine);
    return (complex32){halved((int64_t)sum.re + turn.re), halved((int64_t)sum.im + turn.im)};
}

void ofr_real_fft_s32(int32_t *samples, uint32_t points, const int32_t *cosines) {
    complex32 *z = (complex32 *)(void *)samples;
    const turns t = {cosines, 2 * points - 1, points / 2};
    complex_fft(z, points, &t);
    for (uint32_t k = 0; 2 * k <= points; k++) {
        const uint32_t mirror = (points - k) & (points - 1);
        const complex32 here = z[k], there = z[mirror];
        z[mirror] = parted(there, here, &t, mirror);
        z[k] = parted(here, there, &t, k);
    }
}

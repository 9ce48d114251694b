/* Products with weights of four bits: two channels' weights in one word, so that one multiplication serves both. */
#ifdef __ARM_FEATURE_DSP
#pragma GCC optimize("Os") /* other sets serve nearly all layers there */
#endif

#include "nibbles.h"

/* A run's sum is of 32 products in [-1016, 1024] in either half of a word. START makes the lower half positive and
 * keeps the upper one inside 16 bits, whatever the values. */
#define LOW (32 * 1016)
#define HIGH 128
#define START ((uint32_t)LOW - ((uint32_t)HIGH << 16))

/* Tap i of a word: both channels' weights, the second times 2^16. */
static inline uint32_t pair_at(uint32_t word, uint32_t i, uint32_t mask) {
    return ((word >> 4 * i) & mask) - 0x00080008u;
}

static inline void split(ofr_generic_sums *sums, uint32_t i, uint32_t acc, const uint8_t *m) {
    const int32_t second = ((int32_t)acc >> 16) + HIGH;
    const uint32_t first = (acc & 0xffff) - LOW;
    sums->of[0][i] += m == NULL ? first : first * m[0];
    sums->of[1][i] += m == NULL ? (uint32_t)second : (uint32_t)second * m[1];
}

typedef struct four {
    uint32_t a, b, c, d;
} four;

/* Up to eight words for four pixels. On its own, so that sums and pointers stay in registers. */
static __attribute__((noinline)) four run_of_four(const int8_t *x, uint32_t pitch, const uint32_t *w,
                                                  const uint32_t *end) {
    four s = {START, START, START, START};
    const int8_t *x1 = x + pitch, *x2 = x1 + pitch, *x3 = x2 + pitch;
    uint32_t mask = 0x000f000f;
    __asm__("" : "+r"(mask));
    do {
        const uint32_t word = *w++;
        for (uint32_t i = 0; i < TAPS_A_WORD; i++) {
            const uint32_t pair = pair_at(word, i, mask);
            s.a += (uint32_t)*x++ * pair;
            s.b += (uint32_t)*x1++ * pair;
            s.c += (uint32_t)*x2++ * pair;
            s.d += (uint32_t)*x3++ * pair;
            /* gcc would regroup the sums, and load more than there are registers */
            __asm__ volatile("" : "+r"(s.a), "+r"(s.b), "+r"(s.c), "+r"(s.d) : : "memory");
        }
    } while (w != end);
    return s;
}

static __attribute__((noinline)) uint32_t run_of_one(const int8_t *x, const uint32_t *w, const uint32_t *end) {
    uint32_t s = START, mask = 0x000f000f;
    __asm__("" : "+r"(mask));
    do {
        const uint32_t word = *w++;
        for (uint32_t i = 0; i < TAPS_A_WORD; i++) {
            s += (uint32_t)*x++ * pair_at(word, i, mask);
            __asm__ volatile("" : "+r"(s) : : "memory");
        }
    } while (w != end);
    return s;
}

void ofr_generic_multiply_nibbles(ofr_generic_sums *sums, const int8_t *x, uint32_t pitch, uint32_t n,
                                  const uint32_t *w, uint32_t taps, const uint8_t *m) {
    for (uint32_t left = words_of(taps); left != 0; x += RUN_TAPS) {
        const uint32_t *end = w + (left < WORDS_A_RUN ? left : WORDS_A_RUN);
        if (n == 1) {
            split(sums, 0, run_of_one(x, w, end), m);
        } else {
            const four s = run_of_four(x, pitch, w, end);
            split(sums, 0, s.a, m);
            split(sums, 1, s.b, m);
            split(sums, 2, s.c, m);
            split(sums, 3, s.d, m);
        }
        m = m == NULL ? NULL : m + 2;
        left -= (uint32_t)(end - w);
        w = end;
    }
}

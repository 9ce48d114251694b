/* Products with weights of four bits: two channels' weights in one word, so that one multiplication serves both. */
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

/* Both sums of a run, the first's in the lower half. */
static inline uint32_t first_of(uint32_t acc) {
    return (acc & 0xffff) - LOW;
}

static inline uint32_t second_of(uint32_t acc) {
    return (uint32_t)((int32_t)acc >> 16) + HIGH;
}

typedef struct four {
    uint32_t a, b, c, d;
} four;

/* A tap of four pixels; x and y are the first's and the third's, `pitch` before the others'. */
static inline void add_tap(four *s, const int8_t **x, const int8_t **y, uint32_t pitch, uint32_t pair) {
#if defined(__thumb2__) /* a fifth of the loop: gcc keeps more pointers than there are registers */
    int32_t tap;
    __asm__ volatile("ldrsb %0, [%1, %3]\n\tmla %5, %0, %8, %5\n\tldrsb %0, [%2, %3]\n\tmla %7, %0, %8, %7\n\t"
                     "ldrsb %0, [%1], #1\n\tmla %4, %0, %8, %4\n\tldrsb %0, [%2], #1\n\tmla %6, %0, %8, %6"
                     : "=&r"(tap), "+r"(*x), "+r"(*y), "+r"(pitch), "+r"(s->a), "+r"(s->b), "+r"(s->c), "+r"(s->d)
                     : "r"(pair)
                     : "memory");
#else
    s->a += (uint32_t)(*x)[0] * pair;
    s->b += (uint32_t)(*x)[pitch] * pair;
    s->c += (uint32_t)(*y)[0] * pair;
    s->d += (uint32_t)(*y)[pitch] * pair;
    ++*x;
    ++*y;
    /* gcc would regroup the sums, and load more than there are registers */
    __asm__ volatile("" : "+r"(s->a), "+r"(s->b), "+r"(s->c), "+r"(s->d) : : "memory");
#endif
}

/* Up to eight words for four pixels. On its own, so that sums and pointers stay in registers. */
static __attribute__((noinline)) four run_of_four(const int8_t *x, uint32_t pitch, const uint32_t *w,
                                                  const uint32_t *end) {
    four s = {START, START, START, START};
    const int8_t *y = x + 2 * pitch;
    uint32_t mask = 0x000f000f;
    __asm__("" : "+r"(mask));
    do {
        const uint32_t word = *w++;
        for (uint32_t i = 0; i < TAPS_A_WORD; i++) {
            add_tap(&s, &x, &y, pitch, pair_at(word, i, mask));
        }
    } while (w != end);
    return s;
}

static void add_four(ofr_generic_sums *sums, const int8_t *x, uint32_t pitch, const uint32_t *w, uint32_t left,
                     const uint8_t *m) {
    uint32_t m0 = 1, m1 = 1;
    while (left != 0) {
        const uint32_t words = left < WORDS_A_RUN ? left : WORDS_A_RUN;
        const four s = run_of_four(x, pitch, w, w + words);
        const uint32_t acc[TILE] = {s.a, s.b, s.c, s.d};
        if (m != NULL) {
            m0 = *m++;
            m1 = *m++;
        }
        for (uint32_t i = 0; i < TILE; i++) {
            sums->of[0][i] += first_of(acc[i]) * m0;
            sums->of[1][i] += second_of(acc[i]) * m1;
        }
        left -= words;
        w += words;
        x += RUN_TAPS;
    }
}

static void add_one(ofr_generic_sums *sums, const int8_t *x, const uint32_t *w, uint32_t left, const uint8_t *m) {
    uint32_t m0 = 1, m1 = 1, sum0 = sums->of[0][0], sum1 = sums->of[1][0], mask = 0x000f000f;
    __asm__("" : "+r"(mask));
    for (const uint32_t *last = w + left; w != last;) {
        const uint32_t *end = last - w < WORDS_A_RUN ? last : w + WORDS_A_RUN;
        uint32_t s = START;
        do {
            const uint32_t word = *w++;
            for (uint32_t i = 0; i < TAPS_A_WORD; i++) {
                s += (uint32_t)*x++ * pair_at(word, i, mask);
                __asm__ volatile("" : "+r"(s) : : "memory");
            }
        } while (w != end);
        if (m != NULL) {
            m0 = *m++;
            m1 = *m++;
        }
        sum0 += first_of(s) * m0;
        sum1 += second_of(s) * m1;
    }
    sums->of[0][0] = sum0;
    sums->of[1][0] = sum1;
}

void ofr_generic_multiply_nibbles(ofr_generic_sums *sums, const int8_t *x, uint32_t pitch, uint32_t n,
                                  const uint32_t *w, uint32_t taps, const uint8_t *m) {
    if (n == 1) {
        add_one(sums, x, w, words_of(taps), m);
    } else {
        add_four(sums, x, pitch, w, words_of(taps), m);
    }
}

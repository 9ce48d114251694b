/* Products of int16 activations with int8 weights: what convolutions on int16 spend their time with. */
#include "product_s16.h"

#if defined(__ARM_FEATURE_DSP)
/* Four taps: a word of weights holds two half words of two. */
static inline __attribute__((always_inline)) void round_of_taps(ofr_sums_s16 *s, const int16_t *a, const int16_t *b,
                                                                const int8_t *w0, const int8_t *w1, int two) {
    const uint32_t v0 = ofr_word(w0), v1 = ofr_word(w1);
    const int32_t low0 = __sxtb16((int32_t)v0), high0 = ofr_odd_bytes(v0);
    const int32_t low1 = __sxtb16((int32_t)v1), high1 = ofr_odd_bytes(v1);
    int32_t x = (int32_t)ofr_word(a);
    s->a0 = __smlad(x, low0, s->a0);
    s->a1 = __smlad(x, low1, s->a1);
    x = (int32_t)ofr_word(a + 2);
    s->a0 = __smlad(x, high0, s->a0);
    s->a1 = __smlad(x, high1, s->a1);
    if (two) {
        x = (int32_t)ofr_word(b);
        s->b0 = __smlad(x, low0, s->b0);
        s->b1 = __smlad(x, low1, s->b1);
        x = (int32_t)ofr_word(b + 2);
        s->b0 = __smlad(x, high0, s->b0);
        s->b1 = __smlad(x, high1, s->b1);
    }
}
#else
static inline void one_tap(ofr_sums_s16 *s, int32_t a, int32_t b, int32_t w0, int32_t w1, int two) {
    s->a0 += a * w0;
    s->a1 += a * w1;
    if (two) {
        s->b0 += b * w0;
        s->b1 += b * w1;
    }
}

static inline __attribute__((always_inline)) void round_of_taps(ofr_sums_s16 *s, const int16_t *a, const int16_t *b,
                                                                const int8_t *w0, const int8_t *w1, int two) {
    one_tap(s, a[0], b[0], w0[0], w1[0], two);
    one_tap(s, a[1], b[1], w0[2], w1[2], two);
    one_tap(s, a[2], b[2], w0[1], w1[1], two);
    one_tap(s, a[3], b[3], w0[3], w1[3], two);
}
#endif

static inline __attribute__((always_inline)) ofr_sums_s16 multiply(const int16_t *a, const int16_t *b,
                                                                           const int8_t *w0, const int8_t *w1,
                                                                           uint32_t n, int two) {
    ofr_sums_s16 s = {0, 0, 0, 0};
    for (const int8_t *end = w0 + n; w0 != end; a += 4, b += 4, w0 += 4, w1 += 4) {
        round_of_taps(&s, a, b, w0, w1, two);
    }
    return s;
}

ofr_sums_s16 ofr_generic_multiply_two_s16(const int16_t *a, const int16_t *b, const int8_t *w0, const int8_t *w1, uint32_t n) {
    return multiply(a, b, w0, w1, n, 1);
}

ofr_sums_s16 ofr_generic_multiply_one_s16(const int16_t *a, const int8_t *w0, const int8_t *w1, uint32_t n) {
    return multiply(a, a, w0, w1, n, 0);
}

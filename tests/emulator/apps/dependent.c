/* Sections that the data in the arena decide something about, and sections that they do not; see test_certify.py. */
#include <string.h>

#include "port.h"

#define CASE __attribute__((noinline)) static uint32_t

extern volatile uint8_t image_arena[];
void ofr_begin(void);

static volatile uint32_t sink;
static volatile uint32_t counts[8];
static const uint8_t doubled[4] = {0, 2, 4, 6};

__attribute__((noinline)) void ofr_begin(void) {
    __asm volatile("" ::: "memory");
}

__attribute__((noinline)) static uint32_t turns(uint32_t n) {
    uint32_t done = 0;
    for (; n != 0; n--)
        __asm volatile("" : "+r"(done));
    return done + 1;
}

CASE constant(void) {
    return turns(5);
}

CASE loaded(void) {
    return turns(image_arena[0] & 3u);
}

CASE computed(void) {
    return turns((image_arena[0] * 7u / 3u) & 3u);
}

CASE stored(void) {
    counts[2] = image_arena[0] & 3u;
    return turns(counts[2]);
}

CASE overwritten(void) {
    counts[3] = image_arena[0];
    counts[3] = 5;
    return turns(counts[3]);
}

CASE copied(void) {
    uint32_t words[8] = {0};
    memcpy(words, (const void *)image_arena, sizeof words);
    return turns(words[7] & 3u);
}

CASE looked_up(void) {
    return turns(doubled[image_arena[0] & 3u]);
}

CASE compared(void) {
    return turns((image_arena[0] < image_arena[1]) + 2u);
}

CASE chosen(void) {
    uint32_t n = 2;
    if (image_arena[0] > 5) {
        n = 7;
        __asm volatile("" : "+r"(n));
    }
    return turns(n);
}

CASE scattered(void) {
    ((volatile uint8_t *)counts)[image_arena[0] & 3u] = 1;
    return 0;
}

CASE clamped(void) {
    uint32_t x = image_arena[0];
    __asm volatile("" : "+r"(x));
    if (x > 77) {
        x = 77;
        __asm volatile("" : "+r"(x));
    }
    return x;
}

#if defined(__ARM_FEATURE_MVE)
#include <arm_mve.h>

CASE lanes(void) {
    const int32x4_t x = vaddq_n_s32(vld1q_s32((const int32_t *)(uintptr_t)image_arena), 1);
    return turns((uint32_t)vaddvq_s32(vmulq_n_s32(x, 3)) & 3u);
}

CASE predicated(void) {
    int32x4_t x = vld1q_s32((const int32_t *)(uintptr_t)image_arena);
    const mve_pred16_t positive = vcmpgtq_n_s32(x, 0);
    x = vdupq_m_n_s32(vdupq_n_s32(1), 2, positive);
    return turns((uint32_t)vgetq_lane_s32(x, 1));
}
#endif

int app_main(void) {
    static uint32_t (*const cases[])(void) = {
        constant, loaded, computed, stored, overwritten, copied, looked_up, compared, chosen, scattered, clamped,
#if defined(__ARM_FEATURE_MVE)
        lanes, predicated,
#endif
    };
    for (uint32_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ofr_begin();
        (void)port_ticks();
        sink = cases[i]();
        (void)port_ticks();
    }
    return 7;
}

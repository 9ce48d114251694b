/* Four pixels by two channels of a matrix product on Helium, by hand: the accumulators fill all even registers. */
#pragma GCC optimize("Os")

#include "tile.h"

#include "requantize.h"

_Static_assert(offsetof(ofr_mve_tile, skip) == 20 && offsetof(ofr_mve_tile, end) == 28, "the code below");
_Static_assert(offsetof(ofr_mve_tile, stream) == 44 && offsetof(ofr_mve_tile, places) == 48, "the code below");

/* 16 taps: weights in q0 and q1; r0, r2, r4, r6 are the first channel's sums, r8, r10, r12, r14 the second's. */
#define STEP(op)                 \
    "vldrb.8 q0, [r9], #16\n"    \
    "vldrb.8 q1, [r9], #16\n"    \
    "vldrb.8 q2, [r1], #16\n"    \
    op " r0, q0, q2\n"           \
    op " r8, q1, q2\n"           \
    "vldrb.8 q3, [r3], #16\n"    \
    op " r2, q0, q3\n"           \
    op " r10, q1, q3\n"          \
    "vldrb.8 q2, [r5], #16\n"    \
    op " r4, q0, q2\n"           \
    op " r12, q1, q2\n"          \
    "vldrb.8 q3, [r7], #16\n"    \
    op " r6, q0, q3\n"           \
    op " r14, q1, q3\n"

/* The struct's first 64 bytes lie on the stack, the address of the first step in place of its number. q4 and q5 hold
 * add[], q6 twos, q7 the places. */
#define PAIRS(scale, narrow)           \
    "push {r3-r11, lr}\n"              \
    "vpush {d8-d15}\n"                 \
    "sub sp, #64\n"                    \
    "vldrw.32 q0, [r0]\n"              \
    "vldrw.32 q1, [r0, #16]\n"         \
    "vldrw.32 q2, [r0, #32]\n"         \
    "vldrw.32 q7, [r0, #48]\n"         \
    "ldrd r1, r2, [r0, #64]\n"         \
    "vdup.16 q4, r1\n"                 \
    "vdup.16 q5, r2\n"                 \
    "movs r1, #2\n"                    \
    "vdup.16 q6, r1\n"                 \
    "ldr r8, [r0, #20]\n"              \
    "movs r2, #56\n"                   \
    "adr.w r12, 2f\n"                  \
    "mla r8, r8, r2, r12\n"            \
    "orr r8, r8, #1\n"                 \
    "vstrw.32 q0, [sp]\n"              \
    "vstrw.32 q1, [sp, #16]\n"         \
    "vstrw.32 q2, [sp, #32]\n"         \
    "vstrw.32 q7, [sp, #48]\n"         \
    "str r8, [sp, #20]\n"              \
    "0:\n" /* a tile */                \
    "ldr r9, [sp, #44]\n"              \
    "ldm.w sp, {r1, r3, r5, r7, r11}\n" \
    "1:\n" /* a pair of channels */    \
    STEP("vmladav.s8")                 \
    "ldr.w pc, [sp, #20]\n"            \
    ".balign 4\n"                      \
    "2:\n"                             \
    ".rept 4\n"                        \
    STEP("vmladava.s8")                \
    ".endr\n"                          \
    "subs r11, #1\n"                   \
    "bne 2b\n"                         \
    OFR_MVE_COLLECT("q0", "q1")        \
    scale("q0", "q1", "q2")            \
    "ldrd r0, r2, [sp, #24]\n"         \
    narrow("q0", "q1", "q4", "q5")     \
    "vstrb.16 q0, [r0, q7]\n"          \
    "vadd.i16 q7, q7, q6\n"            \
    "ldm.w sp, {r1, r3, r5, r7, r11}\n" \
    "cmp r9, r2\n"                     \
    "bne 1b\n"                         \
    "ldrd r2, r4, [sp, #32]\n"         \
    "add r1, r4\n"                     \
    "add r3, r4\n"                     \
    "add r5, r4\n"                     \
    "add r7, r4\n"                     \
    "stm.w sp, {r1, r3, r5, r7}\n"     \
    "ldr r4, [sp, #40]\n"              \
    "add r0, r4\n"                     \
    "str r0, [sp, #24]\n"              \
    "vldrw.32 q7, [sp, #48]\n"         \
    "subs r2, #1\n"                    \
    "str r2, [sp, #32]\n"              \
    "bne 0b\n"                         \
    "add sp, #64\n"                    \
    "vpop {d8-d15}\n"                  \
    "pop {r3-r11, pc}\n"

__attribute__((naked)) void ofr_mve_pairs_relu(const ofr_mve_tile *tile __attribute__((unused))) {
    __asm__ volatile(PAIRS(OFR_MVE_SCALE_RELU, OFR_MVE_NARROW_RELU));
}

__attribute__((naked)) void ofr_mve_pairs_signed(const ofr_mve_tile *tile __attribute__((unused))) {
    __asm__ volatile(PAIRS(OFR_MVE_SCALE_SIGNED, OFR_MVE_NARROW_SIGNED));
}

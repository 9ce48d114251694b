/* The code of four pixels by two channels (tile.h), for weights of any width: what makes 16 of each channel in q0 and q1.
 *
 * `weights` loads the next ones of the stream at r9, and a step of the product has so many bytes of code; `collect`
 * makes vectors q0 and q1 of the sums, bias and multiplier included, as OFR_MVE_COLLECT. */
#ifndef OFR_MVE_TILE_CODE_H
#define OFR_MVE_TILE_CODE_H

#include "requantize.h"
#include "tile.h"

_Static_assert(offsetof(ofr_mve_tile, loops) == 28 && offsetof(ofr_mve_tile, skip) == 40, "the code below");
_Static_assert(offsetof(ofr_mve_tile, x_step) == 48 && offsetof(ofr_mve_tile, places) == 60, "the code below");

/* 16 taps: weights in q0 and q1; r0, r2, r4, r6 are the first channel's sums, r8, r10, r12, r14 the second's. */
#define OFR_MVE_PIXEL(op, x, first, second) op " " first ", q0, " x "\n" op " " second ", q1, " x "\n"

#define OFR_MVE_STEP(weights)                            \
    weights                                              \
    "vldrb.8 q2, [r1], #16\n"                            \
    OFR_MVE_PIXEL("vmladava.s8", "q2", "r0", "r8")       \
    "vldrb.8 q2, [r3], #16\n"                            \
    OFR_MVE_PIXEL("vmladava.s8", "q2", "r2", "r10")      \
    "vldrb.8 q2, [r5], #16\n"                            \
    OFR_MVE_PIXEL("vmladava.s8", "q2", "r4", "r12")      \
    "vldrb.8 q2, [r7], #16\n"                            \
    OFR_MVE_PIXEL("vmladava.s8", "q2", "r6", "r14")

/* From sums to outputs, and on to the next pair. OFR_MVE_LOAD: out, x[], end, two, loops, add[]. */
#define OFR_MVE_LOAD "ldm.w sp, {r0, r1, r3, r5, r7, r8, r10, r11, r12, lr}\n"
#define OFR_MVE_TAIL(collect, scale, narrow) \
    collect("q0", "q1")                \
    scale("q0", "q1", "q2")            \
    OFR_MVE_LOAD                       \
    narrow("q0", "q1", "r12", "lr")    \
    "vstrb.16 q0, [r0, q7]\n"          \
    "vadd.i16 q7, q7, r10\n"           \
    "cmp r9, r8\n"                     \
    "bne 1b\n"

/* Brings the struct to the stack, with room for three addresses behind it; q7: places. */
#define OFR_MVE_ENTER                                                  \
    "push {r3-r11, lr}\n"                                              \
    "vpush {d8-d15}\n"                                                 \
    "sub sp, #88\n"                                                    \
    "vldrw.32 q0, [r0]\n"                                              \
    "vldrw.32 q1, [r0, #16]\n"                                         \
    "vldrw.32 q2, [r0, #32]\n"                                         \
    "vldrw.32 q3, [r0, #48]\n"                                         \
    "vldrw.32 q7, [r0, #60]\n"                                         \
    "vstrw.32 q0, [sp]\n"                                              \
    "vstrw.32 q1, [sp, #16]\n"                                         \
    "vstrw.32 q2, [sp, #32]\n"                                         \
    "vstrw.32 q3, [sp, #48]\n"                                         \
    "vstrw.32 q7, [sp, #60]\n"

/* On to the next tile, where x[] have advanced by so many bytes, or back to the caller. */
#define OFR_MVE_LEAVE(ahead)                                           \
    "ldrd r6, r4, [sp, #44]\n"                                         \
    "subs r4, #" ahead "\n"                                            \
    "add r1, r4\n"                                                     \
    "add r3, r4\n"                                                     \
    "add r5, r4\n"                                                     \
    "add r7, r4\n"                                                     \
    "ldr r4, [sp, #52]\n"                                              \
    "add r0, r4\n"                                                     \
    "vldrw.32 q7, [sp, #60]\n"                                         \
    "subs r6, #1\n"                                                    \
    "str r6, [sp, #44]\n"                                              \
    "bne.w 0b\n"                                                       \
    "add sp, #88\n"                                                    \
    "vpop {d8-d15}\n"                                                  \
    "pop {r3-r11, pc}\n"

/* The body of ofr_mve_pairs. The struct lies on the stack, x[] behind the first 16 taps, which q3 to q6 hold for all
 * channels; q7: places. At 40 the address of what follows the first step, behind the struct that of what follows the
 * unrolled ones: the form's tail, or the end of their loop; then the form's tail. */
#define OFR_MVE_PAIRS_CODE(weights, step_bytes, collect) \
    OFR_MVE_ENTER                                                      \
    "adr.w r4, 4f\n"                                                   \
    "cmp r1, #0\n"                                                     \
    "it ne\n"                                                          \
    "addne.w r4, r4, #5f - 4f\n"                                       \
    "adr.w r5, 3f\n"                                                   \
    "adr.w r6, 2f\n"                                                   \
    "adds r4, #1\n" /* Thumb */                                        \
    "adds r5, #1\n"                                                    \
    "adds r6, #1\n"                                                    \
    "ldr r2, [r0, #28]\n"                                              \
    "cmp r2, #1\n"                                                     \
    "it eq\n"                                                          \
    "moveq r5, r4\n"                                                   \
    "ldr r2, [r0, #40]\n"                                              \
    "movs r3, #" step_bytes "\n"                                       \
    "mla r6, r2, r3, r6\n"                                             \
    "cmp r2, #4\n"                                                     \
    "it hi\n"                                                          \
    "movhi r6, r4\n"                                                   \
    "str r6, [sp, #40]\n"                                              \
    "strd r5, r4, [sp, #76]\n"                                         \
    OFR_MVE_LOAD                                                       \
    "0:\n" /* a tile */                                                \
    "vldrb.8 q3, [r1], #16\n"                                          \
    "vldrb.8 q4, [r3], #16\n"                                          \
    "vldrb.8 q5, [r5], #16\n"                                          \
    "vldrb.8 q6, [r7], #16\n"                                          \
    "stm.w sp, {r0, r1, r3, r5, r7}\n"                                 \
    "ldr r9, [sp, #56]\n"                                              \
    "1:\n" /* a pair of channels */                                    \
    weights                                                            \
    OFR_MVE_PIXEL("vmladav.s8", "q3", "r0", "r8")                      \
    OFR_MVE_PIXEL("vmladav.s8", "q4", "r2", "r10")                     \
    OFR_MVE_PIXEL("vmladav.s8", "q5", "r4", "r12")                     \
    OFR_MVE_PIXEL("vmladav.s8", "q6", "r6", "r14")                     \
    "ldr.w pc, [sp, #40]\n"                                            \
    ".balign 4\n"                                                      \
    "2:\n"                                                             \
    ".rept 4\n"                                                        \
    OFR_MVE_STEP(weights)                                              \
    ".endr\n"                                                          \
    "ldr.w pc, [sp, #76]\n"                                            \
    "3:\n"                                                             \
    "subs r11, #1\n"                                                   \
    "bne 2b\n"                                                         \
    "ldr.w pc, [sp, #80]\n"                                            \
    "4:\n"                                                             \
    OFR_MVE_TAIL(collect, OFR_MVE_SCALE_RELU, OFR_MVE_NARROW_RELU)     \
    "b 6f\n"                                                           \
    "5:\n"                                                             \
    OFR_MVE_TAIL(collect, OFR_MVE_SCALE_SIGNED, OFR_MVE_NARROW_SIGNED) \
    "6:\n"                                                             \
    OFR_MVE_LEAVE("16")

#endif

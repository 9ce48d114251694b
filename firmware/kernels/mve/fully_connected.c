/* Fully connected over few rows, int8, on Helium: eight channels of one row at a time.
 *
 * The stream holds for each eight channels: for each 16 inputs 16 weights of each, then int32 bias, multiplier and
 * -exponent of all. Channels stand in the order 0, 2, 4, 6, 1, 3, 5, 7, in which narrowing interleaves them. */
#pragma GCC optimize("Os")

#include "requantize.h"
#include "sizes.h"
#include "tile.h"

typedef struct ofr_mve_rows {
    const int8_t *x; /* a multiple of 16 inputs readable */
    uint32_t loops, skip; /* as of ofr_mve_tile */
    uint32_t left; /* channels */
    const int8_t *stream;
    int8_t *out;
    uint32_t add[2];
} row;

_Static_assert(offsetof(row, left) == 12 && offsetof(row, out) == 20 && sizeof(row) == 32, "the code below");

enum { UNROLLED = 4, TAIL = 96 };

/* 16 inputs: weights of channel i times q0 into register 2 i. */
#define STEP(op)                                          \
    "vldrb.8 q0, [r1], #16\n"                             \
    "vldrb.8 q1, [r9], #16\n" op " r0, q0, q1\n"          \
    "vldrb.8 q2, [r9], #16\n" op " r2, q0, q2\n"          \
    "vldrb.8 q1, [r9], #16\n" op " r4, q0, q1\n"          \
    "vldrb.8 q2, [r9], #16\n" op " r6, q0, q2\n"          \
    "vldrb.8 q1, [r9], #16\n" op " r8, q0, q1\n"          \
    "vldrb.8 q2, [r9], #16\n" op " r10, q0, q2\n"         \
    "vldrb.8 q1, [r9], #16\n" op " r12, q0, q1\n"         \
    "vldrb.8 q2, [r9], #16\n" op " r14, q0, q2\n"

#define ROUND_RELU
#define ROUND_SIGNED                \
    "vshr.s32 q2, q0, #31\n"        \
    "vqadd.s32 q0, q0, q2\n"        \
    "vshr.s32 q3, q1, #31\n"        \
    "vqadd.s32 q1, q1, q3\n"

/* On the stack: x, loops. r3, r5, r7: channels left, address of the first step, out. */
#define CHANNELS(round, narrow)         \
    "push {r3-r11, lr}\n"               \
    "vpush {d8-d11}\n"                  \
    "ldm r0, {r1, r2, r4, r6, r8, r9, r10, r11}\n" \
    "mov r9, r8\n"                      \
    "ldr r7, [r0, #20]\n"               \
    "vdup.16 q4, r10\n"                 \
    "vdup.16 q5, r11\n"                 \
    "mov r3, r6\n"                      \
    "sub sp, #8\n"                      \
    "strd r1, r2, [sp]\n"               \
    "adr.w r5, 2f\n"                    \
    "movs r2, #68\n"                    \
    "mla r5, r4, r2, r5\n"              \
    "orr r5, r5, #1\n"                  \
    "1:\n"                              \
    "ldrd r1, r11, [sp]\n"              \
    STEP("vmladav.s8")                  \
    "bx r5\n"                           \
    ".balign 4\n"                       \
    "2:\n"                              \
    ".rept 4\n"                         \
    STEP("vmladava.s8")                 \
    ".endr\n"                           \
    "subs r11, #1\n"                    \
    "bne 2b\n"                          \
    "vmov q0[2], q0[0], r0, r4\n"       \
    "vmov q0[3], q0[1], r2, r6\n"       \
    "vmov q1[2], q1[0], r8, r12\n"      \
    "vmov q1[3], q1[1], r10, r14\n"     \
    "vldrw.32 q2, [r9], #16\n"          \
    "vadd.i32 q0, q0, q2\n"             \
    "vldrw.32 q3, [r9], #16\n"          \
    "vadd.i32 q1, q1, q3\n"             \
    "vldrw.32 q2, [r9], #16\n"          \
    "vqrdmulh.s32 q0, q0, q2\n"         \
    "vldrw.32 q3, [r9], #16\n"          \
    "vqrdmulh.s32 q1, q1, q3\n"         \
    round                               \
    "vldrw.32 q2, [r9], #16\n"          \
    "vrshl.s32 q0, q0, q2\n"            \
    "vldrw.32 q3, [r9], #16\n"          \
    "vrshl.s32 q1, q1, q3\n"            \
    narrow("q0", "q1", "q4", "q5")      \
    "vctp.16 r3\n"                      \
    "vpst\n"                            \
    "vstrbt.16 q0, [r7], #8\n"          \
    "subs r3, #8\n"                     \
    "bgt 1b\n"                          \
    "add sp, #8\n"                      \
    "vpop {d8-d11}\n"                   \
    "pop {r3-r11, pc}\n"

static __attribute__((naked, noinline)) void channels_relu(const row *r __attribute__((unused))) {
    __asm__ volatile(CHANNELS(ROUND_RELU, OFR_MVE_NARROW_RELU));
}

static __attribute__((naked, noinline)) void channels_signed(const row *r __attribute__((unused))) {
    __asm__ volatile(CHANNELS(ROUND_SIGNED, OFR_MVE_NARROW_SIGNED));
}

static ofr_status check(const ofr_call *call) {
    const ofr_mve_pointwise_params *p = call->params;
    if (p->pixels == 0 || p->in_c == 0 || p->out_c == 0) {
        return ofr_refuse(call, OFR_E_VALUE, 0, 1);
    }
    const uint32_t steps = ofr_plus(p->in_c, 15) / 16u;
    const uint32_t stream = ofr_times((p->out_c + 7u) / 8u, ofr_plus(ofr_times(steps, 128), TAIL));
    return ofr_mve_check_sizes(call, ofr_times(p->pixels, p->in_c), ofr_times(p->pixels, p->out_c),
                               ofr_plus(sizeof *p, stream), p->in_c % 16u != 0 ? 16u * steps : 0);
}

static __attribute__((noinline)) void run(const ofr_call *call, void channels(const row *)) {
    const ofr_mve_pointwise_params *p = call->params;
    const uint32_t steps = (p->in_c + 15u) / 16u - 1u; /* the first is not part of the loop */
    const int8_t *in = (const int8_t *)call->in[0].data;
    int8_t *out = (int8_t *)call->out[0].data;
    for (uint32_t i = 0; i < p->pixels; i++, in += p->in_c, out += p->out_c) {
        row r = {in, steps / UNROLLED + 1u, UNROLLED - steps % UNROLLED, p->out_c, (const int8_t *)(p + 1), out,
                 {p->add[0], p->add[1]}};
        if (p->in_c % 16u != 0) { /* what is read past a row must be the input's */
            r.x = memcpy(call->scratch, in, p->in_c);
        }
        channels(&r);
    }
}

static void run_relu(const ofr_call *call) {
    run(call, channels_relu);
}

static void run_signed(const ofr_call *call) {
    run(call, channels_signed);
}

const ofr_kernel ofr_kernel_mve_fully_connected = {
    OFR_KERNEL_MVE_FULLY_CONNECTED, OFR_PACKING_MVE_FULLY_CONNECTED, sizeof(ofr_mve_pointwise_params), 1, 1, 0, check, run_relu,
};

const ofr_kernel ofr_kernel_mve_fully_connected_signed = {
    OFR_KERNEL_MVE_FULLY_CONNECTED_SIGNED, OFR_PACKING_MVE_FULLY_CONNECTED_SIGNED, sizeof(ofr_mve_pointwise_params), 1, 1, 0, check, run_signed,
};

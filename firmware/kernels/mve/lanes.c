/* 16 pixels by one channel with sparse weights. */
#pragma GCC optimize("Os")

#include "lanes.h"

_Static_assert(offsetof(ofr_mve_lanes, places) == 24, "the code below");

enum { HEAD = 16 }; /* bytes of a channel before its entries */

ofr_status ofr_mve_check_lanes(const ofr_call *call, const void *begin, uint32_t bytes, uint32_t taps, uint32_t out_c) {
    const ofr_mve_sparse *s = begin;
    const uint8_t *stream = (const uint8_t *)(s + 1);
    if (bytes < sizeof *s || bytes - sizeof *s != s->bytes) {
        return ofr_refuse(call, OFR_E_PARAMS, bytes, s->bytes);
    }
    uint32_t at = 0;
    for (uint32_t c = 0; c < out_c; c++) {
        if (s->bytes - at < HEAD) {
            return ofr_refuse(call, OFR_E_PARAMS, s->bytes, at);
        }
        const uint32_t n = *(const uint32_t *)(const void *)(stream + at), room = s->bytes - at - HEAD;
        if (n > room / 2u || ((2u * n + 3u) & ~3u) > room) {
            return ofr_refuse(call, OFR_E_PARAMS, n, room / 2u);
        }
        uint32_t last = 0;
        for (uint32_t i = 0; i < n; i++) {
            last += stream[at + HEAD + 2u * i];
        }
        if (last >= taps) {
            return ofr_refuse(call, OFR_E_VALUE, last, taps);
        }
        at += HEAD + ((2u * n + 3u) & ~3u);
    }
    return ofr_expect(call, OFR_E_PARAMS, s->bytes, at);
}

ofr_mve_lanes ofr_mve_open_lanes(const void *begin, void *lanes, uint32_t taps, uint32_t out_c, const uint16_t *add) {
    const ofr_mve_sparse *s = begin;
    return (ofr_mve_lanes){.stream = (const int8_t *)(s + 1), .lanes = lanes, .out_c = out_c, .add = {add[0], add[1]}, .taps = taps};
}

void ofr_mve_to_lane(const ofr_mve_lanes *l, uint32_t i, const void *x) {
    int8_t *lane = l->lanes + i;
    __asm__ volatile("movs r2, #0\n"
                     "vidup.u8 q1, r2, #8\n"
                     "vshl.i8 q1, q1, #1\n" /* 0, 16, ... 240 */
                     "wlstp.8 lr, %[taps], 2f\n"
                     "1: vldrb.8 q0, [%[x]], #16\n"
                     "vstrb.8 q0, [%[lane], q1]\n"
                     "add %[lane], #256\n"
                     "letp lr, 1b\n"
                     "2:\n"
                     : [x] "+l"(x), [lane] "+r"(lane)
                     : [taps] "r"(l->taps)
                     : "r2", "q0", "q1", "lr", "memory");
}

/* Four pixels in sum; x in t. */
#define FOUR(sum, t, at)                    \
    "vldrb.s32 " t ", [r1" at "]\n"         \
    "vmla.s32 " sum ", " t ", r11\n"

#define ALL(op) op("q0") op("q1") op("q2") op("q3")
#define BIAS(q) "vdup.32 " q ", r1\n"
#define MULTIPLY(q) "vqrdmulh.s32 " q ", " q ", r3\n"
#define SHIFT(q) "vrshl.s32 " q ", r4\n"
#define ROUND(q) "vshr.s32 q4, " q ", #31\n" "vqadd.s32 " q ", " q ", q4\n"

/* See requantize.h. r2: stream; r5, r6, r7: lanes, out, channels left; r8, r9: add[]; r10: is_signed; q6, q7: places. */
static __attribute__((naked, noinline)) void channels(const ofr_mve_lanes *l __attribute__((unused)),
                                                      uint32_t is_signed __attribute__((unused))) {
    __asm__ volatile("push {r3-r11, lr}\n"
                     "vpush {d8-d15}\n"
                     "vldrw.32 q6, [r0, #24]\n"
                     "vldrw.32 q7, [r0, #40]\n"
                     "mov r10, r1\n"
                     "ldm r0, {r2, r5, r6, r7, r8, r9}\n"
                     "1:\n" /* a channel */
                     "ldm r2!, {r0, r1, r3, r4}\n"
                     ALL(BIAS)
                     "mov r1, r5\n"
                     "wls lr, r0, 3f\n"
                     "2:\n"
                     "ldrb r0, [r2], #1\n"
                     "ldrsb r11, [r2], #1\n"
                     "add r1, r1, r0, lsl #4\n"
                     FOUR("q0", "q4", "")
                     FOUR("q1", "q5", ", #4")
                     FOUR("q2", "q4", ", #8")
                     FOUR("q3", "q5", ", #12")
                     "le lr, 2b\n"
                     "3:\n"
                     ALL(MULTIPLY)
                     "cmp r10, #0\n"
                     "bne 4f\n"
                     ALL(SHIFT)
                     "vqmovunb.s32 q0, q0\n"
                     "vqmovunt.s32 q0, q1\n"
                     "vqmovunb.s32 q2, q2\n"
                     "vqmovunt.s32 q2, q3\n"
                     "vqadd.u16 q0, q0, r8\n"
                     "vqadd.u16 q2, q2, r8\n"
                     "vadd.i16 q0, q0, r9\n"
                     "vadd.i16 q2, q2, r9\n"
                     "b 5f\n"
                     "4:\n"
                     ALL(ROUND)
                     ALL(SHIFT)
                     "vqmovnb.s32 q0, q0\n"
                     "vqmovnt.s32 q0, q1\n"
                     "vqmovnb.s32 q2, q2\n"
                     "vqmovnt.s32 q2, q3\n"
                     "vqadd.s16 q0, q0, r8\n"
                     "vqadd.s16 q2, q2, r8\n"
                     "vqmovnb.s16 q0, q0\n"
                     "vqmovnb.s16 q2, q2\n"
                     "5:\n"
                     "vstrb.16 q0, [r6, q6]\n"
                     "vstrb.16 q2, [r6, q7]\n"
                     "adds r6, #1\n"
                     "adds r2, #3\n"
                     "bic r2, r2, #3\n"
                     "subs r7, #1\n"
                     "bne.w 1b\n"
                     "vpop {d8-d15}\n"
                     "pop {r3-r11, pc}\n");
}

/* Narrowing leaves eight pixels in the order 0, 4, 1, 5, .... */
void ofr_mve_run_lanes(ofr_mve_lanes *l, int8_t *out, uint32_t n, uint32_t is_signed) {
    for (uint32_t i = 0; i < 16; i++) {
        const uint32_t pixel = (i & 8u) + (i & 1u) * 4u + (i & 7u) / 2u;
        l->places[i] = (uint16_t)((pixel < n ? pixel : n - 1u) * l->out_c);
    }
    l->out = out;
    channels(l, is_signed);
}

/* Four pixels by two channels with sparse weights: one channel after the other, its sums in r0, r2, r4, r8. */
#pragma GCC optimize("Os")

#include "tile_sparse.h"

#include "tile_code.h"

/* As many groups as register n says. */
#define GROUPS(n, open, pixel)               \
    "movs r0, #0\n"                          \
    "movs r2, #0\n"                          \
    "movs r4, #0\n"                          \
    "mov r8, #0\n"                           \
    "wls lr, " n ", 8f\n"                    \
    "7:\n"                                   \
    open                                     \
    pixel("r1", "r0", "q2", "r9")            \
    pixel("r3", "r2", "q3", "r12")           \
    pixel("r5", "r4", "q2", "r9")            \
    pixel("r7", "r8", "q3", "r12")           \
    "le lr, 7b\n"                            \
    "8:\n"

#define SUMS(a)                              \
    "vmov " a "[2], " a "[0], r0, r4\n"      \
    "vmov " a "[3], " a "[1], r2, r8\n"

#define COLLECT(a, b) "vmov " a ", q4\n" SUMS(b) OFR_MVE_MULTIPLY(a, b)

/* At 80 on the stack the address of the form's tail. */
#define PAIRS(open, pixel, close)                                      \
    OFR_MVE_ENTER                                                      \
    "adr.w r4, 4f\n"                                                   \
    "cmp r1, #0\n"                                                     \
    "it ne\n"                                                          \
    "addne.w r4, r4, #5f - 4f\n"                                       \
    "adds r4, #1\n" /* Thumb */                                        \
    "str r4, [sp, #80]\n"                                              \
    OFR_MVE_LOAD                                                       \
    "0:\n" /* a tile */                                                \
    "stm.w sp, {r0, r1, r3, r5, r7}\n"                                 \
    "ldr r9, [sp, #56]\n"                                              \
    "1:\n" /* a pair of channels */                                    \
    "ldrh r10, [r9]\n"                                                 \
    "ldrh r11, [r9, #2]\n"                                             \
    "adds r6, r9, #4\n"                                                \
    GROUPS("r10", open, pixel)                                         \
    SUMS("q4")                                                         \
    GROUPS("r11", open, pixel)                                         \
    close                                                              \
    "ldr.w pc, [sp, #80]\n"                                            \
    ".balign 4\n"                                                      \
    "4:\n"                                                             \
    OFR_MVE_TAIL(COLLECT, OFR_MVE_SCALE_RELU, OFR_MVE_NARROW_RELU)     \
    "b 6f\n"                                                           \
    ".balign 4\n"                                                      \
    "5:\n"                                                             \
    OFR_MVE_TAIL(COLLECT, OFR_MVE_SCALE_SIGNED, OFR_MVE_NARROW_SIGNED) \
    "6:\n"                                                             \
    OFR_MVE_LEAVE("0")

static __attribute__((naked, noinline)) void pairs_of_bytes(const ofr_mve_tile *tile __attribute__((unused)),
                                                            uint32_t is_signed __attribute__((unused))) {
    __asm__ volatile(PAIRS(OFR_MVE_BYTES_OPEN, OFR_MVE_BYTES_PIXEL, OFR_MVE_BYTES_CLOSE));
}

static __attribute__((naked, noinline)) void pairs_of_blocks(const ofr_mve_tile *tile __attribute__((unused)),
                                                             uint32_t is_signed __attribute__((unused))) {
    __asm__ volatile(PAIRS(OFR_MVE_BLOCKS_OPEN, OFR_MVE_BLOCKS_PIXEL, OFR_MVE_BLOCKS_CLOSE));
}

static inline void run(ofr_mve_pairs_code *pairs, ofr_mve_tile *t, const ofr_mve_layer *l, int8_t *out, uint32_t n,
                       uint32_t is_signed) {
    const ofr_mve_sparse *s = (const void *)l->stream;
    const int8_t *const stream = (const int8_t *)(s + 1);
    t->tiles = n;
    t->out = out;
    t->stream = stream;
    t->end = stream + s->last;
    if (l->out_c > 1) {
        pairs(t, is_signed);
    }
    if (l->out_c & 1u) {
        t->out = l->out_c > 1 ? out + l->out_c - 2 : out;
        t->stream = t->end;
        t->end = stream + s->bytes;
        pairs(t, is_signed);
    }
}

void ofr_mve_run_sparse(ofr_mve_tile *t, const ofr_mve_layer *l, int8_t *out, uint32_t n, uint32_t is_signed) {
    run(pairs_of_bytes, t, l, out, n, is_signed);
}

void ofr_mve_run_blocks(ofr_mve_tile *t, const ofr_mve_layer *l, int8_t *out, uint32_t n, uint32_t is_signed) {
    run(pairs_of_blocks, t, l, out, n, is_signed);
}

/* Fully connected over few rows with sparse weights on Helium: one channel of one row after the other, eight requantized
 * together. */
#ifndef OFR_MVE_ROWS_SPARSE_H
#define OFR_MVE_ROWS_SPARSE_H

#include "fully_connected.h"
#include "sparse.h"

/* All channels of a row at r0. On the stack eight sums. r1, r3, r7: x, channels left, out. */
#define OFR_MVE_SPARSE_CHANNELS(open, pixel, close, round, narrow)  \
    "push {r3-r11, lr}\n"                                           \
    "vpush {d8-d11}\n"                                              \
    "ldrd r9, r7, [r0, #16]\n"                                      \
    "ldrd r10, r11, [r0, #24]\n"                                    \
    "ldr r3, [r0, #12]\n"                                           \
    "ldr r1, [r0]\n"                                                \
    "vdup.16 q4, r10\n"                                             \
    "vdup.16 q5, r11\n"                                             \
    "sub sp, #32\n"                                                 \
    "1:\n" /* eight channels */                                     \
    "mov r5, r9\n"                                                  \
    "mov r12, sp\n"                                                 \
    "add r6, r9, #16\n"                                             \
    "movs r4, #8\n"                                                 \
    "2:\n" /* a channel */                                          \
    "ldrh r2, [r5], #2\n"                                           \
    "movs r0, #0\n"                                                 \
    "wls lr, r2, 8f\n"                                              \
    "7:\n"                                                          \
    open                                                            \
    pixel("r1", "r0", "q2", "r9")                                   \
    "le lr, 7b\n"                                                   \
    "8:\n"                                                          \
    "str r0, [r12], #4\n"                                           \
    "subs r4, #1\n"                                                 \
    "bne 2b\n"                                                      \
    close                                                           \
    "vldrw.32 q0, [sp]\n"                                           \
    "vldrw.32 q1, [sp, #16]\n"                                      \
    OFR_MVE_EIGHT_OUTPUTS(round, narrow)                            \
    "add sp, #32\n"                                                 \
    "vpop {d8-d11}\n"                                               \
    "pop {r3-r11, pc}\n"

/* A row that lies where blocks cannot be read is copied first. */
static inline ofr_status ofr_mve_check_sparse_rows(const ofr_call *call, ofr_mve_places places) {
    const ofr_mve_pointwise_params *p = call->params;
    if (p->pixels == 0 || p->in_c == 0 || p->out_c == 0 || (places == OFR_MVE_BLOCKS && p->in_c % 4u != 0)) {
        return ofr_refuse(call, OFR_E_VALUE, p->in_c, 4);
    }
    const ofr_status status =
        ofr_mve_check_sizes(call, ofr_times(p->pixels, p->in_c), ofr_times(p->pixels, p->out_c), call->params_bytes,
                            places == OFR_MVE_BLOCKS ? p->in_c : 0);
    return status != OFR_OK ? status
                            : ofr_mve_check_sparse(call, p + 1, call->params_bytes - (uint32_t)sizeof *p, p->in_c, p->out_c,
                                                   OFR_MVE_EIGHTS, places);
}

/* All rows, one by one. */
static inline void ofr_mve_sparse_rows(const ofr_call *call, void channels(const ofr_mve_row *), ofr_mve_places places) {
    const ofr_mve_pointwise_sparse_params *p = call->params;
    const int8_t *in = (const int8_t *)call->in[0].data;
    ofr_mve_row r = {.left = p->out_c, .stream = (const int8_t *)(p + 1), .out = (int8_t *)call->out[0].data,
                     .add = {p->add[0], p->add[1]}};
    for (uint32_t i = 0; i < p->pixels; i++, in += p->in_c, r.out += p->out_c) {
        r.x = places == OFR_MVE_BLOCKS && (uintptr_t)in % 4u != 0 ? memcpy(call->scratch, in, p->in_c) : in;
        channels(&r);
    }
}

#endif

/* Addition and subtraction, int8, of two tensors of one shape on Helium.
 *
 * Of the two inputs brought to a common scale, the one of the larger scale is its value times 2^19 exactly, or less
 * that; the other comes from a table of 256 words, with both zero points in it. Eight elements at a time. */
#pragma GCC optimize("Os")

#include "elementwise.h"

static ofr_status check(const ofr_call *call) {
    const ofr_mve_add_params *p = call->params;
    if (p->exact > 1) {
        return ofr_refuse(call, OFR_E_VALUE, p->exact, 1);
    }
    return ofr_mve_check_elements(call, p->elements, sizeof *p + 1024);
}

/* As requantize.h has them, for sums in q2 and q3. */
#define ROUND_RELU
#define ROUND_SIGNED                 \
    "vshr.s32 q0, q2, #31\n"         \
    "vqadd.s32 q2, q2, q0\n"         \
    "vshr.s32 q1, q3, #31\n"         \
    "vqadd.s32 q3, q3, q1\n"

#define NARROW_RELU                  \
    "vqmovunb.s32 q2, q2\n"          \
    "vqmovunb.s32 q3, q3\n"          \
    "vqadd.u16 q2, q2, %[add0]\n"    \
    "vqadd.u16 q3, q3, %[add0]\n"    \
    "vadd.i16 q2, q2, %[add1]\n"     \
    "vadd.i16 q3, q3, %[add1]\n"

#define NARROW_SIGNED                \
    "vqmovnb.s32 q2, q2\n"           \
    "vqmovnb.s32 q3, q3\n"           \
    "vqadd.s16 q2, q2, %[add0]\n"    \
    "vqadd.s16 q3, q3, %[add0]\n"    \
    "vqmovnb.s16 q2, q2\n"           \
    "vqmovnb.s16 q3, q3\n"

#define EIGHTS(round, narrow)                                                                             \
    const ofr_mve_add_params *p = params;                                                                 \
    __asm__ volatile("dls lr, %[n]\n"                                                                     \
                     "1: vldrb.u32 q0, [%[x]], #4\n"                                                      \
                     "vldrb.u32 q1, [%[x]], #4\n"                                                         \
                     "vldrw.u32 q2, [%[table], q0, uxtw #2]\n"                                            \
                     "vldrw.u32 q3, [%[table], q1, uxtw #2]\n"                                            \
                     "vldrb.s32 q0, [%[y]], #4\n"                                                         \
                     "vldrb.s32 q1, [%[y]], #4\n"                                                         \
                     "vmla.s32 q2, q0, %[factor]\n"                                                          \
                     "vmla.s32 q3, q1, %[factor]\n"                                                          \
                     "vqrdmulh.s32 q2, q2, %[multiplier]\n"                                               \
                     "vqrdmulh.s32 q3, q3, %[multiplier]\n" round                                         \
                     "vrshl.s32 q2, %[exponent]\n"                                                        \
                     "vrshl.s32 q3, %[exponent]\n" narrow                                                 \
                     "vstrb.32 q2, [%[out]], #4\n"                                                        \
                     "vstrb.32 q3, [%[out]], #4\n"                                                        \
                     "le lr, 1b\n"                                                                        \
                     : [x] "+l"(x), [y] "+l"(y), [out] "+l"(out)                                          \
                     : [n] "r"(n), [table] "r"(p + 1), [factor] "r"(p->factor), [multiplier] "r"(p->multiplier), \
                       [exponent] "r"(p->exponent), [add0] "r"(p->add[0]), [add1] "r"(p->add[1])          \
                     : "q0", "q1", "q2", "q3", "lr", "memory")

static void eights_relu(const void *params, const uint8_t *x, const uint8_t *y, uint8_t *out, uint32_t n) {
    EIGHTS(ROUND_RELU, NARROW_RELU);
}

static void eights_signed(const void *params, const uint8_t *x, const uint8_t *y, uint8_t *out, uint32_t n) {
    EIGHTS(ROUND_SIGNED, NARROW_SIGNED);
}

static void run(const ofr_call *call, ofr_mve_eights *eights) {
    const ofr_mve_add_params *p = call->params;
    ofr_mve_elements(call, call->in[1u - p->exact].data, call->in[p->exact].data, eights);
}

static void run_relu(const ofr_call *call) {
    run(call, eights_relu);
}

static void run_signed(const ofr_call *call) {
    run(call, eights_signed);
}

const ofr_kernel ofr_kernel_mve_add = {
    OFR_KERNEL_MVE_ADD, OFR_PACKING_MVE_ADD, sizeof(ofr_mve_add_params), 2, 1, 3, check, run_relu,
};

const ofr_kernel ofr_kernel_mve_add_signed = {
    OFR_KERNEL_MVE_ADD_SIGNED, OFR_PACKING_MVE_ADD_SIGNED, sizeof(ofr_mve_add_params), 2, 1, 3, check, run_signed,
};

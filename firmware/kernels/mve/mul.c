/* Multiplication, int8, of two tensors of one shape on Helium: eight products of centred values at a time. */
#pragma GCC optimize("Os")

#include "elementwise.h"
#include "requantize.h"

static ofr_status check(const ofr_call *call) {
    const ofr_mve_mul_params *p = call->params;
    return ofr_mve_check_elements(call, p->elements, sizeof *p);
}

#define ROUND_RELU
#define ROUND_SIGNED                 \
    "vshr.s32 q0, q2, #31\n"         \
    "vqadd.s32 q2, q2, q0\n"         \
    "vshr.s32 q1, q3, #31\n"         \
    "vqadd.s32 q3, q3, q1\n"

/* Products of even elements in q2, of odd ones in q3; narrowing interleaves them. */
#define EIGHTS(round, narrow)                                                                                \
    const ofr_mve_mul_params *p = params;                                                                    \
    __asm__ volatile("dls lr, %[n]\n"                                                                        \
                     "1: vldrb.s16 q0, [%[x]], #8\n"                                                         \
                     "vldrb.s16 q1, [%[y]], #8\n"                                                            \
                     "vsub.i16 q0, q0, %[zero_x]\n"                                                          \
                     "vsub.i16 q1, q1, %[zero_y]\n"                                                          \
                     "vmullb.s16 q2, q0, q1\n"                                                               \
                     "vmullt.s16 q3, q0, q1\n"                                                               \
                     "vqrdmulh.s32 q2, q2, %[multiplier]\n"                                                  \
                     "vqrdmulh.s32 q3, q3, %[multiplier]\n" round                                            \
                     "vrshl.s32 q2, %[exponent]\n"                                                           \
                     "vrshl.s32 q3, %[exponent]\n" narrow("q2", "q3", "%[add0]", "%[add1]")                  \
                     "vstrb.16 q2, [%[out]], #8\n"                                                           \
                     "le lr, 1b\n"                                                                           \
                     : [x] "+l"(x), [y] "+l"(y), [out] "+l"(out)                                             \
                     : [n] "r"(n), [zero_x] "r"(p->zero_point[0]), [zero_y] "r"(p->zero_point[1]),           \
                       [multiplier] "r"(p->multiplier), [exponent] "r"(p->exponent), [add0] "r"(p->add[0]),  \
                       [add1] "r"(p->add[1])                                                                 \
                     : "q0", "q1", "q2", "q3", "lr", "memory")

static void eights_relu(const void *params, const uint8_t *x, const uint8_t *y, uint8_t *out, uint32_t n) {
    EIGHTS(ROUND_RELU, OFR_MVE_NARROW_RELU);
}

static void eights_signed(const void *params, const uint8_t *x, const uint8_t *y, uint8_t *out, uint32_t n) {
    EIGHTS(ROUND_SIGNED, OFR_MVE_NARROW_SIGNED);
}

static void run_relu(const ofr_call *call) {
    ofr_mve_elements(call, call->in[0].data, call->in[1].data, eights_relu);
}

static void run_signed(const ofr_call *call) {
    ofr_mve_elements(call, call->in[0].data, call->in[1].data, eights_signed);
}

const ofr_kernel ofr_kernel_mve_mul = {
    OFR_KERNEL_MVE_MUL, OFR_PACKING_MVE_MUL, sizeof(ofr_mve_mul_params), 2, 1, 3, check, run_relu,
};

const ofr_kernel ofr_kernel_mve_mul_signed = {
    OFR_KERNEL_MVE_MUL_SIGNED, OFR_PACKING_MVE_MUL_SIGNED, sizeof(ofr_mve_mul_params), 2, 1, 3, check, run_signed,
};

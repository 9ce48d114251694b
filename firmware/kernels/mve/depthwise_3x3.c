/* Depthwise convolution 3x3 at stride 1, int8, on Helium: a patch of 4x4 gives 2x2 outputs. */
#include "depthwise.h"

/* q3: the patch; q4 to q7: weights of the upper left, lower left, upper right and lower right output. */
#define BEGIN "vldrw.32 q3, [r0, #80]\n"

#define WEIGHTS                       \
    "ldr r4, [sp, #56]\n"             \
    "vldrb.8 q4, [r2]\n"              \
    "vldrb.8 q6, [r2, #-1]\n"         \
    "sub r4, r2, r4\n"                \
    "vldrb.8 q5, [r4]\n"              \
    "vldrb.8 q7, [r4, #-1]\n"

#define PRODUCTS                      \
    "vldrh.u16 q0, [r1, q3]\n"        \
    "vmladav.s8 r0, q0, q4\n"         \
    "vmladav.s8 r2, q0, q5\n"         \
    "vmladav.s8 r4, q0, q6\n"         \
    "vmladav.s8 r6, q0, q7\n"

#define ADVANCE "adds r1, #2\n"

static __attribute__((naked, noinline)) void planes_relu(const ofr_mve_planes *t __attribute__((unused))) {
    __asm__ volatile(OFR_MVE_DEPTHWISE(BEGIN, WEIGHTS, PRODUCTS, ADVANCE, OFR_MVE_ROUND_RELU, OFR_MVE_LOW_RELU));
}

static __attribute__((naked, noinline)) void planes_signed(const ofr_mve_planes *t __attribute__((unused))) {
    __asm__ volatile(OFR_MVE_DEPTHWISE(BEGIN, WEIGHTS, PRODUCTS, ADVANCE, OFR_MVE_ROUND_SIGNED, OFR_MVE_LOW_SIGNED));
}

static ofr_mve_plane plane_of(const ofr_mve_depthwise_params *p) {
    return (ofr_mve_plane){((p->out_cols + 1u) & ~1u) + 2u, ((p->strip + 1u) & ~1u) + 2u};
}

static ofr_status check(const ofr_call *call) {
    return ofr_mve_check_depthwise(call, plane_of(call->params));
}

static void run(const ofr_call *call) {
    const ofr_mve_depthwise_params *p = call->params;
    const ofr_mve_plane plane = plane_of(p);
    const uint32_t row = (uint32_t)p->out_cols * p->channels;
    void (*const planes)(const ofr_mve_planes *) = p->is_signed ? planes_signed : planes_relu;
    ofr_mve_planes t;
    ofr_mve_begin_planes(&t, call, plane);
    t.groups = p->out_cols / 2u;
    t.edge = p->out_cols % 2u * 2u;
    t.group_step = 2u * p->channels;
    t.plane_step = 2u * plane.pitch - 2u * t.groups;
    t.out_step = 2u * row - t.groups * t.group_step;
    for (uint32_t oy = 0; oy < p->out_rows; oy += p->strip) {
        const uint32_t rows = p->out_rows - oy < p->strip ? p->out_rows - oy : p->strip;
        for (uint32_t c = 0; c < p->channels; c += OFR_MVE_PLANES) {
            const uint32_t n = p->channels - c < OFR_MVE_PLANES ? p->channels - c : OFR_MVE_PLANES;
            ofr_mve_spread(call, plane, (int32_t)oy - p->pad_top, c, n);
            ofr_mve_at_channel(&t, call, oy, c);
            t.channels = n;
            t.rows = rows / 2u;
            t.below = 4;
            for (uint32_t i = 0; i < 4; i++) {
                t.places[i] = i % 2u * row + i / 2u * p->channels;
            }
            if (t.rows != 0) {
                planes(&t);
            }
            if (rows % 2u != 0) { /* a last row by itself: what would be the lower outputs are the upper again */
                t.plane += t.rows * 2u * plane.pitch;
                t.out += t.rows * 2u * row;
                t.rows = 1;
                t.below = 0;
                t.places[1] = t.places[0];
                t.places[3] = t.places[2];
                planes(&t);
            }
        }
    }
}

const ofr_kernel ofr_kernel_mve_depthwise_3x3 = {
    OFR_KERNEL_MVE_DEPTHWISE_3X3, OFR_PACKING_MVE_DEPTHWISE_3X3, sizeof(ofr_mve_depthwise_params), 1, 1, 0, check, run,
};

/* Depthwise convolution 3x3 at stride 2, int8, on Helium: four patches side by side give four outputs. */
#pragma GCC optimize("Os")

#include "depthwise.h"
#include "tile.h"

/* q3, q5, q6, q7: the four patches; q4: weights. */
#define BEGIN                         \
    "movs r1, #2\n"                   \
    "vadd.i16 q5, q3, r1\n"           \
    "vadd.i16 q6, q5, r1\n"           \
    "vadd.i16 q7, q6, r1\n"

#define WEIGHTS "vldrb.8 q4, [r2]\n"

#define PRODUCTS                      \
    "vldrh.u16 q0, [r1, q3]\n"        \
    "vldrh.u16 q1, [r1, q5]\n"        \
    "vmladav.s8 r0, q0, q4\n"         \
    "vldrh.u16 q0, [r1, q6]\n"        \
    "vmladav.s8 r2, q1, q4\n"         \
    "vldrh.u16 q1, [r1, q7]\n"        \
    "vmladav.s8 r4, q0, q4\n"         \
    "vmladav.s8 r6, q1, q4\n"

#define GROUP_RELU                    \
    PRODUCTS                          \
    OFR_MVE_SCALE("q1", "")           \
    "vqmovunb.s32 q1, q1\n"           \
    "vqadd.u16 q1, q1, r11\n"         \
    "vadd.i16 q1, q1, r12\n"

#define GROUP_SIGNED                                                         \
    PRODUCTS                                                                 \
    OFR_MVE_SCALE("q1", "vshr.s32 q0, q1, #31\n" "vqadd.s32 q1, q1, q0\n")   \
    "vqmovnb.s32 q1, q1\n"                                                   \
    "vqadd.s16 q1, q1, r11\n"                                                \
    "vqmovnb.s16 q1, q1\n"

#define STORE "vstrb.32 q1, [r3, q2]\n"
#define ADVANCE "adds r1, #8\n"
#define STORE_EDGE "vctp.32 r0\n" "vpst\n" "vstrbt.32 q1, [r3, q2]\n"

static __attribute__((naked, noinline)) void planes_relu(const ofr_mve_planes *t __attribute__((unused))) {
    __asm__ volatile(OFR_MVE_DEPTHWISE(BEGIN, WEIGHTS, "", GROUP_RELU, STORE, ADVANCE, STORE_EDGE));
}

static __attribute__((naked, noinline)) void planes_signed(const ofr_mve_planes *t __attribute__((unused))) {
    __asm__ volatile(OFR_MVE_DEPTHWISE(BEGIN, WEIGHTS, "", GROUP_SIGNED, STORE, ADVANCE, STORE_EDGE));
}

/* The fourth row of the last patch meets zeros. */
static ofr_mve_plane plane_of(const ofr_mve_depthwise_params *p) {
    const uint32_t pitch = 2u * ((p->out_cols + 3u) & ~3u) + 2u;
    return (ofr_mve_plane){pitch, 2u * p->strip + 1u, pitch};
}

/* Bytes of the first strip's outputs, which wait in scratch where they would lie over its input. */
static uint32_t waiting_bytes(const ofr_call *call) {
    const ofr_mve_depthwise_params *p = call->params;
    const uint32_t rows = p->strip < p->out_rows ? p->strip : p->out_rows;
    return call->in[0].data == call->out[0].data ? ofr_times(rows, ofr_times(p->out_cols, p->channels)) : 0;
}

static ofr_status check(const ofr_call *call) {
    return ofr_mve_check_depthwise(call, plane_of(call->params), waiting_bytes(call));
}

static __attribute__((noinline)) void run(const ofr_call *call, void planes(const ofr_mve_planes *)) {
    const ofr_mve_depthwise_params *p = call->params;
    const ofr_mve_plane plane = plane_of(p);
    const uint32_t row = (uint32_t)p->out_cols * p->channels;
    ofr_mve_planes t;
    ofr_mve_begin_planes(&t, call, plane);
    t.groups = p->out_cols / 4u;
    t.edge = p->out_cols % 4u;
    t.group_step = 4u * p->channels;
    t.plane_step = 2u * plane.pitch - 8u * t.groups;
    t.out_step = row - t.groups * t.group_step;
    const uint32_t places[4] = {0, p->channels, 2u * p->channels, 3u * p->channels};
    memcpy(t.places, places, sizeof t.places);
    const uint32_t waiting = waiting_bytes(call);
    uint8_t *const wait = (uint8_t *)call->scratch + OFR_MVE_PLANES * t.plane_bytes + plane.behind;
    for (uint32_t oy = 0; oy < p->out_rows; oy += p->strip) {
        t.rows = p->out_rows - oy < p->strip ? p->out_rows - oy : p->strip;
        for (uint32_t c = 0; c < p->channels; c += OFR_MVE_PLANES) {
            t.channels = p->channels - c < OFR_MVE_PLANES ? p->channels - c : OFR_MVE_PLANES;
            ofr_mve_spread(call, plane, (int32_t)(2u * oy) - p->pad_top, c, t.channels, 0, 2u * t.rows + 1u);
            ofr_mve_at_channel(&t, call, oy == 0 && waiting != 0 ? wait : call->out[0].data + oy * row, c);
            planes(&t);
        }
        if (oy == 0) {
            (void)ofr_mve_copy(call->out[0].data, wait, waiting);
        }
    }
}

static void run_relu(const ofr_call *call) {
    run(call, planes_relu);
}

static void run_signed(const ofr_call *call) {
    run(call, planes_signed);
}

const ofr_kernel ofr_kernel_mve_depthwise_3x3_stride_2 = {
    OFR_KERNEL_MVE_DEPTHWISE_3X3_STRIDE_2, OFR_PACKING_MVE_DEPTHWISE_3X3_STRIDE_2, sizeof(ofr_mve_depthwise_params), 1, 1, OFR_SAME_START(0), check, run_relu,
};

const ofr_kernel ofr_kernel_mve_depthwise_3x3_stride_2_signed = {
    OFR_KERNEL_MVE_DEPTHWISE_3X3_STRIDE_2_SIGNED, OFR_PACKING_MVE_DEPTHWISE_3X3_STRIDE_2_SIGNED, sizeof(ofr_mve_depthwise_params), 1, 1, OFR_SAME_START(0), check, run_signed,
};

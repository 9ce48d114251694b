/* Depthwise convolution 3x3 at stride 1, int8, on Helium: two patches of 4x4, one below the other, give 4x2 outputs. */
#pragma GCC optimize("Os")

#include "depthwise.h"
#include "tile.h"

/* q3: the patch; q4 to q7: weights of the upper left, lower left, upper right and lower right output; r7: the lower
 * patch. */
#define WEIGHTS                       \
    "vldrb.8 q4, [r2]\n"              \
    "vldrb.8 q5, [r2, #-4]\n"         \
    "vldrb.8 q6, [r2, #-1]\n"         \
    "vldrb.8 q7, [r2, #-5]\n"

#define BEGIN_ROW                     \
    "ldrd r0, r2, [sp, #56]\n"        \
    "vmsr p0, r0\n"                   \
    "adds r7, r1, r2\n"

#define PRODUCTS(patch)                    \
    "vldrh.u16 q0, [" patch ", q3]\n"      \
    "vmladav.s8 r0, q0, q4\n"              \
    "vmladav.s8 r2, q0, q5\n"              \
    "vmladav.s8 r4, q0, q6\n"              \
    "vmladav.s8 r6, q0, q7\n"

#define GROUP_RELU                    \
    PRODUCTS("r1")                    \
    OFR_MVE_SCALE("q1", "")           \
    PRODUCTS("r7")                    \
    OFR_MVE_SCALE("q0", "")           \
    "vqmovunb.s32 q1, q1\n"           \
    "vqmovunt.s32 q1, q0\n"           \
    "vqadd.u16 q1, q1, r11\n"         \
    "vadd.i16 q1, q1, r12\n"

/* q2 gives way for a moment. */
#define GROUP_SIGNED                                                         \
    PRODUCTS("r1")                                                           \
    OFR_MVE_SCALE("q1", "vshr.s32 q0, q1, #31\n" "vqadd.s32 q1, q1, q0\n")   \
    PRODUCTS("r7")                                                           \
    OFR_MVE_SCALE("q0", "vshr.s32 q2, q0, #31\n" "vqadd.s32 q0, q0, q2\n")   \
    "vldrw.32 q2, [sp, #64]\n"                                               \
    "vqmovnb.s32 q1, q1\n"                                                   \
    "vqmovnt.s32 q1, q0\n"                                                   \
    "vqadd.s16 q1, q1, r11\n"                                                \
    "vqmovnb.s16 q1, q1\n"

#define STORE "vpst\n" "vstrbt.16 q1, [r3, q2]\n"
#define ADVANCE "adds r1, #2\n" "adds r7, #2\n"
#define STORE_EDGE "vmsr p0, r0\n" STORE

static __attribute__((naked, noinline)) void planes_relu(const ofr_mve_planes *t __attribute__((unused))) {
    __asm__ volatile(OFR_MVE_DEPTHWISE("", WEIGHTS, BEGIN_ROW, GROUP_RELU, STORE, ADVANCE, STORE_EDGE));
}

static __attribute__((naked, noinline)) void planes_signed(const ofr_mve_planes *t __attribute__((unused))) {
    __asm__ volatile(OFR_MVE_DEPTHWISE("", WEIGHTS, BEGIN_ROW, GROUP_SIGNED, STORE, ADVANCE, STORE_EDGE));
}

enum { HALO = 2 }; /* rows that strips share */

static ofr_mve_plane plane_of(const ofr_mve_depthwise_params *p) {
    const uint32_t pitch = ((p->out_cols + 1u) & ~1u) + 2u;
    return (ofr_mve_plane){pitch, p->strip + HALO, -(uint32_t)p->strip % 4u * pitch};
}

/* Row and column of lane i of a group: even lanes are the upper patch's. */
static uint32_t row_of(uint32_t i) {
    return i % 2u * 2u + i / 2u % 2u;
}

static uint32_t col_of(uint32_t i) {
    return i / 4u;
}

/* Predicate of the first column's outputs in the first rows of a group; the second column's is 8 bits further. */
static const uint8_t mask_of_rows[] = {0, 0x03, 0x33, 0x3f, 0xff};

static ofr_status check(const ofr_call *call) {
    const ofr_mve_depthwise_params *p = call->params;
    const uint32_t reach = (3u * p->out_cols + 1u) * p->channels; /* places have 16 bits */
    if (ofr_times(3u * p->out_cols + 1u, p->channels) > UINT16_MAX) {
        return ofr_refuse(call, OFR_E_VALUE, reach, UINT16_MAX);
    }
    return ofr_mve_check_depthwise(call, plane_of(p), 0);
}

static __attribute__((noinline)) void run(const ofr_call *call, void planes(const ofr_mve_planes *)) {
    const ofr_mve_depthwise_params *p = call->params;
    const ofr_mve_plane plane = plane_of(p);
    const uint32_t row = (uint32_t)p->out_cols * p->channels;
    uint16_t places[8];
    ofr_mve_planes t;
    ofr_mve_begin_planes(&t, call, plane);
    t.groups = p->out_cols / 2u;
    t.group_step = 2u * p->channels;
    t.plane_step = 4u * plane.pitch - 2u * t.groups;
    t.out_step = 4u * row - t.groups * t.group_step;
    for (uint32_t i = 0; i < 8; i++) {
        places[i] = (uint16_t)(row_of(i) * row + col_of(i) * p->channels);
    }
    memcpy(t.places, places, sizeof t.places);
    for (uint32_t c = 0; c < p->channels; c += OFR_MVE_PLANES) { /* none needs what another has written over */
        t.channels = p->channels - c < OFR_MVE_PLANES ? p->channels - c : OFR_MVE_PLANES;
        for (uint32_t oy = 0; oy < p->out_rows; oy += p->strip) {
            const uint32_t rows = p->out_rows - oy < p->strip ? p->out_rows - oy : p->strip;
            uint8_t *plane_top = call->scratch, *out = call->out[0].data + oy * row;
            for (uint32_t i = 0; oy != 0 && i < t.channels; i++, plane_top += t.plane_bytes) {
                (void)ofr_mve_copy(plane_top, plane_top + p->strip * plane.pitch, HALO * plane.pitch);
            }
            ofr_mve_spread(call, plane, (int32_t)oy - p->pad_top, c, t.channels, oy != 0 ? HALO : 0, rows + HALO);
            for (uint32_t done = 0, n; done < rows; done += n) { /* whole groups, then what rows are left */
                n = rows - done < 4 ? rows - done : (rows - done) & ~3u;
                t.rows = (n + 3u) / 4u;
                t.mask = mask_of_rows[n < 4 ? n : 4] * 0x101u;
                t.edge = p->out_cols % 2u ? t.mask & 0xffu : 0;
                ofr_mve_at_channel(&t, call, out + done * row, c);
                t.plane += done * plane.pitch;
                planes(&t);
            }
        }
    }
}

static void run_relu(const ofr_call *call) {
    run(call, planes_relu);
}

static void run_signed(const ofr_call *call) {
    run(call, planes_signed);
}

const ofr_kernel ofr_kernel_mve_depthwise_3x3 = {
    OFR_KERNEL_MVE_DEPTHWISE_3X3, OFR_PACKING_MVE_DEPTHWISE_3X3, sizeof(ofr_mve_depthwise_params), 1, 1, 1, check, run_relu,
};

const ofr_kernel ofr_kernel_mve_depthwise_3x3_signed = {
    OFR_KERNEL_MVE_DEPTHWISE_3X3_SIGNED, OFR_PACKING_MVE_DEPTHWISE_3X3_SIGNED, sizeof(ofr_mve_depthwise_params), 1, 1, 1, check, run_signed,
};

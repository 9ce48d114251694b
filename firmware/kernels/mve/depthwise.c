/* Depthwise on Helium: checks, and the planes in scratch. */
#pragma GCC optimize("Os")

#include <arm_mve.h>

#include "depthwise.h"
#include "sizes.h"

ofr_status ofr_mve_check_depthwise(const ofr_call *call, ofr_mve_plane plane) {
    const ofr_mve_depthwise_params *p = call->params;
    if (p->channels == 0 || p->out_rows == 0 || p->out_cols == 0 || p->strip == 0) {
        return ofr_refuse(call, OFR_E_VALUE, 0, 1);
    }
    const uint32_t plane_bytes = ofr_times(plane.pitch, plane.rows);
    if (plane_bytes > UINT16_MAX / OFR_MVE_PLANES) { /* offsets have 16 bits */
        return ofr_refuse(call, OFR_E_VALUE, plane_bytes, UINT16_MAX / OFR_MVE_PLANES);
    }
    const uint32_t in = ofr_times(ofr_times(p->rows, p->cols), p->channels);
    const uint32_t out = ofr_times(ofr_times(p->out_rows, p->out_cols), p->channels);
    return ofr_mve_check_sizes(call, in, out, sizeof *p + 16u + 28u * p->channels, OFR_MVE_PLANES * plane_bytes);
}

/* Whole rows of `n` columns; `src` advances by step a column and skip a row, dst by gap a row. */
static void spread_rows(uint8_t *dst, uint32_t gap, const uint8_t *src, uint32_t step, uint32_t skip, uint32_t rows,
                        uint32_t n, uint32_t channels, uint32_t plane_bytes) {
    const uint16x8_t places = vmulq_n_u16(vidupq_n_u16(0, 1), (uint16_t)plane_bytes);
#define ROWS(load_and_store)                 \
    __asm__ volatile("vctp.16 %[channels]\n" \
                     "1: dls lr, %[n]\n"     \
                     "2:\n" load_and_store   \
                     "add %[src], %[step]\n" \
                     "adds %[dst], #1\n"     \
                     "le lr, 2b\n"           \
                     "add %[src], %[skip]\n" \
                     "add %[dst], %[gap]\n"  \
                     "subs %[rows], #1\n"    \
                     "bne 1b\n"              \
                     : [src] "+r"(src), [dst] "+l"(dst), [rows] "+l"(rows) \
                     : [gap] "r"(gap), [step] "r"(step), [skip] "r"(skip), [n] "r"(n), [channels] "r"(channels), \
                       [places] "w"(places) \
                     : "q0", "lr", "cc", "memory")
    if (channels == OFR_MVE_PLANES) {
        ROWS("vldrb.u16 q0, [%[src]]\n" "vstrb.16 q0, [%[dst], %q[places]]\n");
    } else {
        ROWS("vpstt\n" "vldrbt.u16 q0, [%[src]]\n" "vstrbt.16 q0, [%[dst], %q[places]]\n");
    }
#undef ROWS
}

static uint32_t clamped(int32_t x, uint32_t high) {
    return x < 0 ? 0 : (uint32_t)x > high ? high : (uint32_t)x;
}

void ofr_mve_spread(const ofr_call *call, ofr_mve_plane plane, int32_t y0, uint32_t first, uint32_t channels) {
    const ofr_mve_depthwise_params *p = call->params;
    const uint32_t room = plane.pitch > p->pad_left ? plane.pitch - p->pad_left : 0;
    const uint32_t n = p->cols < room ? p->cols : room, plane_bytes = plane.pitch * plane.rows;
    const uint32_t above = clamped(-y0, plane.rows), end = clamped((int32_t)p->rows - y0, plane.rows);
    uint8_t *const dst = (uint8_t *)call->scratch + p->pad_left;
    if (n != 0 && end > above) {
        const uint8_t *src = call->in[0].data + (uint32_t)(y0 + (int32_t)above) * p->cols * p->channels + first;
        spread_rows(dst + above * plane.pitch, plane.pitch - n, src, p->channels, (p->cols - n) * p->channels,
                    end - above, n, channels, plane_bytes);
    }
    if (n != 0 && end < plane.rows && y0 > -(int32_t)p->pad_top) { /* an earlier strip has written there */
        uint8_t fill[OFR_MVE_PLANES];
        memset(fill, p->fill, sizeof fill);
        spread_rows(dst + end * plane.pitch, plane.pitch - n, fill, 0, 0, plane.rows - end, n, channels, plane_bytes);
    }
}

void ofr_mve_begin_planes(ofr_mve_planes *t, const ofr_call *call, ofr_mve_plane plane) {
    const ofr_mve_depthwise_params *p = call->params;
    t->plane_bytes = plane.pitch * plane.rows;
    t->add[0] = p->add[0];
    t->add[1] = p->add[1];
    t->mask = 0;
    t->below = 2u * plane.pitch;
    for (uint32_t i = 0; i < 8; i++) {
        t->patch[i] = (uint16_t)(i / 2u * plane.pitch + i % 2u * 2u);
    }
    memset(call->scratch, p->fill, OFR_MVE_PLANES * t->plane_bytes); /* columns beside the input stay so */
}

void ofr_mve_at_channel(ofr_mve_planes *t, const ofr_call *call, uint32_t oy, uint32_t channel) {
    const ofr_mve_depthwise_params *p = call->params;
    const int32_t *words = (const int32_t *)(const void *)(p + 1);
    t->plane = call->scratch;
    t->out = (int8_t *)call->out[0].data + oy * p->out_cols * p->channels + channel;
    t->words = words + 3u * channel;
    t->weights = (const int8_t *)(const void *)(words + 3u * p->channels) + 16u + 16u * channel;
}

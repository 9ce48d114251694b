/* Depthwise on Helium: checks, and the planes in scratch. */
#pragma GCC optimize("Os")

#include <arm_mve.h>

#include "depthwise.h"
#include "sizes.h"
#include "tile.h"

ofr_status ofr_mve_check_depthwise(const ofr_call *call, ofr_mve_plane plane, uint32_t more) {
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
    const uint32_t scratch = OFR_MVE_PLANES * plane_bytes + plane.behind;
    return ofr_mve_check_sizes(call, in, out, sizeof *p + 16u + 28u * p->channels, ofr_plus(scratch, more));
}

/* `rows` rows of `n` columns, two columns at a time; src advances by step a column and skip a row, dst by gap a row. */
static __attribute__((noinline)) void spread_rows(uint8_t *dst, uint32_t gap, const uint8_t *src, uint32_t step, uint32_t skip, uint32_t rows,
                        uint32_t n, uint32_t channels, uint32_t plane_bytes) {
    const uint16x8_t places = vmulq_n_u16(vidupq_n_u16(0, 1), (uint16_t)plane_bytes), next = vaddq_n_u16(places, 1);
    const uint8_t *second = src + step;
    const uint32_t is_odd = n % 2u;
    __asm__ volatile("1: wls lr, %[pairs], 3f\n"
                     "2: vpstttt\n"
                     "vldrbt.u16 q0, [%[src]]\n"
                     "vldrbt.u16 q1, [%[second]]\n"
                     "vstrbt.16 q0, [%[dst], %q[places]]\n"
                     "vstrbt.16 q1, [%[dst], %q[next]]\n"
                     "add %[src], %[step]\n"
                     "add %[second], %[step]\n"
                     "adds %[dst], #2\n"
                     "le lr, 2b\n"
                     "3: cbz %[is_odd], 4f\n"
                     "vpstt\n"
                     "vldrbt.u16 q0, [%[src]]\n"
                     "vstrbt.16 q0, [%[dst], %q[places]]\n"
                     "4: add %[src], %[skip]\n"
                     "add %[second], %[skip]\n"
                     "add %[dst], %[gap]\n"
                     "subs %[rows], #1\n"
                     "bne 1b\n"
                     : [src] "+l"(src), [second] "+l"(second), [dst] "+l"(dst), [rows] "+l"(rows)
                     : [pairs] "r"(n / 2u), [is_odd] "l"(is_odd), [step] "r"(2u * step), [skip] "r"(skip + is_odd * step),
                       [gap] "r"(gap + is_odd), "Up"(vctp16q(channels)), [places] "w"(places), [next] "w"(next)
                     : "q0", "q1", "lr", "cc", "memory");
}

/* x, or the nearer end of [low, high]. */
static uint32_t clamped(uint32_t low, uint32_t high, int32_t x) {
    return x < (int32_t)low ? low : x > (int32_t)high ? high : (uint32_t)x;
}

void ofr_mve_spread(const ofr_call *call, ofr_mve_plane plane, int32_t y0, uint32_t first, uint32_t channels,
                    uint32_t begin, uint32_t end) {
    const ofr_mve_depthwise_params *p = call->params;
    const uint32_t room = plane.pitch > p->pad_left ? plane.pitch - p->pad_left : 0;
    const uint32_t n = p->cols < room ? p->cols : room, plane_bytes = plane.pitch * plane.rows;
    const uint32_t above = clamped(begin, end, -y0), below = clamped(above, end, (int32_t)p->rows - y0);
    uint8_t *dst = call->scratch;
    if (n != 0 && above != below) {
        const uint8_t *src = call->in[0].data + (uint32_t)(y0 + (int32_t)above) * p->cols * p->channels + first;
        spread_rows(dst + above * plane.pitch + p->pad_left, plane.pitch - n, src, p->channels,
                    (p->cols - n) * p->channels, below - above, n, channels, plane_bytes);
    }
    for (; above - begin + end - below != 0 && channels != 0; channels--, dst += plane_bytes) {
        ofr_mve_fill(dst + begin * plane.pitch, p->fill, (above - begin) * plane.pitch);
        ofr_mve_fill(dst + below * plane.pitch, p->fill, (end - below) * plane.pitch);
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
    ofr_mve_fill(call->scratch, p->fill, OFR_MVE_PLANES * t->plane_bytes); /* columns beside the input stay so */
}

void ofr_mve_at_channel(ofr_mve_planes *t, const ofr_call *call, uint8_t *out, uint32_t channel) {
    const ofr_mve_depthwise_params *p = call->params;
    const int32_t *words = (const int32_t *)(const void *)(p + 1);
    t->plane = call->scratch;
    t->out = (int8_t *)out + channel;
    t->words = words + 3u * channel;
    t->weights = (const int8_t *)(const void *)(words + 3u * p->channels) + 16u + 16u * channel;
}

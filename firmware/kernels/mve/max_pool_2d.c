/* Max pooling, int8, on Helium: sixteen channels at a time. */
#pragma GCC optimize("Os")

#include "pool.h"

/* Largest of up to 16 channels over rows and columns of a window, not empty, clamped. */
static void largest(const ofr_pool *p, int8_t *out, const int8_t *in, uint32_t channels, uint32_t rows, uint32_t cols) {
    __asm__ volatile("vdup.8 q1, %[low]\n"
                     "vdup.8 q2, %[high]\n"
                     "vctp.8 %[channels]\n"
                     "1: dls lr, %[cols]\n"
                     "2: vpst\n"
                     "vldrbt.8 q0, [%[in]]\n"
                     "add %[in], %[step]\n"
                     "vmax.s8 q1, q1, q0\n"
                     "le lr, 2b\n"
                     "add %[in], %[skip]\n"
                     "subs %[rows], #1\n"
                     "bne 1b\n"
                     "vmin.s8 q1, q1, q2\n"
                     "vpst\n"
                     "vstrbt.8 q1, [%[out]]\n"
                     : [in] "+l"(in), [rows] "+l"(rows)
                     : [low] "r"(p->act_min), [high] "r"(p->act_max), [channels] "r"(channels), [cols] "r"(cols),
                       [step] "r"((uint32_t)p->channels), [skip] "r"((p->cols - cols) * p->channels), [out] "r"(out)
                     : "q0", "q1", "q2", "lr", "cc", "memory");
}

static void run(const ofr_call *call) {
    const ofr_pool *p = call->params;
    int8_t *out = (int8_t *)call->out[0].data;
    for (uint32_t oy = 0; oy < p->out_rows; oy++) {
        const ofr_range y = ofr_window(oy, p->stride_h, p->pad_top, p->filter_h, p->rows);
        for (uint32_t ox = 0; ox < p->out_cols; ox++, out += p->channels) {
            const ofr_range x = ofr_window(ox, p->stride_w, p->pad_left, p->filter_w, p->cols);
            const uint32_t rows = (uint32_t)(y.last - y.first), cols = (uint32_t)(x.last - x.first);
            const int8_t *in = (const int8_t *)call->in[0].data + ((uint32_t)y.first * p->cols + (uint32_t)x.first) * p->channels;
            for (uint32_t c = 0; rows != 0 && cols != 0 && c < p->channels; c += 16) {
                largest(p, out + c, in + c, p->channels - c, rows, cols);
            }
        }
    }
}

const ofr_kernel ofr_kernel_mve_max_pool_2d = {
    OFR_KERNEL_MVE_MAX_POOL_2D, OFR_PACKING_MVE_MAX_POOL_2D, sizeof(ofr_pool), 1, 1, 0, ofr_check_pool, run,
};

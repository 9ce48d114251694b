/* Average pooling, int8, on Helium: sixteen or eight channels at a time in 16 bits; windows of at most 256 values. */
#pragma GCC optimize("Os")

#include "pool.h"

static ofr_status check(const ofr_call *call) {
    const ofr_pool *p = call->params;
    if ((uint32_t)p->filter_h * p->filter_w > 256) { /* sums have 16 bits */
        return ofr_refuse(call, OFR_E_VALUE, (uint32_t)p->filter_h * p->filter_w, 256);
    }
    return ofr_check_pool(call);
}

/* Sums of 16 channels, or of up to 8, over rows and columns of a window, not empty. */
static void sum(int16_t *sums, const int8_t *in, uint32_t channels, uint32_t rows, uint32_t cols, uint32_t step, uint32_t skip) {
#define SUM(load)                             \
    __asm__ volatile("vmov.i32 q2, #0\n"      \
                     "vmov.i32 q3, #0\n"      \
                     "vctp.16 %[channels]\n"  \
                     "1: dls lr, %[cols]\n"   \
                     "2:\n" load              \
                     "add %[in], %[step]\n"   \
                     "le lr, 2b\n"            \
                     "add %[in], %[skip]\n"   \
                     "subs %[rows], #1\n"     \
                     "bne 1b\n"               \
                     "vstrh.16 q2, [%[sums]]\n" \
                     "vstrh.16 q3, [%[sums], #16]\n" \
                     : [in] "+l"(in), [rows] "+l"(rows) \
                     : [channels] "r"(channels), [cols] "r"(cols), [step] "r"(step), [skip] "r"(skip), [sums] "r"(sums) \
                     : "q0", "q1", "q2", "q3", "lr", "cc", "memory")
    if (channels == 16) {
        SUM("vldrb.s16 q0, [%[in]]\n" "vldrb.s16 q1, [%[in], #8]\n" "vadd.i16 q2, q2, q0\n" "vadd.i16 q3, q3, q1\n");
    } else {
        SUM("vpst\n" "vldrbt.s16 q0, [%[in]]\n" "vadd.i16 q2, q2, q0\n");
    }
#undef SUM
}

/* One output position. */
static __attribute__((noinline)) void average(const ofr_pool *p, const int8_t *in, ofr_range y, ofr_range x, int8_t *out) {
    const int32_t rows = y.last - y.first, cols = x.last - x.first, count = rows * cols;
    in += ((uint32_t)y.first * p->cols + (uint32_t)x.first) * p->channels;
    for (uint32_t c = 0, n; c < p->channels; c += n) {
        const uint32_t left = p->channels - c;
        int16_t sums[16] = {0};
        n = left >= 16 ? 16 : left < 8 ? left : 8;
        if (count != 0) { /* a window beside the input: no such blob is packed */
            sum(sums, in + c, n, (uint32_t)rows, (uint32_t)cols, p->channels,
                (p->cols - (uint32_t)cols) * p->channels);
        }
        for (uint32_t i = 0; i < n; i++) {
            *out++ = (int8_t)ofr_clamp(count == 0 ? 0 : ofr_rounded_average(sums[i], count), p->act_min, p->act_max);
        }
    }
}

static void run(const ofr_call *call) {
    const ofr_pool *p = call->params;
    int8_t *out = (int8_t *)call->out[0].data;
    for (uint32_t oy = 0; oy < p->out_rows; oy++) {
        const ofr_range y = ofr_window(oy, p->stride_h, p->pad_top, p->filter_h, p->rows);
        for (uint32_t ox = 0; ox < p->out_cols; ox++, out += p->channels) {
            average(p, (const int8_t *)call->in[0].data, y, ofr_window(ox, p->stride_w, p->pad_left, p->filter_w, p->cols), out);
        }
    }
}

const ofr_kernel ofr_kernel_mve_average_pool_2d = {
    OFR_KERNEL_MVE_AVERAGE_POOL_2D, OFR_PACKING_MVE_AVERAGE_POOL_2D, sizeof(ofr_pool), 1, 1, 0, check, run,
};

/* Convolution of any size on Helium: taps are brought into scratch column by column, so that those of an output lie in
 * one run, and neighbours share theirs; for weights in any storage. */
#ifndef OFR_MVE_CONV_2D_H
#define OFR_MVE_CONV_2D_H

#include <arm_mve.h>

#include "tile.h"

/* Columns of taps; where windows are one column wide, those between them are left out. */
static uint32_t columns(const ofr_mve_conv_2d_params *p) {
    return p->kernel_w == 1 ? p->out_cols : (p->out_cols - 1u) * p->stride_w + p->kernel_w;
}

/* From the taps of an output to those of the next, in columns. */
static uint32_t column_step(const ofr_mve_conv_2d_params *p) {
    return p->kernel_w == 1 ? 1 : p->stride_w;
}

/* Refuses what taps in columns do not serve; else all but sizes is left to ofr_mve_check_conv_2d. */
static inline ofr_status ofr_mve_check_columns(const ofr_call *call) {
    const ofr_mve_conv_2d_params *p = call->params;
    if ((p->kernel_w == 1 && p->pad_left != 0) || p->dilation_h == 0) {
        return ofr_refuse(call, OFR_E_VALUE, p->pad_left, 0);
    }
    return OFR_OK;
}

/* Scratch for a strip's taps. */
static inline uint32_t ofr_mve_columns_bytes(const ofr_mve_conv_2d_params *p) {
    const uint32_t row = ofr_times(columns(p), ofr_times(p->kernel_h, p->in_c));
    return ofr_plus(ofr_times(row, p->strip), 16);
}

/* How a row of the input becomes pieces of columns, `unit` apart. */
typedef struct spread {
    uint32_t in_c, unit;
    uint32_t n, advance; /* columns; from one to the next in the input */
    uint32_t bytes, groups, rest; /* of columns up to 8 bytes: of a vector, whole vectors, bytes behind them */
    uint32_t step;                /* from where one vector goes to where the next does */
    uint8x16_t offsets;           /* of a vector's bytes; bytes is 0 for longer columns */
} spread;

static spread open_spread(const ofr_mve_conv_2d_params *p) {
    const uint32_t step = p->kernel_w == 1 ? p->stride_w : 1u, in_c = p->in_c, unit = p->kernel_h * in_c;
    const uint32_t wide = columns(p), there = (p->cols + step - 1u) / step + p->pad_left;
    const uint32_t last = wide < there ? wide : there;
    spread s = {.in_c = in_c, .unit = unit, .n = last > p->pad_left ? last - p->pad_left : 0, .advance = step * in_c};
    uint8_t offsets[16] = {0};
    uint32_t columns_a_vector = 0;
    while (in_c <= 8 && step == 1 && s.bytes + in_c <= 16 && columns_a_vector * unit + in_c - 1 <= 255) {
        for (uint32_t i = 0; i < in_c; i++) {
            offsets[s.bytes++] = (uint8_t)(columns_a_vector * unit + i);
        }
        columns_a_vector++;
    }
    s.offsets = vldrbq_u8(offsets);
    if (s.bytes != 0) {
        s.groups = s.n / columns_a_vector;
        s.rest = s.n * in_c - s.groups * s.bytes;
        s.step = columns_a_vector * unit;
    }
    return s;
}

/* `rows` rows of columns, `row_step` apart in the input; of fill, 16 bytes serve all. */
static void bring_rows(const spread *s, uint8_t *dst, const uint8_t *src, uint32_t rows, uint32_t row_step, int is_fill) {
    if (s->bytes == 0) {
        for (; rows != 0; rows--, src += row_step, dst += s->in_c) {
            for (uint32_t c = 0; c < s->in_c; c += 16) {
                ofr_mve_copy_columns(dst + c, s->unit, is_fill ? src : src + c, is_fill ? 0 : s->advance, s->n, s->in_c - c);
            }
        }
    } else if (rows != 0) {
        const uint8_t *from;
        uint8_t *to;
        __asm__ volatile("1: mov %[from], %[src]\n"
                         "mov %[to], %[dst]\n"
                         "wls lr, %[groups], 3f\n"
                         "vctp.8 %[bytes]\n"
                         "2: vpstt\n"
                         "vldrbt.8 q0, [%[from]]\n"
                         "vstrbt.8 q0, [%[to], %q[offsets]]\n"
                         "add %[from], %[advance]\n"
                         "add %[to], %[step]\n"
                         "le lr, 2b\n"
                         "3: vctp.8 %[rest]\n"
                         "vpstt\n"
                         "vldrbt.8 q0, [%[from]]\n"
                         "vstrbt.8 q0, [%[to], %q[offsets]]\n"
                         "add %[src], %[row_step]\n"
                         "add %[dst], %[in_c]\n"
                         "subs %[rows], #1\n"
                         "bne 1b\n"
                         : [src] "+r"(src), [dst] "+r"(dst), [rows] "+l"(rows), [from] "=&r"(from), [to] "=&r"(to)
                         : [bytes] "r"(s->bytes), [groups] "r"(s->groups), [step] "r"(s->step),
                           [advance] "r"(is_fill ? 0 : s->bytes), [rest] "r"(s->rest), [row_step] "r"(row_step),
                           [in_c] "r"(s->in_c), [offsets] "w"(s->offsets)
                         : "q0", "lr", "memory", "cc");
    }
}

/* Steps of `dilation` from y on before `limit`, at most `most`. */
static uint32_t steps_to(int32_t y, int32_t limit, uint32_t dilation, uint32_t most) {
    const uint32_t steps = y >= limit ? 0 : ((uint32_t)(limit - y) + dilation - 1u) / dilation;
    return steps < most ? steps : most;
}

/* Taps of output row `oy` into one row of scratch. */
static void bring(const ofr_mve_conv_2d_params *p, const spread *s, const uint8_t *in, uint32_t oy, uint8_t *dst) {
    const int32_t y = (int32_t)(oy * p->stride_h) - p->pad_top;
    const uint32_t first = steps_to(y, 0, p->dilation_h, p->kernel_h);
    const uint32_t end = steps_to(y, p->rows, p->dilation_h, p->kernel_h), row = p->cols * s->in_c;
    uint8_t fill[16];
    memset(fill, p->fill, sizeof fill);
    dst += p->pad_left * s->unit;
    if (s->n != 0) {
        bring_rows(s, dst, fill, first, 0, 1);
        bring_rows(s, dst + end * s->in_c, fill, p->kernel_h - end, 0, 1);
        in += (uint32_t)(y + (int32_t)(first * p->dilation_h)) * row;
        bring_rows(s, dst + first * s->in_c, in, end - first, p->dilation_h * row, 0);
    }
}

/* The taps of output `i` of a strip. */
static __attribute__((noinline)) const int8_t *taps_of(const ofr_mve_conv_2d_params *p, const uint8_t *taps, uint32_t i, uint32_t unit) {
    const uint32_t row = i / p->out_cols, col = i - row * p->out_cols;
    return (const int8_t *)taps + (row * columns(p) + col * column_step(p)) * unit;
}

/* All outputs; `pair_bytes` and `run` are the storage's. */
static inline void ofr_mve_conv_2d(const ofr_call *call, uint32_t is_signed, uint32_t pair_bytes,
                                   ofr_mve_runner *run) {
    const ofr_mve_conv_2d_params *p = call->params;
    const uint32_t unit = (uint32_t)p->kernel_h * p->in_c, k = unit * p->kernel_w, row = columns(p) * unit;
    const ofr_mve_layer l = {(const int8_t *)(p + 1), p->out_c, pair_bytes};
    const spread s = open_spread(p);
    int8_t *out = (int8_t *)call->out[0].data;
    uint8_t *const taps = call->scratch;
    ofr_mve_tile t;
    ofr_mve_begin(&t, k, p->out_c, p->add);
    t.x_step = 4u * column_step(p) * unit;
    ofr_mve_place(&t, 4, p->out_c);
    ofr_mve_fill(taps, p->fill, p->strip * row + 16); /* columns beside the input stay so */
    for (uint32_t oy = 0; oy < p->out_rows; oy += p->strip) {
        const uint32_t rows = p->out_rows - oy < p->strip ? p->out_rows - oy : p->strip;
        const uint32_t pixels = rows * p->out_cols;
        for (uint32_t r = 0; r < rows; r++) {
            bring(p, &s, call->in[0].data, oy + r, taps + r * row);
        }
        for (uint32_t done = 0, n; done < pixels; done += n) {
            const uint32_t here = p->out_cols - done % p->out_cols;
            const uint32_t tiles = here < 4 ? 1 : here / 4u; /* several where they stay in one row */
            n = pixels - done < 4 ? pixels - done : 4u * tiles;
            if (n < 4) {
                ofr_mve_place(&t, n, p->out_c);
            }
            for (uint32_t i = 0; i < 4; i++) {
                t.x[i] = taps_of(p, taps, done + (i < n ? i : n - 1), unit);
            }
            run(&t, &l, out, tiles, is_signed);
            if (n < 4) {
                ofr_mve_place(&t, 4, p->out_c);
            }
            out += n * p->out_c;
        }
    }
}

#endif

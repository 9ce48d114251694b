/* What the kernels that skip zeros share: checks, and the taps of six pixels from whatever window. */
/* The time goes into sparse.S: what is left is compiled for size. */
#pragma GCC optimize("Os")

#include "sparse.h"

#include "band.h"

_Static_assert(offsetof(ofr_dsp_sparse_params, entries) == sizeof(ofr_dsp_conv_2d_params), "one begins as the other");

enum { MOST_PLACES = 65536, MOST_ENTRIES = 65536 };

static const ofr_dsp_conv_2d_params *geometry(const ofr_call *call) {
    return call->params;
}

/* Whether windows are single pixels of the input: they are read where they lie. */
static int is_direct(const ofr_dsp_conv_2d_params *p) {
    return (uint32_t)p->kernel_h * p->kernel_w == 1 && (p->pad_top | p->pad_left) == 0 &&
           (uint32_t)(p->out_rows - 1) * p->stride_h < p->rows && (uint32_t)(p->out_cols - 1) * p->stride_w < p->cols;
}

/* Taps that lie together. */
static uint32_t run_taps(const ofr_dsp_conv_2d_params *p) {
    return p->dilation_w == 1 ? (uint32_t)p->kernel_w * p->in_c : p->in_c;
}

static uint32_t tap_bytes(const ofr_dsp_conv_2d_params *p) {
    return (uint32_t)p->kernel_h * p->kernel_w * p->in_c * OFR_DSP_TILE_TAP;
}

static ofr_status check_operands(const ofr_call *call) {
    const ofr_dsp_conv_2d_params *p = geometry(call);
    if (p->groups != 1) {
        return ofr_refuse(call, OFR_E_VALUE, p->groups, 1);
    }
    return ofr_dsp_check_operands(call, ofr_dsp_volume(p->rows, p->cols, p->in_c),
                                  ofr_dsp_volume(p->out_rows, p->out_cols, p->out_c));
}

ofr_status ofr_dsp_check_sparse_window(const ofr_call *call, uint32_t taps, uint32_t more) {
    const ofr_dsp_conv_2d_params *p = geometry(call);
    if (!ofr_window_is_sane(p->kernel_h, p->stride_h, p->dilation_h) ||
        !ofr_window_is_sane(p->kernel_w, p->stride_w, p->dilation_w)) {
        return ofr_refuse(call, OFR_E_VALUE, p->kernel_h, 4096);
    }
    const uint32_t k = ofr_dsp_volume(p->kernel_h, p->kernel_w, p->in_c), run = run_taps(p);
    if (k - 1 >= MOST_PLACES / OFR_DSP_TILE_TAP) {
        return ofr_refuse(call, OFR_E_VALUE, k, MOST_PLACES / OFR_DSP_TILE_TAP);
    }
    if (run % taps != 0 && run != k) {
        return ofr_refuse(call, OFR_E_VALUE, run, taps);
    }
    const ofr_status status = check_operands(call);
    if (status != OFR_OK) {
        return status;
    }
    const uint32_t band_bytes =
        is_direct(p) ? 0 : ofr_plus(ofr_times(band_rows(p, OFR_DSP_TILE), row_bytes(p)), 3) & ~3u;
    const uint32_t own = ofr_dsp_place_mask(tap_bytes(p)) + 1 + OFR_DSP_BEHIND;
    return ofr_dsp_check_scratch(call, ofr_plus(ofr_plus(own, band_bytes), more));
}

ofr_status ofr_dsp_check_sparse_row(const ofr_call *call, uint32_t taps, uint32_t more) {
    const ofr_dsp_conv_2d_params *p = geometry(call);
    if ((uint32_t)p->rows * p->cols != 1 || (uint32_t)p->out_rows * p->out_cols != 1 ||
        p->in_c - 1u >= MOST_PLACES / 2) {
        return ofr_refuse(call, OFR_E_VALUE, p->in_c, MOST_PLACES / 2);
    }
    const ofr_status status = check_operands(call);
    return status != OFR_OK ? status : ofr_dsp_check_scratch(call, ofr_dsp_row_bytes(p->in_c, taps) + more);
}

uint32_t ofr_dsp_sparse_row_taps(const ofr_call *call, uint32_t taps) {
    const int8_t *in = (const int8_t *)call->in[0].data;
    const uint32_t depth = geometry(call)->in_c;
    if (taps == 1) {
        memcpy(call->scratch, in, depth);
    } else {
        ofr_dsp_widen_row(ofr_dsp_widen_16, in, depth, call->scratch);
    }
    return ofr_dsp_row_bytes(depth, taps) - 9;
}

ofr_status ofr_dsp_check_streams(const ofr_call *call, uint32_t words, uint32_t counted) {
    const ofr_dsp_sparse_params *p = call->params;
    const uint32_t *at = (const uint32_t *)(const void *)(p + 1);
    uint32_t left = (call->params_bytes - (uint32_t)sizeof *p) / 4;
    for (uint32_t c = p->out_c; c != 0; c--) {
        const uint32_t wanted = left < words || *at >= MOST_ENTRIES ? UINT32_MAX : words + *at * counted;
        if (left < wanted) {
            return ofr_refuse(call, OFR_E_PARAMS, left, wanted);
        }
        at += wanted;
        left -= wanted;
    }
    return ofr_expect(call, OFR_E_PARAMS, left, 0);
}

/* Taps of one run of each pixel; what is no four goes by a copy, and writes the places of four. */
static void spread(const ofr_dsp_sparse_way *way, const int8_t *const from[OFR_DSP_TILE], uint32_t offset, uint32_t n,
                   uint32_t *taps) {
    for (uint32_t i = 0; i < OFR_DSP_TILE; i += 2) {
        const int8_t *a = from[i] + offset, *b = from[i + 1] + offset;
        uint32_t *to = taps + (way->taps == 1 ? i / 2 : i);
        if (n >= 4) {
            way->spread(a, b, to, n / 4);
        }
        if (n % 4 != 0) {
            int8_t last[2][4] = {{0}};
            memcpy(last[0], a + (n & ~3u), n % 4);
            memcpy(last[1], b + (n & ~3u), n % 4);
            way->spread(last[0], last[1], to + n / 4 * OFR_DSP_TILE_TAP, 1);
        }
    }
}

void ofr_dsp_sparse_conv(const ofr_call *call, const ofr_dsp_sparse_way *way) {
    const ofr_dsp_sparse_params *p = call->params;
    const ofr_dsp_conv_2d_params *g = geometry(call);
    const uint32_t direct = (uint32_t)is_direct(g), pixels = (uint32_t)p->out_rows * p->out_cols, run = run_taps(g);
    const uint32_t runs = p->dilation_w == 1 ? 1 : p->kernel_w, mask = ofr_dsp_place_mask(tap_bytes(g));
    const int8_t *in = (const int8_t *)call->in[0].data;
    int8_t *out = (int8_t *)call->out[0].data;
    uint32_t *taps = call->scratch, *entries = taps + (mask + 1 + OFR_DSP_BEHIND) / 4;
    band b = {.rows = (int8_t *)(uintptr_t)in, .bytes = (uint32_t)p->cols * p->in_c, .top = 0};
    if (!direct) {
        b = open_band(g, in, (int8_t *)entries, OFR_DSP_TILE);
        entries += (b.n * b.bytes + 3) / 4;
    }
    ofr_dsp_tile tile = {taps, mask & ~3u, out, {0}, p->out_c, p->linear, p, entries};
    for (uint32_t left = pixels; left != 0;) {
        const uint32_t count = left < OFR_DSP_TILE ? left : OFR_DSP_TILE;
        const uint32_t first = direct && p->backwards ? left - count : pixels - left;
        const int8_t *from[OFR_DSP_TILE];
        left -= count;
        if (!direct && first / p->out_cols * p->stride_h != b.top) {
            slide(&b, first / p->out_cols);
        }
        for (uint32_t i = 0; i < OFR_DSP_TILE; i++) {
            const uint32_t other = i < count ? i : 0, y = (first + other) / p->out_cols;
            const uint32_t x = first + other - y * p->out_cols;
            from[i] = b.rows + (y * p->stride_h - b.top) * b.bytes + x * p->stride_w * p->in_c;
            if (i != 0) {
                tile.distance[i - 1] = other * p->out_c;
            }
        }
        uint32_t *to = taps;
        for (uint32_t y = 0; y < p->kernel_h; y++) {
            for (uint32_t x = 0; x < runs; x++, to += run * (OFR_DSP_TILE_TAP / 4)) {
                spread(way, from, y * p->dilation_h * b.bytes + x * p->dilation_w * p->in_c, run, to);
            }
        }
        tile.out = out + first * p->out_c;
        way->multiply((const uint32_t *)(const void *)(p + 1), &tile);
    }
    ofr_dsp_clamp(out, pixels * p->out_c, p->act_min, p->act_max);
}

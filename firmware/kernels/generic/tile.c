/* What the kernels with compressed weights share: checks, and the taps of a tile of pixels. */
#ifdef __ARM_FEATURE_DSP
#pragma GCC optimize("Os") /* other sets serve nearly all layers there */
#endif

#include "tile.h"

#include "gather.h"

static uint32_t taps_of(const ofr_conv_2d_tile_params *p) {
    return ofr_times(ofr_times(p->kernel_h, p->kernel_w), p->in_c / p->groups);
}

/* 1x1 at stride 1: the input's pixels are their own taps. */
static int is_pointwise(const ofr_conv_2d_tile_params *p) {
    return p->kernel_h == 1 && p->kernel_w == 1 && p->stride_h == 1 && p->stride_w == 1 && p->groups == 1;
}

static uint32_t pixels_of(const ofr_conv_2d_tile_params *p) {
    return (uint32_t)p->out_rows * p->out_cols;
}

layer ofr_generic_open(const ofr_call *call, ofr_generic_scales scales) {
    const ofr_conv_2d_tile_params *p = call->params;
    layer l = {.p = p, .taps = taps_of(p), .reach = taps_of(p)};
    l.group_in = p->in_c / p->groups;
    l.group_out = (uint32_t)p->out_c / p->groups;
    l.bias = (const int32_t *)(const void *)(p + 1);
    l.scale = l.bias + p->out_c;
    l.weights = (const uint8_t *)(const void *)(l.scale + scales * (p->per_channel ? p->out_c : 1u));
    l.weight_bytes = call->params_bytes - (uint32_t)(l.weights - (const uint8_t *)call->params);
    return l;
}

static ofr_status check_geometry(const ofr_call *call) {
    const ofr_conv_2d_tile_params *p = call->params;
    if (p->groups == 0 || p->in_c == 0 || p->in_c % p->groups != 0 || p->out_c % p->groups != 0) {
        return ofr_refuse(call, OFR_E_VALUE, p->groups, p->in_c);
    }
    if (p->out_c == 0 || p->kernel_h == 0 || p->kernel_w == 0) { /* pixels without bytes could be any number */
        return ofr_refuse(call, OFR_E_VALUE, 0, 1);
    }
    if (p->per_channel > 1 || p->input_zero_point < -128 || p->input_zero_point > 127) {
        return ofr_refuse(call, OFR_E_VALUE, (uint32_t)p->input_zero_point, 127);
    }
    if (!ofr_window_is_sane(p->kernel_h, p->stride_h, p->dilation_h) ||
        !ofr_window_is_sane(p->kernel_w, p->stride_w, p->dilation_w)) {
        return ofr_refuse(call, OFR_E_VALUE, p->kernel_h, 4096);
    }
    if (is_pointwise(p) && (p->rows != p->out_rows || p->cols != p->out_cols || p->pad_top || p->pad_left)) {
        return ofr_refuse(call, OFR_E_SHAPE, p->out_rows, p->rows);
    }
    if (taps_of(p) > 65536) {
        return ofr_refuse(call, OFR_E_VALUE, taps_of(p), 65536); /* 2^16 products of 2^14 fit an int32 sum */
    }
    return OFR_OK;
}

ofr_status ofr_generic_check_layer(const ofr_call *call, ofr_generic_scales scales) {
    const ofr_conv_2d_tile_params *p = call->params;
    ofr_status status = check_geometry(call);
    if (status == OFR_OK && (call->in[0].dtype != OFR_S8 || call->out[0].dtype != OFR_S8)) {
        status = ofr_refuse(call, OFR_E_DTYPE, call->in[0].dtype, OFR_S8);
    }
    if (status == OFR_OK) {
        const uint32_t in = ofr_times(ofr_times(p->rows, p->cols), p->in_c);
        status = ofr_expect(call, OFR_E_SHAPE, call->in[0].bytes, in);
    }
    if (status == OFR_OK) {
        const uint32_t out = ofr_times(ofr_times(p->out_rows, p->out_cols), p->out_c);
        status = ofr_expect(call, OFR_E_SHAPE, call->out[0].bytes, out);
    }
    const uint32_t tables = (uint32_t)sizeof *p + 4u * (p->out_c + scales * (p->per_channel ? p->out_c : 1u));
    if (status == OFR_OK && call->params_bytes < tables) {
        status = ofr_refuse(call, OFR_E_PARAMS, call->params_bytes, tables);
    }
    return status;
}

ofr_status ofr_generic_check_sizes(const ofr_call *call, const layer *l, uint32_t weight_bytes) {
    const uint32_t scratch = (pixels_of(l->p) < TILE ? 1 : TILE) * l->reach; /* which is at most 2^16 */
    if (l->weight_bytes != weight_bytes) {
        return ofr_refuse(call, OFR_E_PARAMS, l->weight_bytes, weight_bytes);
    }
    if (call->scratch_bytes < scratch && !(is_pointwise(l->p) && l->reach == l->taps)) {
        return ofr_refuse(call, OFR_E_SCRATCH, call->scratch_bytes, scratch);
    }
    return OFR_OK;
}

const int8_t *ofr_generic_taps_of(const layer *l, const ofr_call *call, ofr_generic_tile t, uint32_t group,
                                  uint32_t *pitch) {
    const ofr_conv_2d_tile_params *p = l->p;
    const int8_t *in = (const int8_t *)call->in[0].data;
    const uint32_t bytes = call->in[0].bytes;
    if (is_pointwise(p) && bytes >= l->reach && (t.pixel + t.n - 1) * p->in_c <= bytes - l->reach) {
        *pitch = p->in_c;
        return in + t.pixel * p->in_c;
    }
    const ofr_taps taps = {in,          p->rows,       p->cols,       p->in_c,            p->kernel_h,
                           p->kernel_w, p->dilation_h, p->dilation_w, p->input_zero_point};
    int8_t *x = call->scratch;
    uint32_t row = t.row, col = t.col;
    for (uint32_t i = 0; i < t.n; i++, x += l->reach) {
        ofr_gather(&taps, (int32_t)(row * p->stride_h) - p->pad_top, (int32_t)(col * p->stride_w) - p->pad_left,
                   group * l->group_in, l->group_in, x);
        if (++col == p->out_cols) {
            col = 0;
            row++;
        }
    }
    *pitch = l->reach;
    return call->scratch;
}

void ofr_generic_clamp(const ofr_call *call) {
    const ofr_conv_2d_tile_params *p = call->params;
    ofr_clamp_s8((int8_t *)call->out[0].data, call->out[0].bytes, p->act_min, p->act_max);
}

void ofr_generic_write_any(const layer *l, const ofr_call *call, ofr_generic_tile t, uint32_t channel,
                           const uint32_t *sums) {
    const ofr_conv_2d_tile_params *p = l->p;
    const int32_t *scale = l->scale + ANY * channel * p->per_channel;
    int8_t *out = (int8_t *)call->out[0].data + t.pixel * p->out_c + channel;
    for (const uint32_t *end = sums + t.n; sums != end; sums++, out += p->out_c) {
        const int32_t acc = (int32_t)(*sums + (uint32_t)l->bias[channel]);
        const int32_t scaled = ofr_requantize(acc, scale[0], scale[1]);
        *out = (int8_t)ofr_clamp(ofr_wrap_add(scaled, p->output_zero_point), p->act_min, p->act_max);
    }
}

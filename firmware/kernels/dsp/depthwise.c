/* Depthwise convolution of 3x3 windows: geometry, planes of four channels, bands of lines. */
/* The time goes into multiply.S and its like: what is left is compiled for size. */
#pragma GCC optimize("Os")

#include "depthwise.h"

enum { TAPS = 3, QUAD = 4 };

/* One direction of the image; distances in bytes between neighbours. */
typedef struct axis {
    uint32_t length, out, stride, pad, in_step, out_step;
} axis;

typedef struct layer {
    const ofr_dsp_depthwise_params *p;
    axis along, across; /* along the lines, and from line to line */
    uint32_t words;     /* of a plane's line */
    uint32_t plane;     /* words of a band of one channel */
    uint32_t before;    /* words of a line in front of the input */
    ofr_dsp_pixels pixels;
    ofr_dsp_lines lines;
    ofr_dsp_lines_run *run;
    const uint32_t *blocks;
    uint32_t block_words; /* of a channel */
} layer;

/* Words of a plane's line of `out` outputs, and of a plane of `band` output lines. */
static inline uint32_t line_words(uint32_t out, uint32_t stride) {
    return (out + 1) / 2 * stride + 1;
}

static inline uint32_t plane_words(uint32_t band, uint32_t stride, uint32_t words) {
    return ofr_times((band - 1) * stride + TAPS, words);
}

/* The geometry; the rest is left as it is. */
static void open_layer(layer *l, const ofr_dsp_depthwise_params *p) {
    axis *const rows = p->transposed ? &l->along : &l->across, *const cols = p->transposed ? &l->across : &l->along;
    const uint32_t c = p->channels;
    *rows = (axis){p->rows, p->out_rows, p->stride_h, p->pad_top, p->cols * c, p->out_cols * c};
    *cols = (axis){p->cols, p->out_cols, p->stride_w, p->pad_left, c, c};
    l->p = p;
    l->words = line_words(l->along.out, l->along.stride);
    l->plane = plane_words(p->band, l->across.stride, l->words);
}

/* How the pixels of a line fall into words. */
static void place_pixels(layer *l) {
    l->before = l->along.pad / 2 < l->words ? l->along.pad / 2 : l->words;
    const uint32_t room = l->words - l->before, length = l->along.length;
    l->pixels.step = l->along.in_step;
    l->pixels.plane_words = l->plane;
    l->pixels.zero = ((uint32_t)l->p->input_zero_point & 255u) * 0x01010101u;
    l->pixels.head = room != 0 && length != 0 && l->along.pad % 2 != 0;
    const uint32_t pairs = (length - l->pixels.head) / 2, pair_room = room - l->pixels.head;
    l->pixels.pairs = pairs < pair_room ? pairs : pair_room;
    l->pixels.tail = (length - l->pixels.head) % 2 != 0 && pairs < pair_room;
}

ofr_status ofr_dsp_check_depthwise(const ofr_call *call, uint32_t words) {
    const ofr_dsp_depthwise_params *p = call->params;
    const uint32_t c = p->channels, out_rows = p->out_rows, out_cols = p->out_cols, band = p->band;
    uint32_t stride = p->stride_h, line = line_words(out_cols, p->stride_w), lines = out_rows; /* not transposed */
    if (p->stride_h == 0 || p->stride_w == 0 || p->stride_h > 2 || p->stride_w > 2) {
        return ofr_refuse(call, OFR_E_VALUE, p->stride_w, 2);
    }
    if (p->transposed) {
        stride = p->stride_w;
        line = line_words(out_rows, p->stride_h);
        lines = out_cols;
        if (p->transposed != 1 || p->buffered || band != lines) {
            return ofr_refuse(call, OFR_E_VALUE, band, lines);
        }
    }
    if (band - 1 >= lines) {
        return ofr_refuse(call, OFR_E_VALUE, band, lines);
    }
    ofr_status status = ofr_dsp_check_operands(call, ofr_dsp_volume(p->rows, p->cols, c),
                                               ofr_dsp_volume(p->out_rows, p->out_cols, c));
    if (status == OFR_OK) {
        status = ofr_expect(call, OFR_E_PARAMS, call->params_bytes, sizeof *p + c * (4u * words));
    }
    const uint32_t buffer = p->buffered ? ofr_times(band, out_cols * c) : 0;
    const uint32_t planes = plane_words(band, stride, 4 * QUAD * line); /* bytes of four */
    return status != OFR_OK ? status : ofr_dsp_check_scratch(call, ofr_plus(planes, buffer));
}

/* n words of four planes: padding. */
static void fill_zero(const layer *l, uint32_t *planes, uint32_t n) {
    const uint32_t zero = ((uint32_t)l->p->input_zero_point & 0xffffu) * 0x00010001u;
    for (uint32_t *end = planes + n; planes != end; planes++) {
        planes[0] = zero;
        planes[l->plane] = zero;
        planes[2 * l->plane] = zero;
        planes[3 * l->plane] = zero;
    }
}

/* A line of the last 1 to 3 channels, so that nothing behind the input is read. */
static void fill_part(const layer *l, const int8_t *in, uint32_t n, uint32_t *planes) {
    for (uint32_t c = 0; c < n; c++, in++) {
        int16_t *line = (int16_t *)(void *)(planes + c * l->plane);
        for (uint32_t x = 0; x < l->along.length && x + l->along.pad < 2 * l->words; x++) {
            line[x + l->along.pad] = in[x * l->along.in_step];
        }
    }
}

/* The lines that output lines from `first` on need; `keep`: those shared with the band before are still there. What
 * stands in front of the input and behind it in a line is not touched: padding from the start. */
static void fill_band(layer *l, const int8_t *in, uint32_t *planes, uint32_t first, int keep) {
    const uint32_t count = (l->lines.lines - 1) * l->across.stride + TAPS, n = l->lines.channels;
    const uint32_t shared = keep ? TAPS - l->across.stride : 0, moved = l->p->band * l->across.stride * l->words;
    for (uint32_t plane = 0; plane < n; plane++) {
        uint32_t *to = planes + plane * l->plane;
        for (uint32_t i = 0; i < shared; i++, to += l->words) {
            memcpy(to, to + moved, 4 * l->words);
        }
    }
    uint32_t y = first * l->across.stride + shared - l->across.pad; /* wraps in front of the input */
    planes += shared * l->words;
    for (uint32_t i = shared; i < count; i++, y++, planes += l->words) {
        const int8_t *line = in + y * l->across.in_step;
        if (y >= l->across.length) {
            fill_zero(l, planes, l->words);
        } else if (n == QUAD) {
            l->pixels.in = line;
            l->pixels.planes = planes + l->before;
            ofr_dsp_planar(&l->pixels);
        } else {
            fill_part(l, line, n, planes);
        }
    }
}

/* Channels [c, c + 4), as far as there are, of a band of output lines from `first` on, to `out` for the first line. */
static void band(layer *l, const ofr_call *call, uint32_t c, uint32_t first, int keep, int8_t *out) {
    const uint32_t channels = l->p->channels - c, lines = l->across.out - first;
    l->lines.out = out + c;
    l->lines.lines = lines < l->p->band ? lines : l->p->band;
    l->lines.channels = channels < QUAD ? channels : QUAD;
    fill_band(l, (const int8_t *)call->in[0].data + c, call->scratch, first, keep);
    l->run(&l->lines, l->blocks + c * l->block_words);
}

void ofr_dsp_depthwise(const ofr_call *call, uint32_t words, ofr_dsp_lines_run *s1, ofr_dsp_lines_run *s2) {
    const ofr_dsp_depthwise_params *p = call->params;
    layer l;
    open_layer(&l, p);
    place_pixels(&l);
    l.run = l.along.stride == 1 ? s1 : s2;
    l.blocks = (const uint32_t *)(const void *)(p + 1);
    l.block_words = words;
    l.lines = (ofr_dsp_lines){.in = call->scratch,
                              .pitch = 4 * l.words,
                              .next = 4 * l.words * l.across.stride,
                              .step = l.along.out_step,
                              .line_step = l.across.out_step,
                              .outputs = l.along.out,
                              .plane = 4 * l.plane};
    fill_zero(&l, call->scratch, l.plane);
    int8_t *out = (int8_t *)call->out[0].data;
    if (p->buffered) { /* lines leave when all their channels are there */
        int8_t *buffer = (int8_t *)call->scratch + l.plane * 4 * QUAD;
        for (uint32_t y = 0; y < l.across.out; y += p->band) {
            for (uint32_t c = 0; c < p->channels; c += QUAD) {
                band(&l, call, c, y, 0, buffer);
            }
            memcpy(out + y * l.across.out_step, buffer, l.lines.lines * l.across.out_step);
        }
    } else {
        for (uint32_t c = 0; c < p->channels; c += QUAD) {
            for (uint32_t y = 0; y < l.across.out; y += p->band) {
                band(&l, call, c, y, y != 0, out + y * l.across.out_step);
            }
        }
    }
    ofr_dsp_clamp(out, call->out[0].bytes, p->act_min, p->act_max);
}

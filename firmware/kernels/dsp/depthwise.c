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
} layer;

static layer open_layer(const ofr_dsp_depthwise_params *p) {
    const axis rows = {p->rows,
                       p->out_rows,
                       p->stride_h,
                       p->pad_top,
                       (uint32_t)p->cols * p->channels,
                       (uint32_t)p->out_cols * p->channels};
    const axis cols = {p->cols, p->out_cols, p->stride_w, p->pad_left, p->channels, p->channels};
    layer l = {.p = p, .along = p->transposed ? rows : cols, .across = p->transposed ? cols : rows};
    l.words = (l.along.out + 1u) / 2u * l.along.stride + 1u;
    l.plane = ofr_times(ofr_times(p->band - 1u, l.across.stride) + TAPS, l.words);
    return l;
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

ofr_status ofr_dsp_check_depthwise(const ofr_call *call) {
    const ofr_dsp_depthwise_params *p = call->params;
    if (p->channels == 0 || p->out_rows == 0 || p->out_cols == 0 || p->transposed > 1 || p->band == 0) {
        return ofr_refuse(call, OFR_E_VALUE, 0, 1);
    }
    if (p->stride_h == 0 || p->stride_w == 0 || p->stride_h > 2 || p->stride_w > 2) {
        return ofr_refuse(call, OFR_E_VALUE, p->stride_w, 2);
    }
    const layer l = open_layer(p);
    if (p->band > l.across.out || (p->transposed && (p->buffered || p->band != l.across.out))) {
        return ofr_refuse(call, OFR_E_VALUE, p->band, l.across.out);
    }
    ofr_status status = ofr_dsp_check_operands(call, ofr_dsp_volume(p->rows, p->cols, p->channels),
                                               ofr_dsp_volume(p->out_rows, p->out_cols, p->channels));
    if (status == OFR_OK) {
        const uint32_t blocks = p->channels * (4u * OFR_DSP_DEPTHWISE_WORDS);
        status = ofr_expect(call, OFR_E_PARAMS, call->params_bytes, sizeof *p + blocks);
    }
    const uint32_t buffer = p->buffered ? ofr_times(p->band, l.across.out_step) : 0;
    return status != OFR_OK ? status : ofr_dsp_check_scratch(call, ofr_plus(ofr_times(l.plane, 4 * QUAD), buffer));
}

/* Words [first, last) of a line of four planes: padding. */
static void fill_zero(const layer *l, uint32_t *planes, uint32_t first, uint32_t last) {
    const uint32_t zero = ((uint32_t)l->p->input_zero_point & 0xffffu) * 0x00010001u;
    for (uint32_t *end = planes + last, *at = planes + first; at < end; at++) {
        at[0] = zero;
        at[l->plane] = zero;
        at[2 * l->plane] = zero;
        at[3 * l->plane] = zero;
    }
}

/* One line of four channels; NULL: a line of padding. */
static void fill_line(const layer *l, const int8_t *in, uint32_t *planes) {
    if (in == NULL) {
        fill_zero(l, planes, 0, l->words);
        return;
    }
    ofr_dsp_pixels pixels = l->pixels;
    pixels.in = in;
    pixels.planes = planes + l->before;
    ofr_dsp_planar(&pixels);
    fill_zero(l, planes, 0, l->before);
    fill_zero(l, planes, l->before + pixels.head + pixels.pairs + pixels.tail, l->words);
}

/* The same for the last 1 to 3 channels, so that nothing behind the input is read. */
static void fill_part(const layer *l, const int8_t *in, uint32_t n, uint32_t *planes) {
    fill_zero(l, planes, 0, l->words);
    for (uint32_t c = 0; c < n && in != NULL; c++, in++) {
        int16_t *line = (int16_t *)(void *)(planes + c * l->plane);
        for (uint32_t x = 0; x < l->along.length && x + l->along.pad < 2 * l->words; x++) {
            line[x + l->along.pad] = in[x * l->along.in_step];
        }
    }
}

/* The lines that output lines from `first` on need; `keep`: those shared with the band before are still there. */
static void fill_band(const layer *l, const int8_t *in, uint32_t n, uint32_t *planes, uint32_t first, uint32_t lines,
                      int keep) {
    const uint32_t count = (lines - 1) * l->across.stride + TAPS, shared = keep ? TAPS - l->across.stride : 0;
    const uint32_t moved = l->p->band * l->across.stride * l->words;
    for (uint32_t plane = 0; plane < QUAD && shared != 0; plane++) {
        uint32_t *to = planes + plane * l->plane;
        for (uint32_t i = 0; i < shared * l->words; i++) {
            to[i] = to[i + moved];
        }
    }
    for (uint32_t i = shared; i < count; i++) {
        const uint32_t y = first * l->across.stride + i - l->across.pad; /* wraps in front of the input */
        const int8_t *line = y < l->across.length ? in + y * l->across.in_step : NULL;
        if (n == QUAD) {
            fill_line(l, line, planes + i * l->words);
        } else {
            fill_part(l, line, n, planes + i * l->words);
        }
    }
}

/* Channels [c, c + 4), as far as there are, of output lines [first, first + lines), to `out` for the first line. */
static void band(const layer *l, const ofr_call *call, uint32_t c, uint32_t first, uint32_t lines, int keep,
                 int8_t *out, ofr_dsp_lines_run *run) {
    const ofr_dsp_depthwise_params *p = l->p;
    const uint32_t n = p->channels - c < QUAD ? p->channels - c : QUAD;
    const uint32_t *blocks = (const uint32_t *)(const void *)(p + 1);
    uint32_t *planes = call->scratch;
    fill_band(l, (const int8_t *)call->in[0].data + c, n, planes, first, lines, keep);
    const ofr_dsp_lines job = {planes,
                               4 * l->words,
                               4 * l->words * l->across.stride,
                               out + c,
                               l->along.out_step,
                               l->across.out_step,
                               l->along.out,
                               lines,
                               4 * l->plane,
                               n};
    run(&job, blocks + c * OFR_DSP_DEPTHWISE_WORDS);
}

void ofr_dsp_depthwise(const ofr_call *call, ofr_dsp_lines_run *s1, ofr_dsp_lines_run *s2) {
    const ofr_dsp_depthwise_params *p = call->params;
    layer l = open_layer(p);
    place_pixels(&l);
    ofr_dsp_lines_run *run = l.along.stride == 1 ? s1 : s2;
    int8_t *out = (int8_t *)call->out[0].data;
    if (p->buffered) { /* lines leave when all their channels are there */
        int8_t *buffer = (int8_t *)call->scratch + l.plane * 4 * QUAD;
        for (uint32_t y = 0; y < l.across.out; y += p->band) {
            const uint32_t left = l.across.out - y, lines = left < p->band ? left : p->band;
            for (uint32_t c = 0; c < p->channels; c += QUAD) {
                band(&l, call, c, y, lines, 0, buffer, run);
            }
            memcpy(out + y * l.across.out_step, buffer, lines * l.across.out_step);
        }
    } else {
        for (uint32_t c = 0; c < p->channels; c += QUAD) {
            for (uint32_t y = 0; y < l.across.out; y += p->band) {
                const uint32_t left = l.across.out - y, lines = left < p->band ? left : p->band;
                band(&l, call, c, y, lines, y != 0, out + y * l.across.out_step, run);
            }
        }
    }
    ofr_dsp_clamp(out, call->out[0].bytes, p->act_min, p->act_max);
}

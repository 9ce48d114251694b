/* 3x3 convolution at stride 1, int8, by Winograd's transform: three tiles of four outputs by two channels at a time. */
/* The time goes into winograd.S: what is left is compiled for size. */
#pragma GCC optimize("Os")

#include "winograd.h"

enum { RING = 4, COLUMNS = 4, TILES = 3, SUMS = 6 };

typedef struct layer {
    const ofr_dsp_winograd_params *p;
    const int8_t *in;
    int8_t *ring;
    uint32_t tile_cols, tiles;
    uint32_t blocks, quads; /* of channels: equal blocks, each of so many */
    uint32_t pixel, row;    /* bytes in the ring */
    uint32_t column;        /* words of a transformed column */
    uint32_t plane;         /* bytes */
    uint32_t next;          /* first row not yet read, counted from the upper padding */
} layer;

static layer open_layer(const ofr_dsp_winograd_params *p) {
    layer l = {.p = p, .tile_cols = (p->out_cols + 1u) / 2u};
    l.tiles = l.tile_cols * ((p->out_rows + 1u) / 2u);
    const uint32_t quads = (p->in_c + 3u) / 4u;
    l.blocks = (quads + OFR_DSP_MOST_QUADS - 1) / OFR_DSP_MOST_QUADS;
    l.quads = l.blocks == 0 ? 0 : (quads + l.blocks - 1) / l.blocks;
    l.pixel = 4 * l.quads * l.blocks;
    l.row = ofr_times(2 * l.tile_cols + 2, l.pixel);
    l.column = 2 * l.pixel;
    l.plane = 4 * (2 * TILES * l.quads + SUMS);
    return l;
}

static ofr_status check(const ofr_call *call) {
    const ofr_dsp_winograd_params *p = call->params;
    if (p->in_c == 0 || p->in_c > 4096 || p->out_c == 0 || p->out_c % 2 != 0 || p->out_rows == 0 || p->out_cols == 0) {
        return ofr_refuse(call, OFR_E_VALUE, p->in_c, 4096);
    }
    const layer l = open_layer(p);
    ofr_status status = ofr_dsp_check_operands(call, ofr_dsp_volume(p->rows, p->cols, p->in_c),
                                               ofr_dsp_volume(p->out_rows, p->out_cols, p->out_c));
    const uint32_t planes = OFR_DSP_PLANES * l.blocks;
    if (status == OFR_OK) {
        const uint32_t tail_words = p->linear ? OFR_DSP_LINEAR_TAIL_WORDS : OFR_DSP_TAIL_WORDS;
        const uint32_t pair_bytes = 4u * (planes * 4u * l.quads + tail_words), pairs = p->out_c / 2u;
        status = ofr_expect(call, OFR_E_PARAMS, call->params_bytes, ofr_plus(sizeof *p, ofr_times(pairs, pair_bytes)));
    }
    const uint32_t columns = 4 * COLUMNS * l.column;
    return status != OFR_OK ? status
                            : ofr_dsp_check_scratch(call, ofr_plus(ofr_times(RING, l.row), columns + planes * l.plane));
}

/* Reads rows on until the patches of tile row y are there, and goes to the first. */
static void advance(layer *l, ofr_dsp_rows *rows, uint32_t y) {
    const ofr_dsp_winograd_params *p = l->p;
    const uint32_t span = l->row / l->pixel, left = p->pad_left < span ? p->pad_left : span;
    const uint32_t cols = p->cols < span - left ? p->cols : span - left;
    for (; l->next < 2 * y + RING; l->next++) {
        int8_t *to = l->ring + l->next % RING * l->row + left * l->pixel;
        const uint32_t inside = l->next - p->pad_top; /* wraps above the input */
        if (inside >= p->rows) {
            memset(to, p->input_zero_point, cols * l->pixel);
            continue;
        }
        const int8_t *from = l->in + inside * p->cols * p->in_c;
        if (l->pixel == p->in_c) {
            memcpy(to, from, cols * l->pixel);
            continue;
        }
        for (uint32_t x = 0; x < cols; x++) {
            memcpy(to + x * l->pixel, from + x * p->in_c, p->in_c);
        }
    }
    for (uint32_t i = 0; i < RING; i++) {
        rows->row[i] = l->ring + (2 * y + i) % RING * l->row;
    }
}

/* Transforms two further columns, and four, the first of them at `left`, to one of three places. */
static void place(const layer *l, ofr_dsp_rows *rows, uint32_t *left, uint32_t *right, uint32_t *planes) {
    ofr_dsp_winograd_columns(rows, right, right + 2 * l->column);
    ofr_dsp_patch patch = {{left, left + l->column, right, right + l->column}, planes, l->plane, l->quads};
    for (uint32_t b = 0; b < l->blocks; b++, patch.out += OFR_DSP_PLANES * (l->plane / 4)) {
        ofr_dsp_winograd_patch(&patch);
    }
}

static void add_blocks(const ofr_dsp_winograd *w) {
    for (uint32_t i = 0; i < OFR_DSP_PLANES; i++) {
        uint32_t *sums = w->sums + i * (w->plane / 4);
        for (uint32_t b = 1; b < w->blocks; b++) {
            for (uint32_t k = 0; k < SUMS; k++) {
                sums[k] += sums[b * (OFR_DSP_PLANES * w->plane / 4) + k];
            }
        }
    }
}

static void run(const ofr_call *call) {
    const ofr_dsp_winograd_params *p = call->params;
    layer l = open_layer(p);
    l.in = (const int8_t *)call->in[0].data;
    l.ring = call->scratch;
    memset(l.ring, p->input_zero_point, RING * l.row); /* the padding on the left and right stays */
    uint32_t *columns = (uint32_t *)(void *)(l.ring + RING * l.row), *planes = columns + COLUMNS * l.column;
    int8_t *out = (int8_t *)call->out[0].data;
    ofr_dsp_tile tiles[TILES];
    ofr_dsp_winograd w = {planes,
                          planes + 2 * TILES * l.quads,
                          l.plane,
                          planes + OFR_DSP_PLANES * l.blocks * (l.plane / 4),
                          2 * l.quads,
                          tiles,
                          l.blocks > 1 ? add_blocks : NULL,
                          p->linear,
                          l.blocks};
    ofr_dsp_rows rows;
    const uint32_t out_row = (uint32_t)p->out_cols * p->out_c;
    ofr_dsp_tile tile = {.out = out};
    uint32_t slot = TILES, x = l.tile_cols, y = 0;
    for (uint32_t left = l.tiles; left != 0; left--) {
        if (x == l.tile_cols) {
            x = 0;
            advance(&l, &rows, y);
            ofr_dsp_winograd_columns(&rows, columns, columns + 2 * l.column);
            tile.row = 2 * y + 1 < p->out_rows ? out_row : 0;
            tile.out = out + 2 * y++ * out_row;
        }
        uint32_t *const half[2] = {columns, columns + 2 * l.column};
        place(&l, &rows, half[x % 2], half[(x + 1) % 2], planes + --slot);
        x++;
        tile.column = 2 * x <= p->out_cols ? p->out_c : 0;
        tile.both = tile.row + tile.column;
        tiles[slot] = tile;
        tile.out += 2 * tile.column;
        if (slot != 0 && left != 1) {
            continue;
        }
        while (slot != 0) {
            tiles[--slot] = tiles[TILES - 1]; /* which is written last */
        }
        (void)ofr_dsp_winograd_channels((const uint32_t *)(const void *)(p + 1), &w, p->out_c / 2u);
        slot = TILES;
    }
    ofr_dsp_clamp(out, call->out[0].bytes, p->act_min, p->act_max);
}

const ofr_kernel ofr_kernel_dsp_winograd_conv_2d = {
    OFR_KERNEL_DSP_WINOGRAD_CONV_2D,
    OFR_PACKING_DSP_WINOGRAD_CONV_2D,
    sizeof(ofr_dsp_winograd_params),
    1,
    1,
    OFR_SAME_START(0),
    check,
    run,
};

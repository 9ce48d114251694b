/* Images: crop, bilinear resize, grey, quantized by a table; bit-exact to toolkit/offramp/features/image.py. */
#include "feature.h"

enum { ONE = 256 };

/* The tables behind the struct, in their order. */
typedef struct tables {
    const uint16_t *columns;
    const uint8_t *column_fractions;
    const uint16_t *lines;
    const uint8_t *line_fractions;
    const int8_t *values;
} tables;

/* Memory: this, then two lines of the crop, each padded to 4 bytes. */
typedef struct place {
    uint32_t x, y; /* of the next pixel */
    uint32_t lines; /* of the crop that are whole */
    uint32_t row; /* the next to be made */
} place;

static uint32_t line_bytes(const ofr_image_params *p) {
    return ((uint32_t)p->crop_width * p->channels + 3u) & ~3u;
}

static const uint8_t *tables_of(const ofr_image_params *p, tables *t) {
    const uint8_t *at = (const uint8_t *)(p + 1);
    t->columns = ofr_table(&at, 2u * p->out_width);
    t->column_fractions = ofr_table(&at, p->out_width);
    t->lines = ofr_table(&at, 2u * p->out_height);
    t->line_fractions = ofr_table(&at, p->out_height);
    t->values = ofr_table(&at, 256);
    return at;
}

static bool sizes_are_sane(const ofr_image_params *p) {
    return p->crop_width != 0 && p->crop_height != 0 && p->crop_x + p->crop_width <= p->width &&
           p->crop_y + p->crop_height <= p->height && p->element_bytes <= 3 && (p->channels == 1 || p->channels == 3) &&
           p->row_bytes == (uint32_t)p->out_width * p->channels;
}

static ofr_status check(const void *params, uint32_t bytes, uint32_t *memory) {
    const ofr_image_params *p = params;
    tables t;
    if (bytes < sizeof *p || !sizes_are_sane(p) || (uint32_t)(tables_of(p, &t) - (const uint8_t *)p) != bytes) {
        return OFR_E_FRONT_END;
    }
    for (uint32_t i = 0; i < p->out_width; i++) {
        if (t.columns[i] >= p->crop_width) {
            return OFR_E_FRONT_END;
        }
    }
    *memory = (uint32_t)sizeof(place) + 2 * line_bytes(p);
    return OFR_OK;
}

/* Red, green and blue of a pixel. */
static void to_rgb(const uint8_t *pixel, uint32_t bytes, uint8_t rgb[3]) {
    if (bytes == 2) {
        const uint32_t v = pixel[0] | (uint32_t)pixel[1] << 8, red = v >> 11, green = v >> 5 & 63, blue = v & 31;
        rgb[0] = (uint8_t)(red << 3 | red >> 2);
        rgb[1] = (uint8_t)(green << 2 | green >> 4);
        rgb[2] = (uint8_t)(blue << 3 | blue >> 2);
        return;
    }
    for (uint32_t i = 0; i < 3; i++) {
        rgb[i] = pixel[bytes == 3 ? i : 0];
    }
}

static void store(const ofr_image_params *p, const uint8_t *pixel, uint8_t *to) {
    uint8_t rgb[3];
    to_rgb(pixel, p->element_bytes, rgb);
    if (p->channels == 3) {
        memcpy(to, rgb, 3);
    } else {
        *to = p->element_bytes == 1 ? rgb[0] : (uint8_t)((77u * rgb[0] + 150u * rgb[1] + 29u * rgb[2] + 128u) >> 8);
    }
}

static void take_pixel(const ofr_image_params *p, place *at, uint8_t *lines, const uint8_t *pixel) {
    if (at->y == p->height) {
        *at = (place){0, 0, 0, 0};
    }
    const uint32_t x = at->x - p->crop_x, y = at->y - p->crop_y; /* outside the crop: large */
    if (x < p->crop_width && y < p->crop_height) {
        store(p, pixel, lines + (y & 1) * line_bytes(p) + x * p->channels);
        at->lines += x + 1 == p->crop_width;
    }
    if (++at->x == p->width) {
        at->x = 0;
        at->y++;
    }
}

static void make_row(const ofr_image_params *p, const tables *t, const uint8_t *lines, uint32_t row, int8_t *out) {
    const uint32_t line = t->lines[row], fy = t->line_fractions[row];
    const uint8_t *upper = lines + (line & 1) * line_bytes(p), *lower = lines + ((line + (fy != 0)) & 1) * line_bytes(p);
    for (uint32_t i = 0; i < p->out_width; i++) {
        const uint32_t left = t->columns[i], fx = t->column_fractions[i];
        const uint32_t right = left + 1 < p->crop_width ? left + 1 : left;
        for (uint32_t c = 0; c < p->channels; c++) {
            const uint32_t l = left * p->channels + c, r = right * p->channels + c;
            const uint32_t above = upper[l] * (ONE - fx) + upper[r] * fx, below = lower[l] * (ONE - fx) + lower[r] * fx;
            *out++ = t->values[(above * (ONE - fy) + below * fy + ONE * ONE / 2) >> 16];
        }
    }
}

static uint32_t feed(const void *params, uint8_t *memory, const uint8_t *raw, uint32_t n, int8_t *row, bool *ready) {
    const ofr_image_params *p = params;
    place *at = (place *)(void *)memory;
    uint8_t *lines = memory + sizeof *at;
    tables t;
    tables_of(p, &t);
    for (uint32_t taken = 0;; taken++) {
        if (at->row < p->out_height && at->lines > t.lines[at->row] + (t.line_fractions[at->row] != 0 ? 1u : 0u)) {
            make_row(p, &t, lines, at->row++, row);
            *ready = true;
            return taken;
        }
        if (taken == n) {
            return taken;
        }
        take_pixel(p, at, lines, raw + taken * p->element_bytes);
    }
}

const ofr_feature_kind ofr_feature_image = {OFR_FEATURE_IMAGE, check, feed};

/* MFCC: cosine transform of the logarithms of mel magnitudes; bit-exact to toolkit/offramp/features/mfcc.py. */
#include "feature.h"
#include "frame.h"
#include "transform.h"

enum { WEIGHT_BITS = 15, COEFFICIENT_BITS = 16, SEGMENTS = 128 };

/* The tables behind the struct, in their order. */
typedef struct tables {
    const int16_t *window;
    const int32_t *cosines;
    const uint16_t *starts; /* first bin of each band, and the end */
    const uint16_t *falling;
    const uint16_t *logarithms;
    const int16_t *transform; /* [coefficients][mels] */
} tables;

/* Memory: uint32_t filled, int16_t frame[window], int32_t spectrum[points][2], int32_t logarithms[mels]. */
typedef struct places {
    uint32_t *filled;
    int16_t *frame;
    int32_t *spectrum, *logarithms;
} places;

static places places_in(const ofr_mfcc_params *p, uint8_t *memory) {
    uint32_t *words = (uint32_t *)(void *)memory;
    places at;
    at.filled = words;
    at.frame = (int16_t *)(void *)(words + 1);
    at.spectrum = (int32_t *)(void *)(words + 1 + p->window / 2);
    at.logarithms = at.spectrum + 2u * p->points;
    return at;
}

/* Where the tables lie, and where they end. */
static const uint8_t *tables_of(const ofr_mfcc_params *p, tables *t) {
    const uint8_t *at = (const uint8_t *)(p + 1);
    t->window = ofr_table(&at, 2u * p->window);
    t->cosines = ofr_table(&at, 8u * p->points);
    t->starts = ofr_table(&at, 2u * (p->mels + 2u));
    t->falling = ofr_table(&at, 2u * p->bins);
    t->logarithms = ofr_table(&at, 2 * (SEGMENTS + 1));
    t->transform = ofr_table(&at, 2u * p->mels * p->coefficients);
    return at;
}

static ofr_status check(const void *params, uint32_t bytes, uint32_t *memory) {
    const ofr_mfcc_params *p = params;
    tables t;
    if (bytes < sizeof *p || p->element_bytes != 2 || p->row_bytes != p->coefficients ||
        !ofr_frame_is_sane(p->window, p->step) || p->points < 4 || p->points > 4096 ||
        (p->points & (p->points - 1)) != 0 || p->window > 2u * p->points || p->mels > 256 || p->coefficients > 256) {
        return OFR_E_FRONT_END;
    }
    if ((uint32_t)(tables_of(p, &t) - (const uint8_t *)p) != bytes ||
        !ofr_bands_are_sane(t.starts, p->mels, p->points, p->bins)) {
        return OFR_E_FRONT_END;
    }
    *memory = 4u + 2u * p->window + 8u * p->points + 4u * p->mels;
    return OFR_OK;
}

/* The frame under its window. */
static void shape(const ofr_mfcc_params *p, const tables *t, const places *at) {
    for (uint32_t i = 0; i < p->window; i++) {
        at->spectrum[i] = at->frame[i] * t->window[i];
    }
    memset(at->spectrum + p->window, 0, 4u * (2u * p->points - p->window));
}

/* The root of the leading 31 or 32 bits, cut off. */
static uint32_t square_root(uint64_t x) {
    const uint32_t bits = ofr_bits_of_wide(x), shift = bits > 31 ? (bits - 31) / 2 : 0;
    uint32_t rest = (uint32_t)(x >> (2 * shift)), root = 0;
    for (uint32_t bit = 1u << 30; bit != 0; bit >>= 2) {
        if (rest >= root + bit) {
            rest -= root + bit;
            root = (root >> 1) + bit;
        } else {
            root >>= 1;
        }
    }
    return root << shift;
}

/* Each bin's magnitude in place of its complex number's real part. */
static void to_magnitudes(const ofr_mfcc_params *p, const tables *t, int32_t *spectrum) {
    for (uint32_t i = t->starts[0]; i < t->starts[p->mels + 1u]; i++) {
        const int64_t re = spectrum[2 * i], im = spectrum[2 * i + 1];
        const uint32_t root = square_root((uint64_t)(re * re) + (uint64_t)(im * im));
        memcpy(spectrum + 2 * i, &root, sizeof root);
    }
}

/* log2(x) times 2^16; x is not 0. */
static int32_t log2_s32(const uint16_t *table, uint64_t x) {
    const uint32_t whole = ofr_bits_of_wide(x | 1) - 1;
    const uint64_t behind = x & (((uint64_t)1 << whole) - 1);
    const uint32_t fraction = (uint32_t)(whole >= 16 ? behind >> (whole - 16) : behind << (16 - whole));
    const uint32_t segment = fraction >> 9;
    const int32_t step = table[segment + 1] - table[segment];
    const int32_t inside = (step * (int32_t)(fraction & 511)) >> 9;
    return (int32_t)(whole << 16) + (int32_t)fraction + table[segment] + inside;
}

static int32_t logarithm_of(const ofr_mfcc_params *p, const tables *t, const int32_t *spectrum, uint32_t mel) {
    uint64_t sum = p->epsilon;
    for (uint32_t i = t->starts[mel]; i < t->starts[mel + 2]; i++) {
        const uint32_t falling = t->falling[i - t->starts[0]];
        const uint32_t weight = i < t->starts[mel + 1] ? (1u << WEIGHT_BITS) - falling : falling;
        sum += (uint64_t)(uint32_t)spectrum[2 * i] * (weight & 0xFFFFu);
    }
    return (int32_t)((uint32_t)log2_s32(t->logarithms, sum) - (uint32_t)p->offset);
}

static void make_row(const ofr_mfcc_params *p, const places *at, int8_t *row) {
    tables t;
    tables_of(p, &t);
    shape(p, &t, at);
    ofr_real_fft_s32(at->spectrum, p->points, t.cosines);
    to_magnitudes(p, &t, at->spectrum);
    for (uint32_t m = 0; m < p->mels; m++) {
        at->logarithms[m] = logarithm_of(p, &t, at->spectrum, m);
    }
    for (uint32_t c = 0; c < p->coefficients; c++) {
        int64_t sum = 1 << (COEFFICIENT_BITS - 1);
        for (uint32_t m = 0; m < p->mels; m++) {
            sum += (int64_t)at->logarithms[m] * t.transform[c * p->mels + m];
        }
        row[c] = ofr_quantized((int32_t)(sum >> COEFFICIENT_BITS), p->multiplier, p->shift, p->zero_point);
    }
}

static uint32_t feed(const void *params, uint8_t *memory, const uint8_t *raw, uint32_t n, int8_t *row, bool *ready) {
    const ofr_mfcc_params *p = params;
    const places at = places_in(p, memory);
    const uint32_t taken = ofr_frame_fill(at.frame, at.filled, p->window, raw, n);
    if (*at.filled == p->window) {
        make_row(p, &at, row);
        ofr_frame_move(at.frame, at.filled, p->window, p->step);
        *ready = true;
    }
    return taken;
}

const ofr_feature_kind ofr_feature_mfcc = {OFR_FEATURE_MFCC, check, feed};

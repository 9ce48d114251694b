/* The micro frontend: log-mel features less noise, with gain control; bit-exact to toolkit/offramp/features/micro.py. */
#include "feature.h"
#include "frame.h"
#include "transform.h"

enum { SMOOTHING_BITS = 10, PART_BITS = 14, SNR_BITS = 12, GAINED_BITS = 6, SEGMENTS = 128, GAINS = 2 + 31 * 3 };

/* The tables behind the struct, in their order. */
typedef struct tables {
    const int16_t *window; /* in single precision it is not symmetric */
    const int16_t *cosines;
    const uint16_t *starts; /* first bin of each band, and the end */
    const uint16_t *falling, *rising;
    const int16_t *gains;
    const uint16_t *logarithms;
} tables;

/* Memory: uint32_t filled, int16_t frame[window], uint32_t estimates[channels], int16_t spectrum[points][2]. */
typedef struct places {
    uint32_t *filled, *estimates;
    int16_t *frame, *spectrum;
} places;

static uint32_t memory_bytes(const ofr_micro_params *p) {
    return 4u + 2u * p->window + 4u * p->channels + 4u * p->points;
}

static places places_in(const ofr_micro_params *p, uint8_t *memory) {
    uint32_t *words = (uint32_t *)(void *)memory;
    places at;
    at.filled = words;
    at.frame = (int16_t *)(void *)(words + 1);
    at.estimates = words + 1 + p->window / 2;
    at.spectrum = (int16_t *)(void *)(at.estimates + p->channels);
    return at;
}

/* Where the tables lie, and where they end. */
static const uint8_t *tables_of(const ofr_micro_params *p, tables *t) {
    const uint8_t *at = (const uint8_t *)(p + 1);
    t->window = ofr_table(&at, 2u * p->window);
    t->cosines = ofr_table(&at, 4u * p->points);
    t->starts = ofr_table(&at, 2u * (p->channels + 2u));
    t->falling = ofr_table(&at, 2u * p->bins);
    t->rising = ofr_table(&at, 2u * p->bins);
    t->gains = ofr_table(&at, 2 * GAINS);
    t->logarithms = ofr_table(&at, 2 * (SEGMENTS + 1));
    return at;
}

static bool is_power_of_four(uint32_t n) {
    return n != 0 && (n & (n - 1)) == 0 && (n & 0x55555555u) != 0;
}

static ofr_status check(const void *params, uint32_t bytes, uint32_t *memory) {
    const ofr_micro_params *p = params;
    tables t;
    if (bytes < sizeof *p || p->element_bytes != 2 || p->row_bytes != p->channels ||
        !ofr_frame_is_sane(p->window, p->step) || !is_power_of_four(p->points) || p->points < 4 || p->points > 4096 ||
        p->window > 2u * p->points) {
        return OFR_E_FRONT_END;
    }
    if ((uint32_t)(tables_of(p, &t) - (const uint8_t *)p) != bytes ||
        !ofr_bands_are_sane(t.starts, p->channels, p->points, p->bins)) {
        return OFR_E_FRONT_END;
    }
    *memory = memory_bytes(p);
    return OFR_OK;
}

/* The frame under its window, in `spectrum`; returns how often it was doubled to fill 16 bits. */
static uint32_t shape(const ofr_micro_params *p, const tables *t, const places *at) {
    uint32_t largest = 0;
    for (uint32_t i = 0; i < p->window; i++) {
        const int32_t x = (int16_t)((at->frame[i] * t->window[i]) >> 12);
        const uint32_t magnitude = x == INT16_MIN ? p->least_magnitude : (uint32_t)(x < 0 ? -x : x);
        largest = magnitude > largest ? magnitude : largest;
        at->spectrum[i] = (int16_t)x;
    }
    const uint32_t used = ofr_bits_of(largest), shift = used < 15 ? 15 - used : 0;
    for (uint32_t i = 0; i < p->window; i++) {
        at->spectrum[i] = (int16_t)((uint32_t)at->spectrum[i] << shift);
    }
    memset(at->spectrum + p->window, 0, 2u * (2u * p->points - p->window));
    return shift;
}

/* Each bin's energy in place of its complex number. */
static void to_energies(const ofr_micro_params *p, const tables *t, int16_t *spectrum) {
    for (uint32_t i = t->starts[0]; i < t->starts[p->channels + 1u]; i++) {
        const int32_t re = spectrum[2 * i], im = spectrum[2 * i + 1];
        const uint32_t energy = (uint32_t)(re * re) + (uint32_t)(im * im);
        memcpy(spectrum + 2 * i, &energy, sizeof energy);
    }
}

static uint64_t weighted(const int16_t *spectrum, const uint16_t *weights, uint32_t from, uint32_t to) {
    uint64_t sum = 0;
    for (uint32_t i = from; i < to; i++) {
        uint32_t energy;
        memcpy(&energy, spectrum + 2 * i, sizeof energy);
        sum += (uint64_t)energy * weights[i];
    }
    return sum;
}

/* Rounded to the nearest, but 65535 at most for what 32 bits hold. */
static uint32_t square_root(uint64_t x) {
    const bool is_short = x >> 32 == 0;
    const uint32_t bits = ofr_bits_of_wide(x);
    uint64_t root = 0;
    if (x == 0) {
        return 0;
    }
    for (uint64_t bit = (uint64_t)1 << ((bits - 1u) & ~1u); bit != 0; bit >>= 2) {
        if (x >= root + bit) {
            x -= root + bit;
            root = (root >> 1) + bit;
        } else {
            root >>= 1;
        }
    }
    return (uint32_t)root + (x > root && root != (is_short ? 0xFFFFu : UINT32_MAX) ? 1u : 0u);
}

/* The magnitude less the noise, whose estimate moves on. */
static uint32_t without_noise(const ofr_micro_params *p, uint32_t channel, uint32_t signal, uint32_t *estimate) {
    const uint32_t smoothing = p->smoothing[channel & 1], up = signal << SMOOTHING_BITS;
    const uint64_t moved = (uint64_t)up * smoothing + (uint64_t)*estimate * ((1u << PART_BITS) - smoothing);
    *estimate = (uint32_t)(moved >> PART_BITS);
    const uint32_t least = (uint32_t)(((uint64_t)signal * p->least_left) >> PART_BITS);
    const uint32_t rest = (up - (*estimate < up ? *estimate : up)) >> SMOOTHING_BITS;
    return rest > least ? rest : least;
}

/* The gain of a noise estimate by the parabola of its octave. */
static int32_t gain_of(const int16_t *gains, uint32_t noise) {
    if (noise <= 2) {
        return gains[noise];
    }
    const uint32_t octave = ofr_bits_of(noise);
    const int16_t *of = gains + (3 * octave - 4);
    const int32_t fraction = (int32_t)((octave < 11 ? noise << (11 - octave) : noise >> (octave - 11)) & 0x3FF);
    const int32_t slope = ((of[2] * fraction) >> 5) + of[1] * 32;
    return ((slope * fraction + (1 << 14)) >> 15) + of[0];
}

/* Squares what is small, and takes two from what is large. */
static uint32_t compressed(uint32_t snr) {
    if (snr < 2u << SNR_BITS) {
        return (snr * snr) >> (2 + 2 * SNR_BITS - GAINED_BITS);
    }
    return (snr >> (SNR_BITS - GAINED_BITS)) - (1u << GAINED_BITS);
}

/* ln(x) times 2^log_shift, at most 65535; 0 below 2. */
static uint32_t logarithm(const uint16_t *table, uint32_t x, uint32_t shift) {
    if (x <= 1) {
        return 0;
    }
    const uint32_t whole = ofr_bits_of(x) - 1;
    const uint32_t fraction = (uint32_t)(((uint64_t)(x - (1u << whole)) << 16) >> whole);
    const uint32_t segment = fraction >> 9;
    const int32_t step = table[segment + 1] - table[segment];
    const int32_t inside = (step * (int32_t)(fraction & 511)) >> 16;
    const uint32_t log2 = (whole << 16) + fraction + table[segment] + (uint32_t)inside;
    const uint64_t natural = ((uint64_t)log2 * 45426u + (1u << 15)) >> 16; /* ln(2) */
    const uint64_t scaled = ((natural << (shift & 31)) + (1u << 15)) >> 16;
    return scaled < UINT16_MAX ? (uint32_t)scaled : UINT16_MAX;
}

static int8_t feature(const ofr_micro_params *p, const tables *t, uint32_t channel, uint32_t signal, uint32_t *noise) {
    const uint32_t kept = without_noise(p, channel, signal, noise);
    const uint64_t gained = (uint64_t)kept * (uint32_t)gain_of(t->gains, *noise);
    const uint32_t value = compressed((uint32_t)(gained >> (p->snr_shift & 31)));
    const uint32_t log = logarithm(t->logarithms, value << (p->correction_bits & 31), p->log_shift);
    return ofr_quantized((int32_t)log, p->multiplier, p->shift, p->zero_point);
}

static void make_row(const ofr_micro_params *p, const places *at, int8_t *row) {
    tables t;
    tables_of(p, &t);
    const uint32_t shift = shape(p, &t, at);
    ofr_real_fft_s16(at->spectrum, p->points, t.cosines);
    to_energies(p, &t, at->spectrum);
    const int16_t *spectrum = at->spectrum + 2u * t.starts[0];
    for (uint32_t c = 0; c < p->channels; c++) {
        const uint32_t from = t.starts[c] - t.starts[0], peak = t.starts[c + 1] - t.starts[0];
        const uint32_t to = t.starts[c + 2] - t.starts[0];
        const uint64_t sum = weighted(spectrum, t.rising, from, peak) + weighted(spectrum, t.falling, peak, to);
        row[c] = feature(p, &t, c, square_root(sum) >> shift, &at->estimates[c]);
    }
}

static uint32_t feed(const void *params, uint8_t *memory, const uint8_t *raw, uint32_t n, int8_t *row, bool *ready) {
    const ofr_micro_params *p = params;
    const places at = places_in(p, memory);
    const uint32_t taken = ofr_frame_fill(at.frame, at.filled, p->window, raw, n);
    if (*at.filled == p->window) {
        make_row(p, &at, row);
        ofr_frame_move(at.frame, at.filled, p->window, p->step);
        *ready = true;
    }
    return taken;
}

const ofr_feature_kind ofr_feature_micro = {OFR_FEATURE_MICRO, check, feed};

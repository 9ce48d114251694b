/* For link_fuzz.c: a sensor whose interrupt comes in the midst of runs, and a second front end beside the board's. What the
 * board says of samples and of inputs made of raw bytes is held against these. */
#ifndef FEEDING_H
#define FEEDING_H

#include "app_port.h"
#include "bytes.h"
#include "link.h"
#include "models.h"
#include "offramp_features.h"
#include "offramp_source.h"
#include "policy.h"

#include <stdlib.h>

enum { SAMPLE_BYTES = 6, READ_BYTES = 16, MOST_AT_ONCE = 61 };

/* ---- the sensor ---- */

static ofr_samples *sampled; /* NULL: stopped */
static uint32_t sample_number;

/* A sample depends on its number alone. */
static void sample_of(uint32_t number, uint8_t *sample) {
    for (uint32_t i = 0; i < SAMPLE_BYTES; ++i)
        sample[i] = (uint8_t)((number * SAMPLE_BYTES + i) * 2654435761u >> 21);
}

/* Many samples at a time; some are lost by the hardware. */
static void sample_now(void) {
    uint8_t samples[MOST_AT_ONCE * SAMPLE_BYTES];
    if (sampled == NULL) return;
    const uint32_t n = 1 + sample_number * 7 % MOST_AT_ONCE, lost = sample_number % 61 == 60 ? 2 : 0;
    ofr_samples_lose(sampled, lost);
    sample_number += lost;
    for (uint32_t i = 0; i < n; ++i)
        sample_of(sample_number++, samples + i * SAMPLE_BYTES);
    ofr_samples_put(sampled, samples, n);
}

static bool sensor_init(void) {
    return true;
}

static bool sensor_start(ofr_samples *to) {
    if (sampled != NULL) abort(); /* it was to be stopped first */
    sampled = to;
    sample_number = 0;
    interrupt = sample_now;
    return true;
}

static void sensor_stop(void) {
    sampled = NULL;
}

const ofr_source port_source = {"fuzzed", 1000, 3, OFR_S16, sensor_init, sensor_start, sensor_stop};

/* A reply to `source read`: samples of a block are those of their numbers, whatever else the board keeps where. */
static void check_block(const uint8_t *reply, size_t n) {
    if (get_u16(reply) != OFR_OK || n <= READ_BYTES) return;
    const uint32_t number = get_u32(reply + 4);
    for (uint32_t i = 0; READ_BYTES + i < n; ++i) {
        uint8_t sample[SAMPLE_BYTES];
        sample_of(number + i / SAMPLE_BYTES, sample);
        if (reply[READ_BYTES + i] != sample[i % SAMPLE_BYTES]) abort();
    }
}

/* Samples lie neither in the arena, nor in what a cascade keeps behind it, nor in an input of the caller's. */
static void check_places(void) {
    if (sampled == NULL || active.source == MODEL_NONE) return;
    const uint8_t *first = (const uint8_t *)sampled->numbers;
    const uint8_t *end = (const uint8_t *)sampled->data + sampled->n_blocks * sampled->block_samples * SAMPLE_BYTES;
    const struct port_memory region = port_arena();
    if (first < region.base + active.need.arena_bytes + policy_copy_bytes() || end > region.base + region.size) abort();
    for (unsigned i = 0; i < active.need.n_inputs; ++i) {
        const ofr_buffer input = ofr_input(&active.plans[0], i);
        const uint8_t *at = input.data;
        if (at < end && at + input.bytes > first) abort();
    }
}

/* ---- the front end beside the board's ---- */

static struct {
    ofr_features features;
    ofr_features_need need;
    uint8_t *kept, *made;
    uint32_t loads; /* of the board, as it was opened */
    bool valid; /* it has been fed what the board's was */
} beside;

/* As after an activation. */
static void open_beside(void) {
    uint32_t bytes;
    free(beside.kept), free(beside.made);
    beside.kept = beside.made = NULL;
    beside.valid = false;
    beside.loads = policy_counts.loads;
    if (active.source == MODEL_NONE) return;
    const void *params = ofr_front_end(&active.plans[0], &bytes);
    if (params == NULL) return;
    if (ofr_features_peek(params, bytes, &ofr_linked_features, &beside.need) != OFR_OK) abort();
    const ofr_buffer input = ofr_input(&active.plans[0], 0);
    if (beside.need.input_bytes != input.bytes || input.dtype != OFR_S8) abort();
    beside.kept = malloc(beside.need.memory_bytes);
    beside.made = malloc(beside.need.input_bytes);
    if (ofr_features_open(&beside.features, params, bytes, &ofr_linked_features, beside.kept,
                          beside.need.memory_bytes) != OFR_OK)
        abort();
    beside.valid = true;
}

/* Rows that are used once stand in the input as they come, where other requests may change them. */
static void check_input(void) {
    if (beside.need.hop_rows == beside.need.window_rows) return;
    if (memcmp(beside.made, ofr_input(&active.plans[0], 0).data, beside.need.input_bytes) != 0) abort();
}

/* The board has taken n raw bytes and said `reply`. */
static void check_feed(const uint8_t *raw, size_t n, const uint8_t *reply) {
    if (!beside.valid) return;
    uint8_t *exact = malloc(n != 0 ? n : 1);
    bool due;
    memcpy(exact, raw, n);
    const uint32_t taken = ofr_features_feed(&beside.features, exact, (uint32_t)n, beside.made, &due);
    free(exact);
    if (get_u16(reply + 4) != taken || reply[6] != due) abort();
    if (due) check_input();
}

/* A request has been done just now. */
static void check_done(uint8_t code, const uint8_t *payload, size_t n, const uint8_t *reply) {
    const bool accepted = get_u16(reply) == OFR_OK;
    check_places();
    if (policy_counts.loads != beside.loads) open_beside();
    if (code == LINK_RESET_STATE && accepted && beside.valid) ofr_features_reset(&beside.features);
    if (code == LINK_FEED && accepted) check_feed(payload + 4, n - 4, reply);
}

#endif

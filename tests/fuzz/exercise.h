/* One attempt at a blob nobody trusts: load it, feed it, run it twice, read all it hands out. */
#ifndef EXERCISE_H
#define EXERCISE_H

#include <string.h>

#include "offramp.h"
#include "offramp_features.h"

enum { CALLER_INPUT_BYTES = 8192, ARENA_LIMIT = 65536, STATE_LIMIT = 16384 };
enum { FEATURES_BYTES = 8192, RAW_BYTES = 2048, PIECE_BYTES = 150 };
enum { MOST_PLANS = 4 }; /* of a blob, that are tried one after the other, each by itself */

/* Memory for one attempt. `caller_end` is where inputs in the caller's memory end, whatever their size; `features` is
 * FEATURES_BYTES for a front end and the input that it makes. */
typedef struct memory {
    uint8_t *arena, *state, *features;
    const uint8_t *caller_end;
    uint32_t arena_bytes, state_bytes;
} memory;

/* What plan after plan came to. */
static inline uint32_t hash_plan(uint32_t hash, ofr_status status, uint32_t of_plan) {
    return (hash ^ of_plan) * 16777619u + (uint32_t)status;
}

static inline uint32_t hash_bytes(uint32_t hash, const uint8_t *bytes, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        hash = (hash ^ bytes[i]) * 16777619u; /* FNV-1a */
    }
    return hash;
}

/* Whether it may be written. */
static inline bool is_in_arena(ofr_buffer input, const memory *m) {
    return input.data != NULL && (uintptr_t)input.data - (uintptr_t)m->arena <= m->arena_bytes;
}

/* Inputs of the same bytes everywhere. Those of the caller's that are too large stay unbound. */
static inline ofr_status feed(ofr_model *model, const ofr_requirements *need, const memory *m) {
    for (unsigned i = 0; i < need->n_inputs; i++) {
        const ofr_buffer input = ofr_input(model, i);
        if (is_in_arena(input, m)) {
            for (uint32_t at = 0; at < input.bytes; at++) {
                ((uint8_t *)input.data)[at] = (uint8_t)(37u * at + i);
            }
        } else if (input.bytes <= CALLER_INPUT_BYTES) {
            const ofr_status status = ofr_bind_input(model, i, m->caller_end - input.bytes);
            if (status != OFR_OK) {
                return status;
            }
        }
    }
    return OFR_OK;
}

/* RAW_BYTES in pieces of any length, so that some end within an element; whether they made an input of `bytes`. */
static inline bool feed_pieces(ofr_features *front_end, uint8_t *made, uint32_t bytes, uint32_t *hash) {
    uint8_t raw[PIECE_BYTES];
    bool due, any = false;
    for (uint32_t at = 0, taken; at < RAW_BYTES; at += taken != 0 ? taken : 1) {
        const uint32_t n = 1 + at * 7 % PIECE_BYTES;
        uint8_t *piece = raw + PIECE_BYTES - n;
        for (uint32_t i = 0; i < n; i++) {
            piece[i] = (uint8_t)(((at + i) * 2654435761u) >> 24);
        }
        taken = ofr_features_feed(front_end, piece, n, made, &due);
        *hash = hash_bytes(*hash, (const uint8_t *)&taken, sizeof taken);
        if (due) {
            *hash = hash_bytes(*hash, made, bytes);
            any = true;
        }
    }
    return any;
}

/* Input 0 of raw bytes, where the blob names a front end. What that keeps and the input that it makes lie at the start
 * and at the end of `features`, in every second run the other way round. */
static inline ofr_status feed_raw(ofr_model *model, const memory *m, int run, uint32_t *hash) {
    uint32_t bytes;
    ofr_features_need need;
    ofr_features front_end;
    const void *params = ofr_front_end(model, &bytes);
    const ofr_buffer input = ofr_input(model, 0);
    if (params == NULL) {
        return OFR_OK;
    }
    ofr_status status = ofr_features_peek(params, bytes, &ofr_linked_features, &need);
    if (status != OFR_OK || need.input_bytes != input.bytes || input.dtype != OFR_S8) {
        return status != OFR_OK ? status : OFR_E_FRONT_END;
    }
    if (need.memory_bytes > FEATURES_BYTES / 2 || need.input_bytes > FEATURES_BYTES / 2) {
        return OFR_E_STATE;
    }
    uint8_t *end = m->features + FEATURES_BYTES;
    uint8_t *kept = run == 0 ? m->features : end - need.memory_bytes;
    uint8_t *made = run == 0 ? end - need.input_bytes : m->features;
    memset(m->features, 0x77, FEATURES_BYTES);
    status = ofr_features_open(&front_end, params, bytes, &ofr_linked_features, kept, need.memory_bytes);
    if (status == OFR_OK && feed_pieces(&front_end, made, need.input_bytes, hash) && is_in_arena(input, m)) {
        memcpy(input.data, made, need.input_bytes);
    }
    return status;
}

/* Of what can be read where the run stands: all outputs, or an exit's answer. */
static inline ofr_status hash_outputs(const ofr_model *model, const ofr_requirements *need, uint32_t *hash) {
    const unsigned exit = ofr_exit(model), count = exit == OFR_NO_EXIT ? need->n_outputs : 1;
    const uint32_t seen[] = {exit, ofr_confidence(model), ofr_is_sure(model)};
    if (ofr_exits(model) > 0) {
        *hash = hash_bytes(*hash, (const uint8_t *)seen, sizeof seen);
    }
    for (unsigned i = 0; i < count; i++) {
        ofr_buffer output;
        const ofr_status got = ofr_result(model, i, &output);
        if (got != OFR_OK) {
            return got;
        }
        *hash = hash_bytes(*hash, output.data, output.bytes);
        *hash = hash_bytes(*hash, (const uint8_t *)output.dims, 4u * output.rank);
    }
    return OFR_DONE;
}

/* Past every way out. */
static inline ofr_status run_through(ofr_model *model, const ofr_requirements *need, uint32_t *hash) {
    ofr_status status = ofr_begin(model);
    while (status >= 0 && status != OFR_DONE) {
        status = ofr_step(model);
        if (status == OFR_EXIT && hash_outputs(model, need, hash) < 0) {
            return OFR_E_ORDER;
        }
    }
    return status;
}

/* OFR_DONE, or the refusal. The first run leaves where it is sure, the second goes through. `hash` is of all outputs' bytes and shapes, of both runs. */
static inline ofr_status exercise(const void *blob, uint32_t blob_bytes, unsigned plan, const ofr_kernels *kernels,
                                  const ofr_requirements *need, const memory *m, uint32_t *hash) {
    ofr_model model;
    *hash = 2166136261u;
    memset(m->arena, 0x5a, m->arena_bytes);
    memset(m->state, 0xa5, m->state_bytes);
    ofr_status status =
        ofr_load(&model, blob, blob_bytes, plan, kernels, m->arena, m->arena_bytes, m->state, m->state_bytes, NULL);
    for (int run = 0; run < 2 && status >= 0; run++) {
        status = feed(&model, need, m);
        if (status == OFR_OK) {
            status = feed_raw(&model, m, run, hash);
        }
        if (status == OFR_OK) {
            status = run == 0 ? ofr_run(&model) : run_through(&model, need, hash);
        }
        if (status >= 0) {
            status = hash_outputs(&model, need, hash);
        }
        const uint32_t bound = ofr_step_bound(&model, (unsigned)run);
        *hash = hash_bytes(*hash, (const uint8_t *)&bound, sizeof bound);
    }
    ofr_plan info;
    if (status >= 0 && ofr_plan_info(&model, &info) == OFR_OK) {
        *hash = hash_bytes(*hash, (const uint8_t *)info.name, info.name_bytes);
        *hash = hash_bytes(*hash, (const uint8_t *)&info.instructions, sizeof info.instructions);
        *hash = hash_bytes(*hash, (const uint8_t *)&info.margin, sizeof info.margin);
    }
    return status;
}

#endif

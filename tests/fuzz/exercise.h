/* One attempt at a blob nobody trusts: load it, feed it, run it twice, read all it hands out. */
#ifndef EXERCISE_H
#define EXERCISE_H

#include <string.h>

#include "offramp.h"

enum { CALLER_INPUT_BYTES = 8192, ARENA_LIMIT = 65536, STATE_LIMIT = 16384 };
enum { MOST_PLANS = 4 }; /* of a blob, that are tried one after the other, each by itself */

/* Memory for one attempt. `caller_end` is where inputs in the caller's memory end, whatever their size. */
typedef struct memory {
    uint8_t *arena, *state;
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

/* Inputs of the same bytes everywhere. Those of the caller's that are too large stay unbound. */
static inline ofr_status feed(ofr_model *model, const ofr_requirements *need, const memory *m) {
    for (unsigned i = 0; i < need->n_inputs; i++) {
        const ofr_buffer input = ofr_input(model, i);
        if (input.data != NULL && (uintptr_t)input.data - (uintptr_t)m->arena <= m->arena_bytes) {
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

/* The model that runs: linked into the image or lying in the model slot, with the arena's region to itself. */
#ifndef OFFRAMP_MODELS_H
#define OFFRAMP_MODELS_H

#include "offramp.h"

#include <stdbool.h>
#include <stdint.h>

enum model_source { MODEL_LINKED = 0, MODEL_SLOT = 1, MODEL_NONE = 0xFF };

struct active_model {
    ofr_model model;
    ofr_requirements need;
    uint8_t source;       /* model_source; MODEL_NONE: model and need hold nothing */
    uint32_t runs;        /* since the start, of any model */
    uint32_t region_used; /* bytes of the arena's region: arena, inputs of the caller, state */
};
extern struct active_model active;

/* The last load that was tried, whatever came of it. */
struct load_report {
    int16_t status; /* ofr_status or link_status; fault counts where it is negative */
    uint8_t source;
    ofr_fault fault;
    uint32_t load_ticks, crc_ticks;
};
extern struct load_report last_load;

/* Activates what lies in the slot, or what is linked in. */
void models_start(void);

/* Makes a model active with its state reset; returns a status, explained by last_load. On a refusal the
 * linked-in model is active, if there is one. */
int model_activate(uint8_t source);

/* Receiving a model into the slot; each returns a status. The active model is dropped if it lies there. */
int slot_begin(uint32_t bytes, ofr_fault *fault);
int slot_chunk(uint32_t offset, const uint8_t *bytes, uint32_t n, ofr_fault *fault);
int slot_commit(ofr_fault *fault);

/* Ticks since `start`, less what two readings that follow each other are apart. */
uint32_t ticks_since(uint32_t start);

#endif

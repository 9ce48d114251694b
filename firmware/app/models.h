/* The model that runs: linked into the image or lying in the model slot, with the arena's region to itself. A blob may
 * hold several plans; there is an instance of each, and all have one arena. */
#ifndef OFFRAMP_MODELS_H
#define OFFRAMP_MODELS_H

#include "offramp.h"

#include <stdbool.h>
#include <stdint.h>

enum model_source { MODEL_LINKED = 0, MODEL_SLOT = 1, MODEL_NONE = 0xFF };

/* Plans that an image keeps instances of. `offramp build` sets it to what the model holds. */
#ifndef APP_PLANS
#define APP_PLANS 8
#endif
_Static_assert(APP_PLANS >= 1 && APP_PLANS < 16, "a run names its plan in four bits");

struct active_model {
    ofr_model plans[APP_PLANS]; /* need.n_plans of them */
    ofr_requirements need;      /* the largest arena, all states, and the steps of plan 0 */
    uint8_t source;             /* model_source; MODEL_NONE: plans and need hold nothing */
    uint8_t answered;           /* the plan that ran last: its outputs are in the arena */
    uint8_t gate;               /* 1 + the plan that chooses among the others; 0: none */
    uint32_t runs;        /* since the start, of any model */
    uint32_t region_used; /* bytes of the arena's region: arena, inputs of the caller, state */
};
extern struct active_model active;

/* What an image for one plan need not look up. */
static inline uint32_t n_plans(void) {
    return APP_PLANS > 1 ? active.need.n_plans : 1;
}
static inline ofr_model *plan_at(uint32_t plan) {
    return &active.plans[APP_PLANS > 1 ? plan : 0];
}
static inline uint32_t answered(void) {
    return APP_PLANS > 1 ? active.answered : 0;
}

static inline uint32_t aligned(uint32_t bytes) {
    return (bytes + OFR_ALIGN - 1) & ~(OFR_ALIGN - 1);
}

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

/* What one plan of the active model asks for; a status. Not in an image for one plan. */
int plan_need(uint32_t plan, ofr_requirements *need);

/* Receiving a model into the slot; each returns a status. The active model is dropped if it lies there. */
int slot_begin(uint32_t bytes, ofr_fault *fault);
int slot_chunk(uint32_t offset, const uint8_t *bytes, uint32_t n, ofr_fault *fault);
int slot_commit(ofr_fault *fault);

/* Ticks since `start`, less what two readings that follow each other are apart. */
uint32_t ticks_since(uint32_t start);

#endif

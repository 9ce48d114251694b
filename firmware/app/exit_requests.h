/* Ways out of the active model's plans, over the link (firmware/LINK.md, "Exits"): thresholds, policies, how runs left.
 * An image for models without exits holds none of it. */
#ifndef OFFRAMP_EXIT_REQUESTS_H
#define OFFRAMP_EXIT_REQUESTS_H

#include "models.h"

#include <stddef.h>
#include <stdint.h>

#if OFR_EXITS

/* A model has been loaded: confidence alone, with the blob's thresholds. */
void exits_start(void);

/* Runs a plan as its exit policy says, or through all of its stages; returns the run's status. */
int exits_run(uint32_t plan, bool whole);

/* Writes what the reply to a run says of its exit; the plan is the one that answered. */
uint8_t *put_outcome(uint8_t *p);

/* The exit by which the run ended that answered. */
uint32_t exit_taken(void);

/* Whether the plan that answered has any. */
bool has_exits(void);

/* Makes every exit a way out, for whoever steps a plan himself. */
void use_all_exits(uint32_t plan);

/* Requests and parts of replies. */
size_t threshold_request(const uint8_t *payload, size_t n, uint8_t *reply);
size_t exit_policy_request(const uint8_t *payload, size_t n, uint8_t *reply);
size_t describe_stage(uint32_t index, uint8_t *reply);
uint8_t *put_exit_counts(uint8_t *p, uint32_t plan);

#else

static inline void exits_start(void) {}

static inline int exits_run(uint32_t plan, bool whole) {
    (void)whole;
    return ofr_run(plan_at(plan));
}

static inline uint32_t exit_taken(void) {
    return 0xFF;
}

static inline bool has_exits(void) {
    return false;
}

static inline void use_all_exits(uint32_t plan) {
    (void)plan;
}

#endif
#endif

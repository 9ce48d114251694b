/* Which plan of a family runs (firmware/LINK.md, "Policies"). An image for one plan holds none of it. */
#ifndef OFFRAMP_POLICY_H
#define OFFRAMP_POLICY_H

#include "exit_requests.h"
#include "models.h"

#include <stddef.h>
#include <stdint.h>

enum policy_kind { POLICY_PLAN = 0, POLICY_BUDGET = 1, POLICY_CASCADE = 2, POLICY_GATE = 3 };

#if APP_PLANS > 1

/* Counts since the start, and by plan since the load. */
struct policy_counts {
    uint32_t loads;
    uint32_t runs[APP_PLANS];
};
extern struct policy_counts policy_counts;

/* A model has been loaded: its plan 0 runs until a policy is set. */
void policy_start(void);

/* The plan that the next run begins with. */
uint32_t policy_first(void);

/* Runs what the policy says on the inputs as they are; returns the last run's status. active.answered is the plan that
 * gave the outputs; *ran, 1 before, says how many ran. */
int policy_run(uint32_t *ran);

/* The instance of a plan, whose run is counted: it is the next to run. */
ofr_model *policy_take(uint32_t plan);

/* Runs a plan, whatever the policy says. */
static inline int policy_run_plan(uint32_t plan, bool whole) {
    (void)policy_take(plan);
    return exits_run(plan, whole);
}

/* Bytes behind the arena where a cascade keeps its copy of the inputs. */
uint32_t policy_copy_bytes(void);

/* The request `policy`: u8 model, u8 kind, u8 plan, u8 to, u32 value. */
size_t policy_request(const uint8_t *payload, size_t n, uint8_t *reply);

#else

static inline void policy_start(void) {}

static inline uint32_t policy_first(void) {
    return 0;
}

static inline uint32_t policy_copy_bytes(void) {
    return 0;
}

static inline ofr_model *policy_take(uint32_t plan) {
    return plan_at(plan);
}

static inline int policy_run_plan(uint32_t plan, bool whole) {
    (void)plan;
    return exits_run(0, whole);
}

static inline int policy_run(uint32_t *ran) {
    (void)ran;
    return exits_run(0, false);
}

#endif
#endif

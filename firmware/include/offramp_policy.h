/* Policies for models with exits: how deep a run goes, decided at each way out. Made of offramp.h alone, for any firmware.
 *
 *     static ofr_policy policy;
 *     ofr_policy_start(&policy, &model);                     a model that ofr_load has taken
 *     ofr_policy_settings settings = {.budget = 400000};     all zero: confidence alone, as ofr_run does
 *     ofr_policy_set(&policy, &settings, &least);
 *     ...
 *     ofr_policy_run(&policy);                               after the inputs are written, in place of ofr_run
 *     ofr_policy_outcome(&policy)->exit, ofr_result(...)     the answer, and how it came about
 *
 * Whoever has a counter or other work to do between steps hands the counter in, once a step:
 *
 *     ofr_status status = ofr_policy_begin(&policy, ticks());
 *     while (status == OFR_OK || status == OFR_MORE) status = ofr_policy_step(&policy, ticks());
 *
 * Everything here is combined freely: a run leaves by the first exit that is sure; a budget may end it before.
 *
 * Confidence. An exit is sure where its confidence reaches its threshold (ofr_set_threshold).
 *
 * Budget. A run never begins a stage that may overrun what is left of its budget: it leaves with the answer just made,
 * `cut_short`. In OFR_INSTRUCTIONS a stage costs what the blob proves (ofr_stage, for the image that was certified)
 * and what this library takes, so that no run exceeds its budget. In OFR_TICKS it costs an eighth more than the most that
 * this policy has seen the stage take on this board: a run may then overrun where a stage takes still longer, `met` says.
 *
 * Energy. `energy` is what `window` runs may take together. What they leave is carried over, up to `energy_limit`. Each
 * run may take what is there less what the rest of the window needs to get to the first way out.
 *
 * Patience, for streams. While runs give the same class, thresholds for that class fall by `patience_step` a run, to
 * `patience_floor`. For another class, and for `doubt_runs` runs after a change, they are `doubt` higher. `reported`
 * changes once a new class came `confirm` times in a row.
 *
 * Prediction. How often each head made a run leave, counted with decay, predicts the mean cost; a head that costs more
 * than it saves is skipped, but for every `look`-th run, which looks at all.
 *
 * All state is in the caller's ofr_policy: no heap, no globals, no callbacks. One policy serves one instance; both are
 * one thread's at a time. While a run of the policy is under way, ofr_step and ofr_use_exits belong to it. */
#ifndef OFFRAMP_POLICY_LIBRARY_H
#define OFFRAMP_POLICY_LIBRARY_H

#include "offramp.h"

#ifdef __cplusplus
extern "C" {
#endif

#define OFR_NO_CLASS 0xFFFFu
#define OFR_NO_BUDGET 0xFFFFFFFFu
/* More than this library takes on any core: a run, for each exit of the model more, a stage, a step, a byte of an answer
 * whose class is watched. */
#define OFR_POLICY_RUN_INSTRUCTIONS 800u
#define OFR_POLICY_EXIT_INSTRUCTIONS 250u
#define OFR_POLICY_STAGE_INSTRUCTIONS 200u
#define OFR_POLICY_STEP_INSTRUCTIONS 60u
#define OFR_POLICY_BYTE_INSTRUCTIONS 20u

enum ofr_unit { OFR_INSTRUCTIONS = 0, OFR_TICKS = 1 };

typedef struct ofr_policy_settings {
    uint32_t budget;         /* of one run, in `unit`; 0: none */
    uint32_t energy;         /* of `window` runs together, in `unit`; 0: no limit */
    uint32_t energy_limit;   /* at least `energy` */
    uint16_t window;         /* runs, at least 1 where there is `energy` */
    uint16_t patience_step;  /* 0: no patience, and no doubt */
    uint16_t patience_floor; /* thresholds below it stay as they are */
    uint16_t doubt;          /* thresholds reach 65535 at most */
    uint8_t doubt_runs;
    uint8_t confirm; /* 0 and 1: every class is reported at once */
    uint8_t look;    /* runs; 0: no prediction, every head is run that is reached */
    uint8_t unit;    /* ofr_unit: of budget, energy and what prediction compares */
} ofr_policy_settings;

/* How the last run went. */
typedef struct ofr_outcome {
    uint32_t instructions; /* the most that what ran takes, this library included; 0: a stage's cost is unknown */
    uint32_t ticks;        /* from ofr_policy_begin to the end, as the caller's counter has it; 0 after ofr_policy_run */
    uint32_t budget;       /* what the run was allowed, in the settings' unit; OFR_NO_BUDGET: all it wants */
    uint16_t confidence;   /* of the answer, where it is an exit's; 0 at the end of the model */
    uint16_t answer;       /* the class with the largest value, the lowest of equals; OFR_NO_CLASS without patience and
                              confirm, which alone look at it */
    uint16_t reported;     /* as `confirm` has it; OFR_NO_CLASS before the first */
    uint8_t exit;          /* OFR_NO_EXIT: the run went to its end */
    uint8_t stages;        /* that ran, the last one included */
    uint8_t heads_skipped; /* in them */
    bool cut_short;        /* the budget ended the run at an exit that was not sure */
    bool met;              /* the run took no more than its budget */
} ofr_outcome;

/* Fields are private; the size is public so that the caller can place it. */
typedef struct ofr_policy_stage {
    uint32_t body, head;      /* the most instructions, this library included; body 0: unknown */
    uint32_t seen, seen_head; /* the most ticks; 0: none yet */
    uint16_t head_at, end;    /* steps */
    uint16_t looked, taken;   /* runs that came to the head, and left by it */
} ofr_policy_stage;

typedef struct ofr_policy {
    ofr_model *model;
    ofr_policy_settings settings;
    ofr_outcome outcome;
    ofr_policy_stage stages[OFR_MAX_EXITS + 1];
    uint32_t available;     /* of the energy */
    uint32_t started, mark; /* ticks: begin of the run, of the part under way */
    uint32_t mark_at;       /* the step that ends the part */
    uint16_t window_left;
    uint16_t last_class, repeats, candidate;
    uint8_t candidate_seen, doubt_left, since_look;
    uint8_t n_exits, stage, target, wanted, phase;
    bool whole, measured, in_head, unknown;
} ofr_policy;

/* Makes `policy` one of confidence alone for a loaded model, with nothing measured. Errors: OFR_E_ARGUMENT, OFR_E_ORDER
 * (the model is not loaded). */
OFR_CHECKED ofr_status ofr_policy_start(ofr_policy *policy, ofr_model *model);

/* Takes settings in place of those before and forgets classes and unused energy; statistics and seen times stay. `least`
 * (may be NULL) is written whatever comes of it: the least budget of a run, or of a window where `energy` is refused; 0 where
 * costs are unknown. Refused, with the policy as it was:
 *   OFR_E_ARGUMENT  another unit, energy without window, energy_limit below energy
 *   OFR_E_COST      budget, energy or prediction while a stage's cost is unknown: instructions come by `offramp pack
 *                   --certify`, ticks by ofr_policy_begin_whole
 *   OFR_E_CLOCK     the same in ticks, of a board whose counter did not move in such a run
 *   OFR_E_BUDGET    a budget below what the first way out takes, or energy below that for each run of a window
 *   OFR_E_DTYPE     patience or confirm with answers that are not of s8, u8 or s16 */
OFR_CHECKED ofr_status ofr_policy_set(ofr_policy *policy, const ofr_policy_settings *settings, uint32_t *least);

/* Starts a run. `now` is the caller's counter, which wraps at 2^32; 0 always, where there is none. OFR_E_BUDGET, in ticks
 * alone: the first stage has been seen to take more since than what budget or energy now allow; the run is left out and
 * counts as one of its window. */
OFR_CHECKED ofr_status ofr_policy_begin(ofr_policy *policy, uint32_t now);

/* Starts a run through every stage and head that takes no exit and knows no budget; it measures the stages, and changes
 * neither statistics nor classes nor energy. */
OFR_CHECKED ofr_status ofr_policy_begin_whole(ofr_policy *policy, uint32_t now);

/* Runs one step, or ends the run: OFR_MORE until OFR_EXIT (ofr_result gives the exit's answer) or OFR_DONE. */
OFR_CHECKED ofr_status ofr_policy_step(ofr_policy *policy, uint32_t now);

/* A whole run without a counter: OFR_EXIT, OFR_DONE or an error. A budget in ticks is then never used up. With confidence
 * alone it takes hardly more than ofr_run. */
OFR_CHECKED ofr_status ofr_policy_run(ofr_policy *policy);

/* Of the run that ended last; never NULL for a policy that is not. */
const ofr_outcome *ofr_policy_outcome(const ofr_policy *policy);

/* What a run is expected to take, in the settings' unit, after what was counted; 0 while costs are unknown. */
uint32_t ofr_policy_expected(const ofr_policy *policy);

/* What a run takes at most, through all stages and heads, in the settings' unit; 0 while costs are unknown. */
uint32_t ofr_policy_most(const ofr_policy *policy);

#ifdef __cplusplus
}
#endif
#endif

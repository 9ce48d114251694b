/* Policies over exits, from offramp.h alone: budgets, energy, patience, prediction. */
#include "offramp_policy.h"

#include <string.h>

#if OFR_EXITS

enum { IDLE, RUNNING, ENDED }; /* ENDED: the last step ran, its time is still to be taken */

#define NONE 0xFFu
#define ALL 0xFFu
#define ENOUGH 16u    /* looks, before a head is judged by them */
#define FORGET_AT 64u /* looks; both counts are halved then */
#define NO_STEP 0xFFFFFFFFu

static uint32_t plus(uint32_t a, uint32_t b) {
    return a > UINT32_MAX - b ? UINT32_MAX : a + b;
}

static uint32_t less(uint32_t a, uint32_t b) {
    return a > b ? a - b : 0;
}

static bool watches_classes(const ofr_policy_settings *s) {
    return s->patience_step != 0 || s->confirm > 1;
}

/* What this library adds to a stage. */
static uint32_t own_instructions(const ofr_policy *p, unsigned stage, uint32_t n_steps) {
    const ofr_buffer answer = stage < p->n_exits ? ofr_answer(p->model, stage) : ofr_output(p->model, 0);
    const uint32_t watched = watches_classes(&p->settings) ? answer.bytes : 0;
    const uint32_t of_run = OFR_POLICY_RUN_INSTRUCTIONS + OFR_POLICY_EXIT_INSTRUCTIONS * p->n_exits;
    const uint32_t fixed = OFR_POLICY_STAGE_INSTRUCTIONS + OFR_POLICY_STEP_INSTRUCTIONS * n_steps + (stage == 0 ? of_run : 0);
    return watched < UINT16_MAX ? fixed + OFR_POLICY_BYTE_INSTRUCTIONS * watched : UINT32_MAX;
}

/* Writes down what the blob says of the stages, so that a run need not ask. */
static void read_stages(ofr_policy *p) {
    for (unsigned stage = 0; stage <= p->n_exits; stage++) {
        ofr_policy_stage *s = &p->stages[stage];
        ofr_stage info;
        if (ofr_stage_info(p->model, stage, &info) != OFR_OK) {
            continue; /* start has seen that there are so many */
        }
        const bool known = info.instructions > info.head_instructions && (info.head_instructions != 0 || !info.is_exit);
        const uint32_t most = info.instructions - info.head_instructions;
        s->end = (uint16_t)(info.first_step + info.n_steps);
        s->head_at = (uint16_t)(s->end - info.head_steps);
        s->head = known ? info.head_instructions : 0;
        s->body = known ? plus(most, own_instructions(p, stage, info.n_steps)) : 0;
    }
}

/* What a stage costs, its head apart; both 0 where that is unknown. */
typedef struct cost {
    uint32_t body, head;
} cost;

static uint32_t with_margin(uint32_t seen) {
    return plus(seen, (seen + 7) / 8);
}

static cost cost_of(const ofr_policy *p, unsigned unit, unsigned stage) {
    const ofr_policy_stage *s = &p->stages[stage];
    return unit == OFR_TICKS ? (cost){with_margin(s->seen), with_margin(s->seen_head)} : (cost){s->body, s->head};
}

static bool is_known(const ofr_policy *p, unsigned unit) {
    for (unsigned stage = 0; stage <= p->n_exits; stage++) {
        const cost c = cost_of(p, unit, stage);
        if (c.body == 0 || (c.head == 0 && stage < p->n_exits)) {
            return false;
        }
    }
    return true;
}

/* Up to the first way out. */
static uint32_t least_of(const ofr_policy *p, unsigned unit) {
    const cost first = cost_of(p, unit, 0);
    return plus(first.body, first.head);
}

/* ---- classes ---- */

static bool has_class(ofr_buffer answer) {
    return answer.dtype <= OFR_S16 && answer.bytes != 0;
}

static int32_t value_at(ofr_buffer answer, uint32_t i) {
    switch (answer.dtype) {
    case OFR_S8:
        return ((const int8_t *)answer.data)[i];
    case OFR_U8:
        return ((const uint8_t *)answer.data)[i];
    default:
        return ((const int16_t *)answer.data)[i];
    }
}

static uint16_t class_of(ofr_buffer answer) {
    const uint32_t count = answer.dtype == OFR_S16 ? answer.bytes / 2 : answer.bytes;
    uint32_t top = 0;
    if (!has_class(answer)) {
        return OFR_NO_CLASS;
    }
    for (uint32_t i = 1; i < count && i < OFR_NO_CLASS; i++) {
        top = value_at(answer, i) > value_at(answer, top) ? i : top;
    }
    return (uint16_t)top;
}

/* What patience makes of an exit's threshold where its answer is this class. */
static uint32_t threshold_of(const ofr_policy *p, uint32_t threshold, uint32_t class) {
    const ofr_policy_settings *s = &p->settings;
    if (s->patience_step == 0) {
        return threshold;
    }
    if (class != p->last_class || p->doubt_left != 0) {
        return threshold + s->doubt > UINT16_MAX ? UINT16_MAX : threshold + s->doubt;
    }
    const uint32_t floor = s->patience_floor < threshold ? s->patience_floor : threshold;
    const uint32_t room = threshold - floor;
    return room / s->patience_step < p->repeats ? floor : threshold - (uint32_t)s->patience_step * p->repeats;
}

static void note_class(ofr_policy *p, uint16_t class) {
    if (class != p->last_class) {
        p->last_class = class;
        p->repeats = 0;
        p->doubt_left = p->settings.doubt_runs;
    } else {
        p->repeats = (uint16_t)(p->repeats + (p->repeats < UINT16_MAX));
        p->doubt_left = (uint8_t)(p->doubt_left - (p->doubt_left > 0));
    }
    if (class != p->candidate) {
        p->candidate = class;
        p->candidate_seen = 0;
    }
    p->candidate_seen = (uint8_t)(p->candidate_seen + (p->candidate_seen < UINT8_MAX));
    if (p->candidate_seen >= p->settings.confirm) {
        p->outcome.reported = class;
    }
}

static void forget_classes(ofr_policy *p) {
    p->last_class = p->candidate = p->outcome.reported = OFR_NO_CLASS;
    p->repeats = p->candidate_seen = p->doubt_left = 0;
}

/* ---- prediction ---- */

/* Of runs that come to a head, how many leave by it, in 1/256. */
static uint32_t rate_of(const ofr_policy *p, unsigned exit) {
    const ofr_policy_stage *s = &p->stages[exit];
    return s->looked != 0 ? (uint32_t)s->taken * 256 / s->looked : 0;
}

static void count(ofr_policy *p, unsigned exit, bool sure) {
    ofr_policy_stage *s = &p->stages[exit];
    if (s->looked >= FORGET_AT) {
        s->looked /= 2;
        s->taken /= 2;
    }
    s->looked++;
    s->taken = (uint16_t)(s->taken + sure);
}

/* The mean cost from stage `from` on, and in `worth` the heads that save more than they cost. */
static uint32_t expected(const ofr_policy *p, unsigned *worth) {
    uint32_t rest = cost_of(p, p->settings.unit, p->n_exits).body;
    *worth = 0;
    for (unsigned i = p->n_exits; i-- > 0;) {
        const cost c = cost_of(p, p->settings.unit, i);
        const uint32_t rate = rate_of(p, i), saved = (rest >> 8) * rate;
        if (p->stages[i].looked < ENOUGH || saved > c.head) {
            *worth |= 1u << i;
            rest = plus(c.head, rest - saved);
        }
        rest = plus(c.body, rest);
    }
    return rest;
}

uint32_t ofr_policy_expected(const ofr_policy *policy) {
    unsigned worth;
    if (policy == NULL || policy->model == NULL || !is_known(policy, policy->settings.unit)) {
        return 0;
    }
    return expected(policy, &worth);
}

uint32_t ofr_policy_most(const ofr_policy *policy) {
    uint32_t most = 0;
    if (policy == NULL || policy->model == NULL || !is_known(policy, policy->settings.unit)) {
        return 0;
    }
    for (unsigned stage = 0; stage <= policy->n_exits; stage++) {
        const cost c = cost_of(policy, policy->settings.unit, stage);
        most = plus(most, plus(c.body, c.head));
    }
    return most;
}

/* Which heads this run looks at. */
static void predict(ofr_policy *p) {
    unsigned worth = ALL;
    p->since_look++;
    if (p->settings.look == 0 || p->whole || p->since_look >= p->settings.look) {
        p->since_look = 0;
    } else {
        (void)expected(p, &worth);
    }
    p->wanted = (uint8_t)worth;
}

/* ---- budgets ---- */

/* The next way out from `from` on that is wanted, or one before it if that alone is within `rest`; NONE if none is. */
static unsigned choose(const ofr_policy *p, unsigned from, uint32_t rest) {
    unsigned found = NONE;
    uint32_t before = 0;
    for (unsigned stage = from;; stage++) {
        const bool stops = stage == p->n_exits || (p->wanted >> stage & 1) != 0;
        if (rest == OFR_NO_BUDGET) {
            found = stage;
        } else {
            const cost c = cost_of(p, p->settings.unit, stage);
            before = plus(before, c.body);
            found = plus(before, c.head) <= rest ? stage : found;
        }
        if (stops) {
            return found;
        }
    }
}

/* What this run may take: its budget, and of the energy all but what the window's other runs need. */
static uint32_t budget_of_run(ofr_policy *p) {
    const ofr_policy_settings *s = &p->settings;
    const uint32_t budget = s->budget != 0 ? s->budget : OFR_NO_BUDGET;
    if (s->energy == 0) {
        return budget;
    }
    if (p->window_left == 0) {
        const uint32_t sum = plus(p->available, s->energy);
        p->available = sum < s->energy_limit ? sum : s->energy_limit;
        p->window_left = s->window;
    }
    p->window_left--;
    const uint32_t least = least_of(p, s->unit);
    const uint32_t kept = p->window_left == 0 || least <= UINT32_MAX / p->window_left ? least * p->window_left : UINT32_MAX;
    const uint32_t there = less(p->available, kept);
    return there < budget ? there : budget;
}

static uint32_t left_of_budget(const ofr_policy *p, uint32_t now) {
    if (p->outcome.budget == OFR_NO_BUDGET) {
        return OFR_NO_BUDGET;
    }
    return less(p->outcome.budget, p->settings.unit == OFR_TICKS ? now - p->started : p->outcome.instructions);
}

/* ---- a run ---- */

/* The part of a stage that runs next: up to its head, or where that is skipped or has begun, to its end. */
static void begin_part(ofr_policy *p, bool head) {
    const ofr_policy_stage *s = &p->stages[p->stage];
    p->in_head = head;
    p->mark_at = !head && p->stage == p->target ? s->head_at : s->end;
}

/* Goes on from the begin of a stage to the way out `target`. */
static void begin_stages(ofr_policy *p, unsigned stage, unsigned target) {
    p->stage = (uint8_t)stage;
    p->target = (uint8_t)target;
    ofr_use_exits(p->model, target < p->n_exits ? 1u << target : 0);
    begin_part(p, false);
}

/* The part that ran is over: its time and its cost are counted. */
static void end_part(ofr_policy *p, uint32_t now) {
    ofr_policy_stage *s = &p->stages[p->stage];
    uint32_t *seen = p->in_head ? &s->seen_head : &s->seen;
    const uint32_t ticks = now - p->mark;
    *seen = ticks > *seen ? ticks : *seen;
    p->mark = now;
    p->unknown |= s->body == 0;
    p->outcome.instructions = plus(p->outcome.instructions, p->in_head ? s->head : s->body);
    p->outcome.stages = (uint8_t)(p->outcome.stages + !p->in_head);
    if (p->in_head || p->stage == p->n_exits) {
        p->mark_at = NO_STEP;
    } else if (p->stage == p->target) {
        begin_part(p, true);
    } else {
        p->outcome.heads_skipped++;
        p->stage++;
        begin_part(p, false);
    }
}

static ofr_status finish(ofr_policy *p, uint32_t now) {
    ofr_outcome *o = &p->outcome;
    o->exit = (uint8_t)ofr_exit(p->model);
    o->ticks = now - p->started;
    p->phase = IDLE;
    p->measured |= p->whole;
    const uint32_t spent = p->settings.unit == OFR_TICKS ? o->ticks : o->instructions;
    o->met = o->budget == OFR_NO_BUDGET || spent <= o->budget;
    o->instructions = p->unknown ? 0 : o->instructions;
    if (p->whole) {
        return OFR_DONE;
    }
    p->available = less(p->available, spent);
    if (watches_classes(&p->settings)) {
        o->answer = class_of(ofr_output(p->model, 0));
        note_class(p, o->answer);
    }
    return o->exit == OFR_NO_EXIT ? OFR_DONE : OFR_EXIT;
}

/* Whether the answer at an exit is sure; that is counted. */
static bool is_sure(ofr_policy *p, unsigned exit) {
    const uint32_t class = p->settings.patience_step != 0 ? class_of(ofr_output(p->model, 0)) : OFR_NO_CLASS;
    const uint32_t confidence = ofr_confidence(p->model);
    ofr_stage info;
    const bool sure = ofr_stage_info(p->model, exit, &info) == OFR_OK && confidence >= threshold_of(p, info.threshold, class);
    p->outcome.confidence = (uint16_t)confidence;
    count(p, exit, sure);
    return sure;
}

/* At an exit: whether the run ends there; if not, the next way out is chosen. */
static bool leaves(ofr_policy *p, uint32_t now) {
    const unsigned exit = ofr_exit(p->model);
    if (!p->whole && is_sure(p, exit)) {
        return true;
    }
    const unsigned target = choose(p, exit + 1, left_of_budget(p, now));
    if (target == NONE) {
        p->outcome.cut_short = true;
        return true;
    }
    p->outcome.confidence = 0;
    begin_stages(p, exit + 1, target);
    return false;
}

/* The first stage may be seen to take longer after a budget was accepted: the margin is there for that. */
static bool fits_without_margin(const ofr_policy *p) {
    const ofr_policy_stage *s = &p->stages[0];
    return p->settings.unit == OFR_TICKS && plus(s->seen, s->seen_head) <= p->outcome.budget;
}

static void clear_outcome(ofr_policy *p) {
    p->outcome = (ofr_outcome){.budget = OFR_NO_BUDGET, .reported = p->outcome.reported, .answer = OFR_NO_CLASS, .exit = OFR_NO_EXIT};
}

static ofr_status begin(ofr_policy *p, uint32_t now, bool whole) {
    if (p == NULL || p->model == NULL) {
        return OFR_E_ARGUMENT;
    }
    p->whole = whole;
    clear_outcome(p);
    p->outcome.budget = whole ? OFR_NO_BUDGET : budget_of_run(p);
    predict(p);
    unsigned target = choose(p, 0, p->outcome.budget);
    if (target == NONE && fits_without_margin(p)) {
        target = 0;
    }
    p->phase = IDLE;
    if (target == NONE) {
        return OFR_E_BUDGET;
    }
    const ofr_status status = ofr_begin(p->model);
    if (status == OFR_OK) {
        p->phase = RUNNING;
        p->unknown = false;
        p->started = p->mark = now;
        begin_stages(p, 0, target);
    }
    return status;
}

ofr_status ofr_policy_begin(ofr_policy *policy, uint32_t now) {
    return begin(policy, now, false);
}

ofr_status ofr_policy_begin_whole(ofr_policy *policy, uint32_t now) {
    return begin(policy, now, true);
}

ofr_status ofr_policy_step(ofr_policy *policy, uint32_t now) {
    ofr_policy *p = policy;
    if (p == NULL) {
        return OFR_E_ARGUMENT;
    }
    if (p->phase == IDLE) {
        return OFR_E_ORDER;
    }
    if (ofr_position(p->model) == p->mark_at) {
        end_part(p, now);
    }
    if (p->phase == ENDED || (ofr_exit(p->model) != OFR_NO_EXIT && leaves(p, now))) {
        return finish(p, now);
    }
    const ofr_status status = ofr_step(p->model);
    if (status < OFR_OK) {
        p->phase = IDLE;
        return status;
    }
    p->phase = status == OFR_DONE ? ENDED : RUNNING;
    return OFR_MORE;
}

static bool is_plain(const ofr_policy_settings *s) {
    return s->budget == 0 && s->energy == 0 && s->look == 0 && !watches_classes(s);
}

/* Confidence alone, with nothing to do between two exits. */
static ofr_status run_plain(ofr_policy *p) {
    clear_outcome(p);
    p->phase = IDLE;
    p->since_look = 0;
    ofr_use_exits(p->model, ALL);
    ofr_status status = ofr_begin(p->model);
    if (status != OFR_OK) {
        return status;
    }
    do {
        status = ofr_step(p->model);
    } while (status == OFR_MORE || (status == OFR_EXIT && !is_sure(p, ofr_exit(p->model))));
    ofr_outcome *o = &p->outcome;
    o->exit = (uint8_t)ofr_exit(p->model);
    o->stages = (uint8_t)(o->exit == OFR_NO_EXIT ? p->n_exits + 1u : o->exit + 1u);
    o->confidence = o->exit == OFR_NO_EXIT ? 0 : o->confidence;
    o->met = true;
    bool known = true;
    for (unsigned stage = 0; stage < o->stages; stage++) {
        known = known && p->stages[stage].body != 0;
        o->instructions = plus(o->instructions, plus(p->stages[stage].body, p->stages[stage].head));
    }
    o->instructions = known ? o->instructions : 0;
    return status;
}

ofr_status ofr_policy_run(ofr_policy *policy) {
    if (policy != NULL && policy->model != NULL && is_plain(&policy->settings)) {
        return run_plain(policy);
    }
    ofr_status status = ofr_policy_begin(policy, 0);
    while (status == OFR_OK || status == OFR_MORE) {
        status = ofr_policy_step(policy, 0);
    }
    return status;
}

const ofr_outcome *ofr_policy_outcome(const ofr_policy *policy) {
    return policy != NULL ? &policy->outcome : NULL;
}

/* ---- settings ---- */

ofr_status ofr_policy_start(ofr_policy *policy, ofr_model *model) {
    if (policy == NULL || model == NULL) {
        return OFR_E_ARGUMENT;
    }
    memset(policy, 0, sizeof *policy);
    ofr_stage info;
    const ofr_status status = ofr_stage_info(model, 0, &info);
    if (status == OFR_OK) {
        policy->model = model;
        policy->n_exits = (uint8_t)ofr_exits(model);
        policy->outcome.exit = OFR_NO_EXIT;
        policy->outcome.answer = OFR_NO_CLASS;
        policy->outcome.budget = OFR_NO_BUDGET;
        forget_classes(policy);
        read_stages(policy);
    }
    return status;
}

static ofr_status check_budgets(const ofr_policy *p, const ofr_policy_settings *s, uint32_t *least) {
    const bool is_counted = s->budget != 0 || s->energy != 0 || s->look != 0;
    *least = is_known(p, s->unit) ? least_of(p, s->unit) : 0;
    if (is_counted && *least == 0) {
        return s->unit == OFR_TICKS && p->measured && p->stages[0].seen == 0 ? OFR_E_CLOCK : OFR_E_COST;
    }
    if (s->budget != 0 && s->budget < *least) {
        return OFR_E_BUDGET;
    }
    if (s->energy != 0 && s->energy / s->window < *least) {
        *least = *least <= UINT32_MAX / s->window ? *least * s->window : UINT32_MAX;
        return OFR_E_BUDGET;
    }
    return OFR_OK;
}

static ofr_status check_classes(const ofr_policy *p) {
    bool has = has_class(ofr_output(p->model, 0));
    for (unsigned exit = 0; exit < p->n_exits; exit++) {
        has = has && has_class(ofr_answer(p->model, exit));
    }
    return has ? OFR_OK : OFR_E_DTYPE;
}

ofr_status ofr_policy_set(ofr_policy *policy, const ofr_policy_settings *settings, uint32_t *least) {
    const ofr_policy_settings *s = settings;
    uint32_t unused;
    least = least != NULL ? least : &unused;
    *least = 0;
    if (policy == NULL || s == NULL || policy->model == NULL || s->unit > OFR_TICKS ||
        (s->energy != 0 && (s->window == 0 || s->energy_limit < s->energy))) {
        return OFR_E_ARGUMENT;
    }
    const ofr_policy_settings before = policy->settings;
    policy->settings = *s;
    read_stages(policy); /* costs depend on the settings */
    ofr_status status = check_budgets(policy, s, least);
    if (status == OFR_OK && watches_classes(s)) {
        status = check_classes(policy);
    }
    if (status != OFR_OK) {
        policy->settings = before;
        read_stages(policy);
        return status;
    }
    policy->phase = IDLE;
    policy->available = 0;
    policy->window_left = 0;
    policy->since_look = 0;
    forget_classes(policy);
    return OFR_OK;
}

#endif

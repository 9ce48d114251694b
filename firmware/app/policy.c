/* Which plan of a family runs: one, the dearest within a budget, the cheapest and, where unsure, dearer ones, or the one
 * that a gate names. */
#include "policy.h"

#if APP_PLANS > 1

#include "bytes.h"
#include "link.h"
#include "port.h"
#include "requests.h"
#include "source_requests.h"

#include <string.h>

#define MARGIN_OF_THE_BLOB 0xFFFFFFFFu

struct policy_counts policy_counts;

static uint8_t first;       /* the plan that a run begins with */
static uint8_t last;        /* the place in `order` that a run goes to at most */
static uint8_t start;       /* the place of `first` */
static uint32_t margin;     /* of a cascade: an answer below it is unsure */
static uint32_t copy_bytes; /* of inputs, that a cascade keeps behind the arena */
static uint8_t order[APP_PLANS]; /* plans, the cheapest first; a gate, which gives no answer, last */
static bool gated;               /* the gate runs first and names the plan */
static bool straight;            /* a cascade goes from its first plan to its last, past those between */

/* Plans that answer. */
static uint32_t n_answering(void) {
    return n_plans() - (active.gate != 0);
}

/* What a plan takes; one of unknown cost is the dearest. */
static uint32_t instructions_of(uint32_t plan) {
    ofr_plan info;
    const int status = ofr_plan_info(plan_at(plan), &info);
    return status < 0 || info.instructions == 0 ? UINT32_MAX : info.instructions;
}

/* Of equal ones the last in the blob first: plan 0 is the model that the others stand in for. */
static void sort_plans(void) {
    uint32_t n = 0;
    for (uint32_t plan = n_plans(); plan-- != 0;) {
        if (plan + 1 == active.gate) continue;
        uint32_t at = n++;
        for (; at > 0 && instructions_of(order[at - 1]) > instructions_of(plan); --at)
            order[at] = order[at - 1];
        order[at] = (uint8_t)plan;
    }
    if (active.gate != 0) order[n] = (uint8_t)(active.gate - 1);
}

uint32_t policy_copy_bytes(void) {
    return copy_bytes;
}

static void keep_copy(uint32_t bytes) {
    if (bytes != copy_bytes) source_drop();
    active.region_used += bytes - copy_bytes;
    copy_bytes = bytes;
}

static uint8_t place_of(uint32_t plan) {
    uint8_t at = 0;
    while (order[at] != plan)
        ++at;
    return at;
}

static void run_one(uint32_t plan) {
    start = place_of(plan);
    first = (uint8_t)plan;
    last = start;
    gated = false;
    keep_copy(0);
}

void policy_start(void) {
    copy_bytes = 0;
    memset(policy_counts.runs, 0, sizeof policy_counts.runs);
    ++policy_counts.loads;
    active.answered = 0;
    sort_plans();
    run_one(0);
}

uint32_t policy_first(void) {
    return first;
}

/* Inputs lie at one place for every plan; those of the caller's memory outlive a run. */
static bool is_consumed(ofr_buffer input) {
    const uintptr_t arena = (uintptr_t)port_arena().base;
    return (uintptr_t)input.data - arena < active.need.arena_bytes;
}

/* Copies inputs behind the arena, or back. */
static void copy_inputs(bool back) {
    uint8_t *kept = port_arena().base + aligned(active.need.arena_bytes);
    for (unsigned i = 0; i < active.need.n_inputs; ++i) {
        const ofr_buffer input = ofr_input(&active.plans[0], i);
        if (!is_consumed(input)) continue;
        memcpy(back ? (uint8_t *)input.data : kept, back ? kept : (uint8_t *)input.data, input.bytes);
        kept += aligned(input.bytes);
    }
}

ofr_model *policy_take(uint32_t plan) {
    active.answered = (uint8_t)plan;
    ++policy_counts.runs[plan];
    return plan_at(plan);
}

/* The largest value of output 0 less the second largest, in its integers: 0 to 255. */
static uint32_t margin_of(const ofr_model *model) {
    const ofr_buffer scores = ofr_output(model, 0);
    const uint8_t *at = scores.data, sign = scores.dtype == OFR_S8 ? 0x80 : 0;
    uint32_t most = 0, second = 0;
    for (uint32_t i = 0; i < scores.bytes; ++i) {
        const uint32_t score = at[i] ^ sign;
        if (score > most) {
            second = most;
            most = score;
        } else if (score > second) {
            second = score;
        }
    }
    return most - second;
}

/* The plan with the gate's largest score, of equal ones the first. */
static uint32_t named_plan(void) {
    const ofr_buffer scores = ofr_output(plan_at(active.gate - 1u), 0);
    const int8_t *at = scores.data;
    uint32_t best = 0;
    for (uint32_t i = 1; i < scores.bytes && i < n_answering(); ++i)
        if (at[i] > at[best]) best = i;
    return best + (best + 1 >= active.gate);
}

static int run_gated(uint32_t *ran) {
    const int status = policy_run_plan(active.gate - 1u, false);
    if (status < 0) return status;
    ++*ran;
    return policy_run_plan(named_plan(), false);
}

int policy_run(uint32_t *ran) {
    if (gated) return run_gated(ran);
    if (last == start) return policy_run_plan(first, false);
    copy_inputs(false);
    for (uint32_t at = start;; at = straight ? last : at + 1, ++*ran) {
        const int status = policy_run_plan(order[at], false);
        if (status < 0 || at == last || margin_of(plan_at(order[at])) >= margin) return status;
        copy_inputs(true);
    }
}

static int set_budget(uint32_t budget, ofr_fault *fault) {
    const uint32_t least = instructions_of(order[0]);
    *fault = (ofr_fault){-1, -1, budget, least == UINT32_MAX ? 0 : least};
    if (least > budget || least == UINT32_MAX) return LINK_E_BUDGET;
    uint32_t at = 0;
    while (at + 1 < n_answering() && instructions_of(order[at + 1]) <= budget)
        ++at;
    run_one(order[at]);
    return OFR_OK;
}

/* The blob's margin is of the cheapest plan's answers against plan 0, which is where unsure inputs go with it. */
static int set_cascade(uint32_t wanted, uint32_t to, ofr_fault *fault) {
    const ofr_buffer scores = ofr_output(&active.plans[0], 0);
    *fault = (ofr_fault){-1, -1, scores.dtype, active.need.state_bytes};
    if (active.need.state_bytes != 0 || scores.bytes < 2 || scores.dtype > OFR_U8) return LINK_E_CASCADE;
    uint32_t bytes = aligned(active.need.arena_bytes) - active.need.arena_bytes; /* 0, but a blob may say anything */
    for (unsigned i = 0; i < active.need.n_inputs; ++i) {
        const ofr_buffer input = ofr_input(&active.plans[0], i);
        if (is_consumed(input)) bytes += aligned(input.bytes);
    }
    const uint32_t room = (port_arena().size & ~(OFR_ALIGN - 1)) - (active.region_used - copy_bytes);
    *fault = (ofr_fault){-1, -1, room, bytes};
    if (bytes > room) return OFR_E_ARENA;
    ofr_plan info;
    const int status = ofr_plan_info(&active.plans[0], &info);
    if (status < 0) return status;
    *fault = (ofr_fault){-1, -1, info.margin, UINT8_MAX};
    if (wanted == MARGIN_OF_THE_BLOB && info.margin == 0) return LINK_E_MARGIN;
    if (wanted == MARGIN_OF_THE_BLOB && to == 0) to = 1;
    *fault = (ofr_fault){-1, -1, to, n_plans()};
    if (to > n_plans() || (to != 0 && to == active.gate)) return LINK_E_INDEX;
    margin = wanted == MARGIN_OF_THE_BLOB ? info.margin : wanted;
    first = order[0];
    start = 0;
    straight = to != 0;
    last = straight ? place_of(to - 1) : (uint8_t)(n_answering() - 1);
    gated = false;
    keep_copy(bytes);
    return OFR_OK;
}

static int set_gate(ofr_fault *fault) {
    *fault = (ofr_fault){-1, -1, 0, n_plans()};
    if (active.gate == 0) return LINK_E_GATE;
    run_one(active.gate - 1u);
    gated = true;
    return OFR_OK;
}

static int set_policy(uint32_t kind, uint32_t plan, uint32_t to, uint32_t value, ofr_fault *fault) {
    switch (kind) {
    case POLICY_PLAN:
        *fault = (ofr_fault){-1, -1, plan, n_plans()};
        if (plan >= n_plans()) return LINK_E_INDEX;
        run_one(plan);
        return OFR_OK;
    case POLICY_BUDGET:
        return set_budget(value, fault);
    case POLICY_CASCADE:
        return set_cascade(value, to, fault);
    case POLICY_GATE:
        return set_gate(fault);
    default:
        *fault = (ofr_fault){-1, -1, kind, POLICY_GATE};
        return LINK_E_INDEX;
    }
}

size_t policy_request(const uint8_t *payload, size_t n, uint8_t *reply) {
    ofr_fault fault;
    (void)n;
    int status = find_model(payload, &fault);
    if (status >= 0) status = set_policy(payload[1], payload[2], payload[3], get_u32(payload + 4), &fault);
    if (status < 0) return refuse_fault(reply, status, &fault);
    uint8_t *p = put_u32(start_reply(reply, 0), first);
    p = put_u32(p, last == start ? 0 : margin);
    return (size_t)(p - reply);
}

#endif

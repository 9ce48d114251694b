/* Thresholds, exit policies and what became of runs, for the host. */
#include "exit_requests.h"

#if OFR_EXITS

#include "bytes.h"
#include "link.h"
#include "offramp_policy.h"
#include "port.h"
#include "requests.h"

#include <string.h>

enum outcome_flag { CUT_SHORT = 1, BUDGET_MET = 2, HEADS_SKIPPED = 4 };

static ofr_policy policies[APP_PLANS];
static uint32_t runs[APP_PLANS][OFR_MAX_EXITS + 1]; /* by exit since the load; the last stage's run to the end */

static ofr_policy *policy_of(uint32_t plan) {
    return &policies[APP_PLANS > 1 ? plan : 0];
}

void exits_start(void) {
    memset(runs, 0, sizeof runs);
    for (uint32_t plan = 0; plan < n_plans(); ++plan) {
        const int status = ofr_policy_start(policy_of(plan), plan_at(plan));
        (void)status; /* the plan is loaded */
    }
}

/* Without a counter where none is asked for, which takes less. */
static int run_by_policy(ofr_policy *policy, bool whole) {
    if (!whole && policy->settings.unit == OFR_INSTRUCTIONS) return ofr_policy_run(policy);
    int status = whole ? ofr_policy_begin_whole(policy, port_ticks()) : ofr_policy_begin(policy, port_ticks());
    while (status == OFR_OK || status == OFR_MORE)
        status = ofr_policy_step(policy, port_ticks());
    return status;
}

int exits_run(uint32_t plan, bool whole) {
    ofr_policy *policy = policy_of(plan);
    const int status = ofr_exits(plan_at(plan)) == 0 ? ofr_run(plan_at(plan)) : run_by_policy(policy, whole);
    const uint32_t exit = ofr_exit(plan_at(plan));
    if (status >= 0) ++runs[plan][exit == OFR_NO_EXIT ? ofr_exits(plan_at(plan)) : exit];
    return status;
}

uint32_t exit_taken(void) {
    return ofr_exit(plan_at(answered()));
}

bool has_exits(void) {
    return ofr_exits(plan_at(answered())) != 0;
}

void use_all_exits(uint32_t plan) {
    ofr_use_exits(plan_at(plan), UINT8_MAX);
}

uint8_t *put_outcome(uint8_t *p) {
    const ofr_outcome *o = ofr_policy_outcome(policy_of(answered()));
    const uint32_t flags =
        (o->cut_short ? CUT_SHORT : 0) | (o->met ? BUDGET_MET : 0) | (o->heads_skipped ? HEADS_SKIPPED : 0);
    p = put_u8(put_u8(put_u16(p, o->confidence), flags), o->stages);
    p = put_u32(p, o->instructions);
    return put_u16(put_u16(p, o->answer), o->reported);
}

uint8_t *put_exit_counts(uint8_t *p, uint32_t plan) {
    for (uint32_t i = 0; i <= ofr_exits(plan_at(plan)); ++i)
        p = put_u32(p, runs[plan][i]);
    return p;
}

/* A plan of the active model: u8 model, u8 plan. */
static int find_plan(const uint8_t *payload, ofr_fault *fault) {
    const int status = find_model(payload, fault);
    if (status < 0 || payload[1] < n_plans()) return status;
    *fault = (ofr_fault){-1, -1, payload[1], n_plans()};
    return LINK_E_INDEX;
}

static int set_threshold(const uint8_t *payload, ofr_fault *fault) {
    const uint32_t exit = payload[2], value = get_u32(payload + 4);
    const int status = find_plan(payload, fault);
    if (status < 0) return status;
    ofr_model *model = plan_at(payload[1]);
    *fault = (ofr_fault){-1, -1, exit, ofr_exits(model)};
    if (exit >= ofr_exits(model)) return LINK_E_EXIT;
    *fault = (ofr_fault){-1, -1, value, UINT16_MAX};
    return value > UINT16_MAX ? (int)LINK_E_THRESHOLD : (int)ofr_set_threshold(model, exit, value);
}

size_t threshold_request(const uint8_t *payload, size_t n, uint8_t *reply) {
    ofr_fault fault;
    (void)n;
    const int status = set_threshold(payload, &fault);
    if (status < 0) return refuse_fault(reply, status, &fault);
    start_reply(reply, 0);
    return REPLY_BYTES;
}

static ofr_policy_settings settings_of(const uint8_t *p) {
    return (ofr_policy_settings){
        .unit = p[2],
        .budget = get_u32(p + 4),
        .energy = get_u32(p + 8),
        .energy_limit = get_u32(p + 12),
        .window = (uint16_t)get_u16(p + 16),
        .patience_step = (uint16_t)get_u16(p + 18),
        .patience_floor = (uint16_t)get_u16(p + 20),
        .doubt = (uint16_t)get_u16(p + 22),
        .doubt_runs = p[24],
        .confirm = p[25],
        .look = p[26],
    };
}

size_t exit_policy_request(const uint8_t *payload, size_t n, uint8_t *reply) {
    ofr_fault fault;
    uint32_t least;
    (void)n;
    int status = find_plan(payload, &fault);
    if (status < 0) return refuse_fault(reply, status, &fault);
    ofr_policy *policy = policy_of(payload[1]);
    if (ofr_exits(plan_at(payload[1])) == 0) return refuse(reply, LINK_E_EXIT, 0, 0);
    const ofr_policy_settings settings = settings_of(payload);
    status = ofr_policy_set(policy, &settings, &least);
    const bool budget_is_less = settings.budget != 0 && settings.budget < least;
    if (status < 0) return refuse(reply, status, budget_is_less ? settings.budget : settings.energy, least);
    uint8_t *p = put_u32(start_reply(reply, 0), least);
    p = put_u32(put_u32(p, ofr_policy_expected(policy)), ofr_policy_most(policy));
    return (size_t)(p - reply);
}

static uint8_t *put_name(uint8_t *p, const uint8_t *end, const ofr_model *model, unsigned exit) {
    uint32_t bytes;
    const char *name = ofr_exit_name(model, exit, &bytes);
    const size_t room = (size_t)(end - p), count = bytes < room ? bytes : room;
    if (count != 0) memcpy(p, name, count);
    return p + count;
}

size_t describe_stage(uint32_t index, uint8_t *reply) {
    const uint32_t plan = index >> 8, stage = index & 0xFF;
    if (plan >= n_plans()) return refuse(reply, LINK_E_INDEX, plan, n_plans());
    const ofr_model *model = plan_at(plan);
    ofr_stage info;
    if (stage > ofr_exits(model)) return refuse(reply, LINK_E_INDEX, stage, ofr_exits(model) + 1);
    const int status = ofr_stage_info(model, stage, &info);
    if (status < 0) return refuse(reply, status, 0, 0);
    const ofr_buffer answer = info.is_exit ? ofr_answer(model, stage) : (ofr_buffer){0};
    uint8_t *p = reply + REPLY_BYTES;
    p = put_u16(put_u8(put_u8(p, ofr_exits(model)), info.confidence), info.threshold);
    p = put_u16(put_u16(p, info.first_step), info.n_steps);
    p = put_u8(put_u8(put_u16(p, info.head_steps), answer.dtype), answer.rank);
    p = put_u32(put_u32(put_u32(p, info.instructions), info.head_instructions), answer.bytes);
    start_reply(reply, (uint32_t)(p - reply));
    const uint8_t *end = reply + LINK_PAYLOAD_BYTES;
    for (uint32_t i = 0; i < answer.rank && p + 4 <= end; ++i)
        p = put_u32(p, (uint32_t)answer.dims[i]);
    return (size_t)((info.is_exit ? put_name(p, end, model, stage) : p) - reply);
}

#endif

/* The table of requests, and those that receive and run models. */
#include "requests.h"

#include "bytes.h"
#include "describe.h"
#include "exit_requests.h"
#include "front_end.h"
#include "link.h"
#include "models.h"
#include "policy.h"
#include "port.h"
#include "source_requests.h"

#include <string.h>

#define RUN_RESET_STATE 1u
#define RUN_MEASURE 2u
#define RUN_MEASURE_STEPS 4u
#define RUN_TO_THE_END 8u /* takes no exit */
#define RUN_PLAN_SHIFT 4 /* bits 4 to 7: 1 + the plan to run; 0: as the policy says */
#define PART_BYTES 8u
#define RUN_REQUEST_BYTES 4u
#if OFR_EXITS
#define RUN_REPLY_BYTES 24u
#else
#define RUN_REPLY_BYTES 12u
#endif

uint8_t *start_reply(uint8_t *reply, uint32_t variable_part) {
    return put_u16(put_u16(reply, OFR_OK), variable_part);
}

size_t refuse_fault(uint8_t *reply, int status, const ofr_fault *fault) {
    uint8_t *p = put_u32(reply, (uint16_t)status);
    p = put_u32(put_u32(p, fault->found), fault->allowed);
    p = put_u32(put_u32(p, (uint32_t)fault->step), (uint32_t)fault->tensor);
    return (size_t)(p - reply);
}

size_t refuse(uint8_t *reply, int status, uint32_t found, uint32_t allowed) {
    return refuse_fault(reply, status, &(ofr_fault){-1, -1, found, allowed});
}

static size_t done(uint8_t *reply, int status, const ofr_fault *fault) {
    if (status < 0) return refuse_fault(reply, status, fault);
    start_reply(reply, 0);
    return REPLY_BYTES;
}

static size_t model_begin(const uint8_t *payload, size_t n, uint8_t *reply) {
    ofr_fault fault;
    (void)n;
    if (payload[0] != MODEL_SLOT) return refuse(reply, LINK_E_INDEX, payload[0], MODEL_SLOT);
    return done(reply, slot_begin(get_u32(payload + 4), &fault), &fault);
}

static size_t model_chunk(const uint8_t *payload, size_t n, uint8_t *reply) {
    ofr_fault fault;
    return done(reply, slot_chunk(get_u32(payload), payload + 4, (uint32_t)n - 4, &fault), &fault);
}

static size_t model_commit(const uint8_t *payload, size_t n, uint8_t *reply) {
    ofr_fault fault = {-1, -1, 0, 0};
    (void)payload, (void)n;
    return done(reply, slot_commit(&fault), &fault);
}

static size_t activate(uint8_t source, uint8_t *reply) {
    if (source > MODEL_SLOT) return refuse(reply, LINK_E_INDEX, source, MODEL_SLOT);
    return done(reply, model_activate(source), &last_load.fault);
}

static size_t model_activate_one(const uint8_t *payload, size_t n, uint8_t *reply) {
    (void)n;
    return activate(payload[0], reply);
}

static size_t model_roll_back(const uint8_t *payload, size_t n, uint8_t *reply) {
    (void)payload, (void)n;
    return activate(MODEL_LINKED, reply);
}

int find_model(const uint8_t *payload, ofr_fault *fault) {
    *fault = (ofr_fault){-1, -1, payload[0], 0};
    if (active.source == MODEL_NONE) return LINK_E_NO_MODEL;
    return payload[0] == 0 ? OFR_OK : LINK_E_INDEX;
}

/* A part of a tensor: u8 model, u8 index, u16 reserved, u32 offset. Returns a status. */
static int check_part(const uint8_t *payload, uint32_t n_tensors, ofr_fault *fault) {
    const int status = find_model(payload, fault);
    if (status < 0 || payload[1] < n_tensors) return status;
    *fault = (ofr_fault){-1, -1, payload[1], n_tensors};
    return LINK_E_INDEX;
}

static int check_range(uint32_t offset, uint32_t n, uint32_t bytes, ofr_fault *fault) {
    *fault = (ofr_fault){-1, -1, offset + n, bytes};
    return offset <= bytes && n <= bytes - offset ? OFR_OK : LINK_E_RANGE;
}

static int write_input(const uint8_t *payload, size_t n, ofr_fault *fault) {
    *fault = (ofr_fault){-1, -1, (uint32_t)n, PART_BYTES};
    if (n < PART_BYTES) return LINK_E_LENGTH;
    int status = check_part(payload, active.need.n_inputs, fault);
    if (status < 0) return status;
    const ofr_buffer input = ofr_input(&active.plans[0], payload[1]);
    const uint32_t offset = get_u32(payload + 4), count = (uint32_t)(n - PART_BYTES);
    status = check_range(offset, count, input.bytes, fault);
    if (status >= 0) memcpy((uint8_t *)input.data + offset, payload + PART_BYTES, count);
    return status;
}

static size_t input(const uint8_t *payload, size_t n, uint8_t *reply) {
    ofr_fault fault;
    return done(reply, write_input(payload, n, &fault), &fault);
}

static int run_whole(uint32_t flags, uint32_t *ran, uint32_t *ticks) {
    const uint32_t plan = flags >> RUN_PLAN_SHIFT;
    const bool to_the_end = OFR_EXITS && (flags & RUN_TO_THE_END) != 0;
    const uint32_t start = port_ticks();
    const int status = (plan == 0 || APP_PLANS == 1) && !to_the_end
                           ? policy_run(ran)
                           : policy_run_plan(plan != 0 ? plan - 1 : policy_first(), to_the_end);
    *ticks = ticks_since(start);
    return status;
}

/* Runs all steps of a plan one by one and writes the ticks of each from `first` on, as many as fit before `end`. */
static int run_steps(uint32_t plan, uint32_t first, uint8_t **p, const uint8_t *end) {
    ofr_model *model = policy_take(plan);
    use_all_exits(plan);
    int status = ofr_begin(model);
    while (status >= 0 && status != OFR_DONE) {
        const uint32_t position = ofr_position(model);
        const uint32_t start = port_ticks();
        status = ofr_step(model);
        const uint32_t ticks = ticks_since(start);
        if (position >= first && *p + 4 <= end) *p = put_u32(*p, ticks);
    }
    return status;
}

/* All outputs one after the other, cut where the reply is full; `output` fetches the rest. */
static uint8_t *append_outputs(uint8_t *p, const uint8_t *end) {
    for (unsigned i = 0; i < active.need.n_outputs; ++i) {
        ofr_buffer output;
        if (ofr_result(plan_at(answered()), i, &output) < 0) break;
        const size_t room = (size_t)(end - p);
        const size_t count = output.bytes < room ? output.bytes : room;
        memcpy(p, output.data, count);
        p += count;
    }
    return p;
}

static void reset_states(void) {
    for (uint32_t plan = 0; plan < n_plans(); ++plan)
        ofr_reset_state(plan_at(plan));
}

static size_t run(const uint8_t *payload, size_t n, uint8_t *reply) {
    ofr_fault fault;
    const uint32_t flags = payload[1], first_step = get_u16(payload + 2), plan = flags >> RUN_PLAN_SHIFT;
    int status = find_model(payload, &fault);
    if (status >= 0 && plan > n_plans()) return refuse(reply, LINK_E_INDEX, plan - 1, n_plans());
    if (status >= 0 && n > RUN_REQUEST_BYTES)
        status = write_input(payload + RUN_REQUEST_BYTES, n - RUN_REQUEST_BYTES, &fault);
    if (status < 0) return refuse_fault(reply, status, &fault);
    if (flags & RUN_RESET_STATE) reset_states();
    uint8_t *p = reply + RUN_REPLY_BYTES;
    const uint8_t *end = reply + LINK_PAYLOAD_BYTES;
    uint32_t ticks = 0, ran = 1;
    if (flags & (RUN_MEASURE | RUN_MEASURE_STEPS)) port_receive(false);
    status = flags & RUN_MEASURE_STEPS ? run_steps(plan != 0 ? plan - 1 : policy_first(), first_step, &p, end)
                                       : run_whole(flags, &ran, &ticks);
    if (!(flags & RUN_MEASURE)) ticks = 0; /* other interrupts are in it */
    port_receive(true);
    ++active.runs;
    if (status < 0) return refuse(reply, status, 0, 0);
    if (!(flags & RUN_MEASURE_STEPS)) p = append_outputs(p, end);
    const uint32_t how = exit_taken() | answered() << 8 | ran << 16;
    uint8_t *at = put_u32(put_u32(start_reply(reply, RUN_REPLY_BYTES), how), ticks);
#if OFR_EXITS
    at = put_outcome(at);
#endif
    (void)at;
    return (size_t)(p - reply);
}

/* At an exit there is output 0 alone. */
static int read_output(uint32_t index, ofr_buffer *from) {
    if (OFR_EXITS && exit_taken() != OFR_NO_EXIT && index != 0) {
        *from = (ofr_buffer){NULL, 0, NULL, 0, 0};
        return OFR_OK;
    }
    return ofr_result(plan_at(answered()), index, from);
}

/* What a run gives may be shorter than what it gives by another exit: nothing or less is sent. */
static void cut_to_answer(uint32_t *offset, uint32_t *count, const ofr_buffer *from) {
    if (*offset > from->bytes) *offset = from->bytes;
    if (*count > from->bytes - *offset) *count = from->bytes - *offset;
}

static size_t output(const uint8_t *payload, size_t n, uint8_t *reply) {
    ofr_fault fault;
    ofr_buffer from;
    uint32_t offset = get_u32(payload + 4), count = get_u32(payload + 8);
    (void)n;
    int status = check_part(payload, active.need.n_outputs, &fault);
    if (status >= 0) status = read_output(payload[1], &from);
    if (status >= 0 && has_exits()) cut_to_answer(&offset, &count, &from);
    if (status >= 0) status = check_range(offset, count, from.bytes, &fault);
    if (status < 0) return refuse_fault(reply, status, &fault);
    if (count > LINK_PAYLOAD_BYTES - REPLY_BYTES)
        return refuse(reply, LINK_E_RANGE, count, LINK_PAYLOAD_BYTES - REPLY_BYTES);
    uint8_t *to = start_reply(reply, REPLY_BYTES);
    if (!OFR_EXITS || count != 0) memcpy(to, (const uint8_t *)from.data + offset, count);
    return REPLY_BYTES + count;
}

static size_t reset_state(const uint8_t *payload, size_t n, uint8_t *reply) {
    ofr_fault fault;
    (void)n;
    const int status = find_model(payload, &fault);
    if (status >= 0) reset_states();
#if APP_FRONT_ENDS
    if (status >= 0) front_end_reset();
#endif
    return done(reply, status, &fault);
}

struct request {
    uint8_t code, least_bytes;
    size_t (*answer)(const uint8_t *payload, size_t n, uint8_t *reply);
};

size_t request_answer(uint8_t code, const uint8_t *payload, size_t n, uint8_t *reply) {
    static const struct request requests[] = {
        {LINK_INFO, 4, describe},
        {LINK_STATISTICS, 0, statistics},
        {LINK_MODEL_BEGIN, 8, model_begin},
        {LINK_MODEL_CHUNK, 4, model_chunk},
        {LINK_MODEL_COMMIT, 0, model_commit},
        {LINK_MODEL_ACTIVATE, 1, model_activate_one},
        {LINK_MODEL_ROLL_BACK, 0, model_roll_back},
        {LINK_INPUT, PART_BYTES, input},
        {LINK_RUN, RUN_REQUEST_BYTES, run},
        {LINK_OUTPUT, PART_BYTES + 4, output},
        {LINK_RESET_STATE, 1, reset_state},
#if APP_FRONT_ENDS
        {LINK_FEED, 4, feed_request},
#endif
#if APP_PLANS > 1
        {LINK_POLICY, 8, policy_request},
#endif
#if OFR_EXITS
        {LINK_THRESHOLD, 8, threshold_request},
        {LINK_EXIT_POLICY, 28, exit_policy_request},
#endif
#ifdef APP_SOURCE
        {LINK_SOURCE, 0, source_info},
        {LINK_SOURCE_START, 4, source_start},
        {LINK_SOURCE_READ, 0, source_read},
        {LINK_SOURCE_STOP, 0, source_stop},
#endif
    };
    for (size_t i = 0; i < sizeof requests / sizeof *requests; ++i) {
        if (requests[i].code != code) continue;
        if (n < requests[i].least_bytes) return refuse(reply, LINK_E_LENGTH, (uint32_t)n, requests[i].least_bytes);
        return requests[i].answer(payload, n, reply);
    }
    return refuse(reply, LINK_E_REQUEST, code, 0);
}

/* Answers `info` and `statistics` from the image, the port and the active model. */
#include "describe.h"

#include "bytes.h"
#include "exit_requests.h"
#include "front_end.h"
#include "identity.h"
#include "kernel.h"
#include "link.h"
#include "models.h"
#include "policy.h"
#include "port.h"
#include "requests.h"
#include "session.h"

#include <string.h>

enum topic {
    TOPIC_BOARD = 0,
    TOPIC_MODEL = 1,
    TOPIC_KERNELS = 2,
    TOPIC_INPUT = 3,
    TOPIC_OUTPUT = 4,
    TOPIC_PLAN = 5,
    TOPIC_STAGE = 6,
    TOPIC_FRONT_END = 7
};

#define LAST_TOPIC                                                                                                     \
    (APP_FRONT_ENDS ? TOPIC_FRONT_END : OFR_EXITS ? TOPIC_STAGE : APP_PLANS > 1 ? TOPIC_PLAN : TOPIC_OUTPUT)

/* The variable part begins where the fixed fields end. */
static uint8_t *start_variable_part(uint8_t *reply, uint8_t *p) {
    start_reply(reply, (uint32_t)(p - reply));
    return p;
}

static size_t board(uint8_t *reply) {
    static const char texts[] = APP_VERSION "\0" APP_BOARD "\0" APP_COMPILER "\0" APP_CMSIS_NN_VERSION;
    _Static_assert(sizeof texts <= LINK_PAYLOAD_BYTES - 20, "shorten the texts of identity.h");
    const struct port_memory slot = port_model_slot();
    uint8_t *p = reply + REPLY_BYTES;
    p = put_u8(put_u8(p, OFR_API_MAJOR), OFR_API_MINOR);
    p = put_u8(put_u8(p, OFR_FORMAT_MAJOR), OFR_FORMAT_MINOR);
    p = put_u16(put_u16(p, ofr_linked_kernels.core), ofr_linked_kernels.count);
    p = put_u32(p, port_arena().size);
    p = put_u32(p, slot.writable ? slot.size : 0);
    memcpy(start_variable_part(reply, p), texts, sizeof texts);
    return (size_t)(p - reply) + sizeof texts;
}

static size_t copy_name(uint8_t *to, size_t room) {
    uint32_t bytes;
    const char *name = ofr_name(&active.plans[0], &bytes);
    const size_t count = bytes < room ? bytes : room;
    if (count != 0) memcpy(to, name, count);
    return count;
}

static size_t model(uint8_t *reply) {
    const int is_active = active.source != MODEL_NONE;
    const ofr_requirements need = is_active ? active.need : (ofr_requirements){0};
    uint8_t *p = reply + REPLY_BYTES;
    p = put_u8(put_u8(p, active.source), last_load.source);
    p = put_u16(p, (uint16_t)last_load.status);
    p = put_u32(put_u32(p, last_load.fault.found), last_load.fault.allowed);
    p = put_u32(put_u32(p, (uint32_t)last_load.fault.step), (uint32_t)last_load.fault.tensor);
    p = put_u32(put_u32(put_u32(p, need.crc), need.arena_bytes), need.state_bytes);
    p = put_u16(put_u16(p, need.n_inputs), need.n_outputs);
    p = put_u16(put_u16(p, need.n_steps), need.n_plans);
    start_variable_part(reply, p);
    if (is_active) p += copy_name(p, LINK_PAYLOAD_BYTES - (size_t)(p - reply));
    return (size_t)(p - reply);
}

static size_t kernels(uint32_t from, uint8_t *reply) {
    uint8_t *p = start_reply(reply, REPLY_BYTES);
    for (uint32_t i = from; i < ofr_linked_kernels.count && p + 2 <= reply + LINK_PAYLOAD_BYTES; ++i)
        p = put_u16(p, ofr_linked_kernels.table[i]->id);
    return (size_t)(p - reply);
}

static size_t tensor(ofr_buffer t, uint32_t count, uint32_t index, uint8_t *reply) {
    if (index >= count) return refuse(reply, LINK_E_INDEX, index, count);
    uint8_t *p = reply + REPLY_BYTES;
    p = put_u32(p, t.bytes);
    p = put_u8(put_u8(put_u16(p, t.dtype), t.rank), 0);
    start_variable_part(reply, p);
    for (uint32_t i = 0; i < t.rank && p + 4 <= reply + LINK_PAYLOAD_BYTES; ++i)
        p = put_u32(p, (uint32_t)t.dims[i]);
    return (size_t)(p - reply);
}

#if APP_PLANS > 1
static size_t plan(uint32_t index, uint8_t *reply) {
    ofr_plan info;
    ofr_requirements need;
    if (index >= n_plans()) return refuse(reply, LINK_E_INDEX, index, n_plans());
    int status = ofr_plan_info(plan_at(index), &info);
    if (status >= 0) status = plan_need(index, &need);
    if (status < 0) return refuse(reply, status, 0, 0);
    uint8_t *p = reply + REPLY_BYTES;
    p = put_u32(put_u32(put_u32(p, info.instructions), need.arena_bytes), need.state_bytes);
    p = put_u16(put_u16(p, need.n_steps), 0);
    start_variable_part(reply, p);
    const size_t room = LINK_PAYLOAD_BYTES - (size_t)(p - reply);
    const size_t count = info.name_bytes < room ? info.name_bytes : room;
    memcpy(p, info.name, count);
    return (size_t)(p - reply) + count;
}
#endif

size_t describe(const uint8_t *payload, size_t n, uint8_t *reply) {
    const uint32_t index = get_u16(payload + 2);
    (void)n;
    if (payload[1] != 0) return refuse(reply, LINK_E_INDEX, payload[1], 0);
    if (payload[0] >= TOPIC_INPUT && active.source == MODEL_NONE)
        return refuse(reply, LINK_E_NO_MODEL, 0, 0);
    switch (payload[0]) {
    case TOPIC_BOARD:
        return board(reply);
    case TOPIC_MODEL:
        return model(reply);
    case TOPIC_KERNELS:
        return kernels(index, reply);
    case TOPIC_INPUT:
        return tensor(ofr_input(&active.plans[0], index), active.need.n_inputs, index, reply);
    case TOPIC_OUTPUT:
        return tensor(ofr_output(&active.plans[0], index), active.need.n_outputs, index, reply);
#if APP_PLANS > 1
    case TOPIC_PLAN:
        return plan(index, reply);
#endif
#if OFR_EXITS
    case TOPIC_STAGE:
        return describe_stage(index, reply);
#endif
#if APP_FRONT_ENDS
    case TOPIC_FRONT_END:
        return describe_front_end(reply);
#endif
    default:
        return refuse(reply, LINK_E_INDEX, payload[0], LAST_TOPIC);
    }
}

size_t statistics(const uint8_t *payload, size_t n, uint8_t *reply) {
#if APP_PLANS > 1 || OFR_EXITS
    const uint32_t plan_wanted = n != 0 ? payload[0] : 0;
    const uint32_t plans = active.source != MODEL_NONE ? n_plans() : 0;
    if (plan_wanted >= plans && n != 0) return refuse(reply, LINK_E_INDEX, plan_wanted, plans);
#else
    (void)payload, (void)n;
#endif
    uint8_t *p = start_reply(reply, 0);
    p = put_u32(put_u32(p, last_load.load_ticks), last_load.crc_ticks);
    p = put_u32(p, active.runs);
    p = put_u32(put_u32(put_u32(p, session_counts.frames), session_counts.bad_frames), session_counts.repeated);
    p = put_u32(put_u32(p, port_stack_used()), active.source == MODEL_NONE ? 0 : active.region_used);
#if APP_PLANS > 1
    p = put_u32(p, policy_counts.loads);
    for (uint32_t i = 0; i < plans; ++i)
        p = put_u32(p, policy_counts.runs[i]);
#endif
#if OFR_EXITS
    if (plans != 0) p = put_exit_counts(start_variable_part(reply, p), plan_wanted);
#endif
    return (size_t)(p - reply);
}

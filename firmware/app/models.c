/* Finds, receives and activates models; every one is checked before it is used. */
#include "models.h"

#include "bytes.h"
#include "front_end.h"
#include "link.h"
#include "policy.h"
#include "port.h"
#include "source_requests.h"

#include <string.h>

struct active_model active;
struct load_report last_load;

static uint32_t slot_bytes;    /* of the model sent over the link; 0: the slot holds what was there at start */
static uint32_t slot_complete; /* of them, how many have come */

uint32_t ticks_since(uint32_t start) {
    const uint32_t elapsed = port_ticks() - start;
    const uint32_t again = port_ticks();
    const uint32_t cost = port_ticks() - again;
    return elapsed > cost ? elapsed - cost : 0;
}

static struct port_memory blob_of(uint8_t source) {
    if (source == MODEL_LINKED) return port_linked_model();
    struct port_memory slot = port_model_slot();
    if (slot_bytes != 0) slot.size = slot_complete == slot_bytes ? slot_bytes : 0;
    return slot;
}

static int blame(ofr_fault *fault, int status, uint32_t found, uint32_t allowed) {
    *fault = (ofr_fault){.step = -1, .tensor = -1, .found = found, .allowed = allowed};
    return status;
}

/* Gives inputs in the caller's memory places from the top of [base, base + top) downwards, above the arena: the same
 * for every plan. */
static int bind_inputs(uint8_t *base, uint32_t top) {
    for (unsigned i = 0; i < active.need.n_inputs; ++i) {
        const ofr_buffer input = ofr_input(&active.plans[0], i);
        if (input.data != NULL) continue;
        const uint32_t room = (top - active.need.arena_bytes) & ~(OFR_ALIGN - 1);
        if (input.bytes > room) return blame(&last_load.fault, OFR_E_ARENA, room, input.bytes);
        const uint32_t bytes = aligned(input.bytes);
        top -= bytes;
        active.region_used += bytes;
        for (uint32_t plan = 0; plan < n_plans(); ++plan) {
            const int status = ofr_bind_input(plan_at(plan), i, base + top);
            if (status < 0) return status;
        }
    }
    return OFR_OK;
}

/* Adds to active.need what the plans behind the first ask for. */
static int add_needs(struct port_memory blob, uint32_t region_bytes) {
    for (uint32_t plan = 1; plan < n_plans(); ++plan) {
        ofr_requirements *sum = &active.need, need;
        const int status = ofr_peek(blob.base, blob.size, plan, &need);
        if (status < 0) return status;
        if (need.n_inputs != sum->n_inputs || need.n_outputs != sum->n_outputs)
            return blame(&last_load.fault, LINK_E_FAMILY, plan, 0);
        if (sum->state_bytes > region_bytes || need.state_bytes > region_bytes)
            return blame(&last_load.fault, OFR_E_STATE, region_bytes, need.state_bytes);
        sum->state_bytes = aligned(sum->state_bytes) + need.state_bytes;
        if (need.arena_bytes > sum->arena_bytes) sum->arena_bytes = need.arena_bytes;
    }
    return OFR_OK;
}

static bool alike(ofr_buffer a, ofr_buffer b) {
    return a.bytes == b.bytes && a.dtype == b.dtype;
}

/* The plan that chooses among the others, see ofr_plan. */
static void find_gate(void) {
    ofr_plan info;
    if (APP_PLANS == 1) return;
    active.gate = 0;
    if (n_plans() == 1 || ofr_plan_info(&active.plans[0], &info) < 0) return;
    if (info.gate > 1 && info.gate <= n_plans()) active.gate = (uint8_t)info.gate;
}

/* What is written once for whichever plan runs must lie in one place, and what is read be of one kind. */
static int check_family(void) {
    find_gate();
    for (uint32_t plan = 1; plan < n_plans(); ++plan) {
        for (unsigned i = 0; i < active.need.n_inputs; ++i) {
            const ofr_buffer first = ofr_input(&active.plans[0], i), here = ofr_input(plan_at(plan), i);
            if (!alike(first, here) || first.data != here.data) return blame(&last_load.fault, LINK_E_FAMILY, plan, i);
        }
        for (unsigned i = 0; plan + 1 != active.gate && i < active.need.n_outputs; ++i)
            if (!alike(ofr_output(&active.plans[0], i), ofr_output(plan_at(plan), i)))
                return blame(&last_load.fault, LINK_E_FAMILY, plan, i);
    }
    return OFR_OK;
}

/* An instance of each plan, their states one behind the other in [state, state + state_bytes). */
static int load_plans(struct port_memory blob, uint8_t *arena, uint8_t *state, uint32_t state_bytes) {
    const uint32_t arena_bytes = (uint32_t)(state - arena);
    for (uint32_t plan = 0; plan < n_plans(); ++plan) {
        ofr_requirements need = active.need;
        int status = APP_PLANS > 1 ? ofr_peek(blob.base, blob.size, plan, &need) : OFR_OK;
        if (status < 0) return status;
        status = ofr_load(plan_at(plan), blob.base, blob.size, plan, &ofr_linked_kernels, arena, arena_bytes,
                                    state, state_bytes, &last_load.fault);
        if (status < 0) return status;
        const uint32_t taken = aligned(need.state_bytes);
        state += taken;
        state_bytes -= taken;
    }
    return OFR_OK;
}

/* The region from its start: arena, free bytes, inputs of the caller, states. */
static int load(struct port_memory blob) {
    const struct port_memory region = port_arena();
    const uint32_t region_bytes = region.size & ~(OFR_ALIGN - 1);
    int status = add_needs(blob, region_bytes);
    if (status < 0) return status;
    if (active.need.state_bytes > region_bytes)
        return blame(&last_load.fault, OFR_E_STATE, region_bytes, active.need.state_bytes);
    const uint32_t arena_bytes = (region_bytes - active.need.state_bytes) & ~(OFR_ALIGN - 1);
    const uint32_t start = port_ticks();
    status = load_plans(blob, region.base, region.base + arena_bytes, region_bytes - arena_bytes);
    last_load.load_ticks = ticks_since(start);
    if (status >= 0) status = check_family();
    if (status < 0) return status;
    active.region_used = active.need.arena_bytes + (region_bytes - arena_bytes);
#if APP_FRONT_ENDS
    status = bind_inputs(region.base, arena_bytes);
    return status < 0 ? status : front_end_start();
#else
    return bind_inputs(region.base, arena_bytes);
#endif
}

static int check(struct port_memory blob) {
    int status = blame(&last_load.fault, LINK_E_NO_MODEL, 0, 0);
    if (blob.size == 0) return status;
    status = ofr_peek(blob.base, blob.size, 0, &active.need);
    if (status < 0) return status;
    if (active.need.n_plans > APP_PLANS) return blame(&last_load.fault, LINK_E_PLANS, active.need.n_plans, APP_PLANS);
    const uint32_t start = port_ticks();
    status = ofr_check_crc(blob.base, blob.size);
    last_load.crc_ticks = ticks_since(start);
    return status;
}

static int try_source(uint8_t source) {
    const struct port_memory blob = blob_of(source);
    source_drop();
    active.source = MODEL_NONE;
    last_load.source = source;
    port_receive(false); /* what is timed must hold nothing else */
    int status = check(blob);
    if (status >= 0) status = load(blob);
    port_receive(true);
    last_load.status = (int16_t)status;
    if (status >= 0) {
        active.source = source;
        policy_start();
        exits_start();
    }
    return status;
}

int model_activate(uint8_t source) {
    const int status = try_source(source);
    if (status < 0 && source != MODEL_LINKED && port_linked_model().size > 0) {
        const struct load_report refused = last_load;
        (void)try_source(MODEL_LINKED);
        last_load = refused;
    }
    return status;
}

void models_start(void) {
    const struct port_memory slot = port_model_slot();
    const bool holds_model = slot.size > 0 && ofr_peek(slot.base, slot.size, 0, &active.need) != OFR_E_MAGIC;
    (void)model_activate(holds_model ? MODEL_SLOT : MODEL_LINKED);
}

#if APP_PLANS > 1
int plan_need(uint32_t plan, ofr_requirements *need) {
    const struct port_memory blob = blob_of(active.source);
    return ofr_peek(blob.base, blob.size, plan, need);
}
#endif

int slot_begin(uint32_t bytes, ofr_fault *fault) {
    const struct port_memory slot = port_model_slot();
    const uint32_t room = slot.writable ? slot.size : 0;
    if (bytes == 0 || bytes > room) return blame(fault, LINK_E_SLOT, bytes, room);
    if (active.source == MODEL_SLOT) active.source = MODEL_NONE;
    slot_bytes = bytes;
    slot_complete = 0;
    return OFR_OK;
}

int slot_chunk(uint32_t offset, const uint8_t *bytes, uint32_t n, ofr_fault *fault) {
    if (offset != slot_complete || n > slot_bytes - slot_complete)
        return blame(fault, LINK_E_ORDER, offset, slot_complete);
    memcpy(port_model_slot().base + offset, bytes, n);
    slot_complete += n;
    return OFR_OK;
}

int slot_commit(ofr_fault *fault) {
    if (slot_bytes == 0 || slot_complete != slot_bytes) return blame(fault, LINK_E_ORDER, slot_complete, slot_bytes);
    return ofr_check_crc(port_model_slot().base, slot_bytes);
}

/* Checks a blob once, whole, and makes an instance of it; after this nothing in the blob is doubted again. */
#include <string.h>

#include "blob.h"

/* ---- FlatBuffer reading: every position is checked before it is used ---- */

typedef struct span {
    const uint8_t *at;
    uint32_t bytes;
} span;

static uint32_t get_u32(span s, uint32_t position) {
    uint32_t value;
    memcpy(&value, s.at + position, sizeof value);
    return value;
}

static uint32_t get_u16(span s, uint32_t position) {
    uint16_t value;
    memcpy(&value, s.at + position, sizeof value);
    return value;
}

static int has(span s, uint32_t position, uint32_t bytes) {
    return position <= s.bytes && bytes <= s.bytes - position;
}

/* A table: where it stands and its vtable. position 0 is never a table: the buffer starts with an offset. */
typedef struct table {
    uint32_t position, vtable, vtable_bytes;
} table;

static int open_table(span s, uint32_t position, table *t) {
    if (position % 4 != 0 || !has(s, position, 4)) {
        return 0;
    }
    const uint32_t vtable = position - get_u32(s, position); /* wraps as a signed offset would */
    if (vtable % 2 != 0 || !has(s, vtable, 4)) {
        return 0;
    }
    const uint32_t vtable_bytes = get_u16(s, vtable);
    if (vtable_bytes < 4 || !has(s, vtable, vtable_bytes)) {
        return 0;
    }
    *t = (table){position, vtable, vtable_bytes};
    return 1;
}

/* Position of a field's four bytes; 0: the field is absent. UINT32_MAX: damaged. */
static uint32_t field(span s, const table *t, uint32_t slot) {
    const uint32_t entry = 4 + 2 * slot;
    const uint32_t offset = entry + 2 <= t->vtable_bytes ? get_u16(s, t->vtable + entry) : 0;
    if (offset == 0) {
        return 0;
    }
    return has(s, t->position, offset) && has(s, t->position + offset, 4) ? t->position + offset : UINT32_MAX;
}

static int get_scalar(span s, const table *t, uint32_t slot, uint32_t *value) {
    const uint32_t position = field(s, t, slot);
    if (position == UINT32_MAX) {
        return 0;
    }
    *value = position == 0 ? 0 : get_u32(s, position);
    return 1;
}

/* A vector of `size`-byte elements whose first lies at a multiple of `align`; absent: empty. */
static int get_vector(span s, const table *t, uint32_t slot, uint32_t size, uint32_t align, span *v, uint32_t *count) {
    const uint32_t position = field(s, t, slot);
    *v = (span){s.at, 0};
    *count = 0;
    if (position == 0) {
        return 1;
    }
    if (position == UINT32_MAX || !has(s, position, get_u32(s, position)) ||
        !has(s, position + get_u32(s, position), 4)) {
        return 0;
    }
    const uint32_t start = position + get_u32(s, position);
    const uint32_t n = get_u32(s, start);
    if (n > (s.bytes - start - 4) / size || (start + 4) % align != 0) {
        return 0;
    }
    *v = (span){s.at + start + 4, n * size};
    *count = n;
    return 1;
}

/* ---- header ---- */

/* The FlatBuffer behind a valid header. */
static ofr_status open_blob(const void *blob, size_t blob_bytes, ofr_fault *fault, span *flatbuffer) {
    if (blob == NULL) {
        return OFR_E_ARGUMENT;
    }
    if ((uintptr_t)blob % OFR_ALIGN != 0) {
        return OFR_E_ALIGN;
    }
    ofr_header header;
    if (blob_bytes < sizeof header) {
        return ofr_blame(fault, OFR_E_TRUNCATED, (uint32_t)blob_bytes, sizeof header);
    }
    memcpy(&header, blob, sizeof header);
    if (header.magic != OFR_MAGIC) {
        return ofr_blame(fault, OFR_E_MAGIC, header.magic, OFR_MAGIC);
    }
    if (header.major != OFR_FORMAT_MAJOR || header.minor > OFR_FORMAT_MINOR) {
        return ofr_blame(fault, OFR_E_VERSION, header.major * 65536u + header.minor,
                         OFR_FORMAT_MAJOR * 65536u + OFR_FORMAT_MINOR);
    }
    if (header.flatbuffer_bytes > blob_bytes - sizeof header) {
        return ofr_blame(fault, OFR_E_TRUNCATED, (uint32_t)(blob_bytes - sizeof header), header.flatbuffer_bytes);
    }
    if (header.flatbuffer_bytes > INT32_MAX || header.flatbuffer_bytes < 8) {
        return ofr_blame(fault, OFR_E_STRUCTURE, header.flatbuffer_bytes, INT32_MAX);
    }
    const size_t behind = blob_bytes - sizeof header - header.flatbuffer_bytes;
    if (header.trailer_bytes > behind) {
        return ofr_blame(fault, OFR_E_TRUNCATED, (uint32_t)behind, header.trailer_bytes);
    }
    *flatbuffer = (span){(const uint8_t *)blob + sizeof header, header.flatbuffer_bytes};
    return OFR_OK;
}

static uint32_t header_word(const void *blob, size_t offset) {
    uint32_t value;
    memcpy(&value, (const uint8_t *)blob + offset, sizeof value);
    return value;
}

ofr_status ofr_check_crc(const void *blob, size_t blob_bytes) {
    /* CRC-32 (IEEE 802.3, reflected), four bits a step. */
    static const uint32_t nibble[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
                                        0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
                                        0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
    span s;
    ofr_fault unused;
    const ofr_status status = open_blob(blob, blob_bytes, &unused, &s);
    if (status != OFR_OK) {
        return status;
    }
    const uint8_t *bytes = blob;
    uint32_t crc = UINT32_MAX;
    for (uint32_t i = 0; i < sizeof(ofr_header) + s.bytes; i++) {
        if (i == offsetof(ofr_header, crc)) {
            i = sizeof(ofr_header); /* the CRC is the header's last word */
        }
        crc ^= bytes[i];
        crc = (crc >> 4) ^ nibble[crc & 15];
        crc = (crc >> 4) ^ nibble[crc & 15];
    }
    return ~crc == header_word(blob, offsetof(ofr_header, crc)) ? OFR_OK : OFR_E_CRC;
}

/* ---- plan ---- */

typedef struct counts {
    uint32_t dims, tensors, operands, steps, segments, inputs, outputs, initial, plans;
} counts;

/* Opens plan 0: fills the model's pointers and sizes; `segments` is needed during the load only. */
static ofr_status open_plan(ofr_model *m, span s, counts *n, span *segments) {
    table root, plan;
    span constants, plans, dims, tensors, operands, steps, inputs, outputs, initial;
    if (!open_table(s, get_u32(s, 0), &root) ||
        !get_vector(s, &root, OFR_FB_BLOB_CONSTANTS, 1, OFR_ALIGN, &constants, &m->constants_bytes) ||
        !get_vector(s, &root, OFR_FB_BLOB_PLANS, 4, 4, &plans, &n->plans)) {
        return OFR_E_STRUCTURE;
    }
    if (n->plans == 0) {
        return OFR_E_PLAN;
    }
    const uint32_t at = (uint32_t)(plans.at - s.at);
    const uint32_t distance = get_u32(s, at);
    if (!has(s, at, distance) || !open_table(s, at + distance, &plan) ||
        !get_vector(s, &plan, OFR_FB_PLAN_DIMS, 4, 4, &dims, &n->dims) ||
        !get_vector(s, &plan, OFR_FB_PLAN_TENSORS, sizeof(ofr_fb_blob_tensor), 4, &tensors, &n->tensors) ||
        !get_vector(s, &plan, OFR_FB_PLAN_OPERANDS, 2, 2, &operands, &n->operands) ||
        !get_vector(s, &plan, OFR_FB_PLAN_STEPS, sizeof(ofr_fb_step), 4, &steps, &n->steps) ||
        !get_vector(s, &plan, OFR_FB_PLAN_SEGMENTS, sizeof(ofr_fb_segment), 4, segments, &n->segments) ||
        !get_vector(s, &plan, OFR_FB_PLAN_INPUTS, 2, 2, &inputs, &n->inputs) ||
        !get_vector(s, &plan, OFR_FB_PLAN_OUTPUTS, 2, 2, &outputs, &n->outputs) ||
        !get_vector(s, &plan, OFR_FB_PLAN_INITIAL, sizeof(ofr_fb_state_init), 4, &initial, &n->initial) ||
        !get_scalar(s, &plan, OFR_FB_PLAN_ARENA_BYTES, &m->arena_bytes) ||
        !get_scalar(s, &plan, OFR_FB_PLAN_STATE_BYTES, &m->state_bytes)) {
        return OFR_E_STRUCTURE;
    }
    if ((n->tensors | n->operands | n->steps | n->inputs | n->outputs | n->initial) > UINT16_MAX) {
        return OFR_E_STRUCTURE;
    }
    m->constants = constants.at;
    m->dims = (const int32_t *)(const void *)dims.at;
    m->tensors = tensors.at;
    m->operands = (const uint16_t *)(const void *)operands.at;
    m->steps = steps.at;
    m->inputs = (const uint16_t *)(const void *)inputs.at;
    m->outputs = (const uint16_t *)(const void *)outputs.at;
    m->initial = initial.at;
    m->n_dims = n->dims;
    m->n_tensors = (uint16_t)n->tensors;
    m->n_operands = (uint16_t)n->operands;
    m->n_steps = (uint16_t)n->steps;
    m->n_inputs = (uint16_t)n->inputs;
    m->n_outputs = (uint16_t)n->outputs;
    m->n_initial = (uint16_t)n->initial;
    return OFR_OK;
}

ofr_status ofr_peek(const void *blob, size_t blob_bytes, ofr_requirements *need) {
    ofr_fault unused;
    ofr_model m;
    counts n;
    span s, segments;
    if (need == NULL) {
        return OFR_E_ARGUMENT;
    }
    ofr_status status = open_blob(blob, blob_bytes, &unused, &s);
    if (status == OFR_OK) {
        status = open_plan(&m, s, &n, &segments);
    }
    if (status == OFR_OK) {
        *need = (ofr_requirements){
            .arena_bytes = m.arena_bytes,
            .state_bytes = m.state_bytes,
            .n_inputs = m.n_inputs,
            .n_outputs = m.n_outputs,
            .n_steps = m.n_steps,
            .n_plans = (uint16_t)(n.plans > UINT16_MAX ? UINT16_MAX : n.plans),
            .crc = header_word(blob, offsetof(ofr_header, crc)),
        };
    }
    return status;
}

/* ---- checks of the plan's vectors ---- */

/* `caller_room`: bytes of the inputs that the caller binds to each slot. */
static ofr_status check_tensor(const ofr_model *m, const ofr_fb_blob_tensor *t, const uint32_t *caller_room,
                               ofr_fault *fault) {
    uint32_t room;
    switch (t->memory) {
    case OFR_FB_MEMORY_CONSTANT:
        room = m->constants_bytes;
        break;
    case OFR_FB_MEMORY_ARENA:
        room = m->arena_bytes;
        break;
    case OFR_FB_MEMORY_STATE:
        room = m->state_bytes;
        break;
    case OFR_FB_MEMORY_INPUT:
        if (t->bound >= OFR_MAX_CALLER_INPUTS) {
            return ofr_blame(fault, OFR_E_TENSOR, t->bound, OFR_MAX_CALLER_INPUTS);
        }
        room = t->offset == 0 ? caller_room[t->bound] : 0;
        break;
    default:
        return ofr_blame(fault, OFR_E_MEMORY_KIND, t->memory, OFR_FB_MEMORY_INPUT);
    }
    if (t->offset > room || t->bytes > room - t->offset || t->offset % 4 != 0) {
        return ofr_blame(fault, OFR_E_TENSOR, ofr_plus(t->offset, t->bytes), room);
    }
    if (t->dims > m->n_dims || t->rank > m->n_dims - t->dims) {
        return ofr_blame(fault, OFR_E_TENSOR, t->dims + (uint32_t)t->rank, m->n_dims);
    }
    if (t->symbol != 0) {
        return ofr_blame(fault, OFR_E_SHAPE, t->symbol, 0);
    }
    return OFR_OK;
}

static ofr_status check_tensors(const ofr_model *m, const uint32_t *caller_room, ofr_fault *fault) {
    for (uint32_t i = 0; i < m->n_tensors; i++) {
        fault->tensor = (int32_t)i;
        const ofr_status status = check_tensor(m, ofr_tensor_at(m, i), caller_room, fault);
        if (status != OFR_OK) {
            return status;
        }
    }
    return OFR_OK;
}

static ofr_status check_ports(const ofr_model *m, const uint16_t *ports, uint32_t count, ofr_fault *fault) {
    for (uint32_t i = 0; i < count; i++) {
        fault->tensor = ports[i];
        if (ports[i] >= m->n_tensors) {
            return ofr_blame(fault, OFR_E_OPERANDS, ports[i], m->n_tensors);
        }
    }
    return OFR_OK;
}

/* Inputs are written by the caller: they may only lie in the arena, or in the caller's own memory, each in a slot of
 * its own. Tensors are not checked yet. */
static ofr_status check_inputs(const ofr_model *m, uint32_t *caller_room, ofr_fault *fault) {
    const ofr_status status = check_ports(m, m->inputs, m->n_inputs, fault);
    for (uint32_t i = 0; status == OFR_OK && i < m->n_inputs; i++) {
        const ofr_fb_blob_tensor *t = ofr_tensor_at(m, m->inputs[i]);
        fault->tensor = m->inputs[i];
        if (t->memory == OFR_FB_MEMORY_ARENA) {
            continue;
        }
        if (t->memory != OFR_FB_MEMORY_INPUT) {
            return ofr_blame(fault, OFR_E_MEMORY_KIND, t->memory, OFR_FB_MEMORY_ARENA);
        }
        if (t->bound >= OFR_MAX_CALLER_INPUTS || caller_room[t->bound] != 0) {
            return ofr_blame(fault, OFR_E_OPERANDS, t->bound, OFR_MAX_CALLER_INPUTS);
        }
        if (t->bytes > INT32_MAX) {
            return ofr_blame(fault, OFR_E_TENSOR, t->bytes, INT32_MAX);
        }
        caller_room[t->bound] = t->bytes;
    }
    return status;
}

/* Outputs lie in the arena. */
static ofr_status check_outputs(const ofr_model *m, ofr_fault *fault) {
    const ofr_status status = check_ports(m, m->outputs, m->n_outputs, fault);
    for (uint32_t i = 0; status == OFR_OK && i < m->n_outputs; i++) {
        const uint8_t memory = ofr_tensor_at(m, m->outputs[i])->memory;
        fault->tensor = m->outputs[i];
        if (memory != OFR_FB_MEMORY_ARENA) {
            return ofr_blame(fault, OFR_E_MEMORY_KIND, memory, OFR_FB_MEMORY_ARENA);
        }
    }
    return status;
}

/* Inputs and outputs are handed out aligned and with their shape, which must be that of their bytes. */
static ofr_status check_shapes(const ofr_model *m, const uint16_t *ports, uint32_t count, ofr_fault *fault) {
    static const uint8_t element_bytes[] = {[OFR_S8] = 1, [OFR_U8] = 1, [OFR_S16] = 2, [OFR_S32] = 4, [OFR_F32] = 4};
    for (uint32_t i = 0; i < count; i++) {
        const ofr_fb_blob_tensor *t = ofr_tensor_at(m, ports[i]);
        fault->tensor = ports[i];
        if (t->offset % OFR_ALIGN != 0) {
            return ofr_blame(fault, OFR_E_TENSOR, t->offset, OFR_ALIGN);
        }
        if (t->dtype >= sizeof element_bytes) {
            return ofr_blame(fault, OFR_E_DTYPE, t->dtype, OFR_F32);
        }
        uint32_t bytes = element_bytes[t->dtype];
        for (uint32_t axis = 0; axis < t->rank; axis++) {
            bytes = ofr_times(bytes, (uint32_t)m->dims[t->dims + axis]);
        }
        if (bytes != t->bytes) {
            return ofr_blame(fault, OFR_E_SHAPE, bytes, t->bytes);
        }
    }
    return OFR_OK;
}

static ofr_status check_initial(const ofr_model *m, ofr_fault *fault) {
    for (uint32_t i = 0; i < m->n_initial; i++) {
        const ofr_fb_state_init *init = ofr_initial_at(m, i);
        if (init->bytes == 0 || init->offset > m->state_bytes || init->bytes > m->state_bytes - init->offset) {
            return ofr_blame(fault, OFR_E_STATE, ofr_plus(init->offset, init->bytes), m->state_bytes);
        }
        if (init->source != UINT32_MAX &&
            (init->source > m->constants_bytes || init->bytes > m->constants_bytes - init->source)) {
            return ofr_blame(fault, OFR_E_TENSOR, ofr_plus(init->source, init->bytes), m->constants_bytes);
        }
    }
    return OFR_OK;
}

/* One segment holds all steps and ends with `end`; more, and other terminators, belong to runtimes that serve them. */
static ofr_status check_segments(const ofr_model *m, span segments, uint32_t count, ofr_fault *fault) {
    const ofr_fb_segment *s = (const ofr_fb_segment *)(const void *)segments.at;
    if (count == 0) {
        return ofr_blame(fault, OFR_E_SEGMENT, count, 1);
    }
    if (s->terminator != OFR_FB_TERMINATOR_END) {
        return ofr_blame(fault, OFR_E_TERMINATOR, s->terminator, OFR_FB_TERMINATOR_END);
    }
    if (count != 1 || s->first_step != 0 || s->n_steps != m->n_steps) {
        return ofr_blame(fault, OFR_E_SEGMENT, s->n_steps, m->n_steps);
    }
    return OFR_OK;
}

static int overlap(uint32_t a, uint32_t a_bytes, uint32_t b, uint32_t b_bytes) {
    return a_bytes != 0 && b_bytes != 0 && a < b + b_bytes && b < a + a_bytes; /* sums were checked to fit */
}

/* Outputs go to arena or state, and lie apart from inputs except where the kernel works in place. */
static ofr_status check_operands(const ofr_model *m, const ofr_fb_step *step, const ofr_kernel *kernel,
                                 ofr_fault *fault) {
    if (step->n_inputs != kernel->n_inputs || step->n_outputs != kernel->n_outputs) {
        return ofr_blame(fault, OFR_E_OPERANDS, step->n_inputs, kernel->n_inputs);
    }
    const uint32_t total = (uint32_t)step->n_inputs + step->n_outputs;
    if (step->operands > m->n_operands || total > (uint32_t)m->n_operands - step->operands) {
        return ofr_blame(fault, OFR_E_OPERANDS, step->operands + total, m->n_operands);
    }
    const uint16_t *operands = m->operands + step->operands;
    const ofr_status status = check_ports(m, operands, total, fault);
    if (status != OFR_OK) {
        return status;
    }
    for (uint32_t o = step->n_inputs; o < total; o++) {
        const ofr_fb_blob_tensor *out = ofr_tensor_at(m, operands[o]);
        fault->tensor = operands[o];
        if (out->memory != OFR_FB_MEMORY_ARENA && out->memory != OFR_FB_MEMORY_STATE) {
            return ofr_blame(fault, OFR_E_MEMORY_KIND, out->memory, OFR_FB_MEMORY_ARENA);
        }
        for (uint32_t i = 0; i < step->n_inputs; i++) {
            const ofr_fb_blob_tensor *in = ofr_tensor_at(m, operands[i]);
            const uint32_t bits = in->bytes == out->bytes ? 1u << i : 0u;
            const uint32_t allowed = kernel->in_place & (bits | (i < 3 ? OFR_SAME_START(i) : 0u));
            const int same = allowed != 0 && in->offset == out->offset;
            if (in->memory == out->memory && !same && overlap(in->offset, in->bytes, out->offset, out->bytes)) {
                return ofr_blame(fault, OFR_E_OVERLAP, out->offset, in->offset);
            }
        }
    }
    return OFR_OK;
}

static ofr_status check_scratch(const ofr_model *m, const ofr_fb_step *step, const ofr_kernel *kernel,
                                ofr_fault *fault) {
    if (step->scratch % OFR_ALIGN != 0 || step->scratch > m->arena_bytes ||
        step->scratch_bytes > m->arena_bytes - step->scratch) {
        return ofr_blame(fault, OFR_E_SCRATCH, ofr_plus(step->scratch, step->scratch_bytes), m->arena_bytes);
    }
    for (uint32_t i = 0; i < (uint32_t)step->n_inputs + step->n_outputs; i++) {
        const ofr_fb_blob_tensor *t = ofr_tensor_at(m, m->operands[step->operands + i]);
        const int same = i == 0 && (kernel->in_place & OFR_SCRATCH_ON_INPUT) != 0 && t->offset == step->scratch;
        if (t->memory == OFR_FB_MEMORY_ARENA && !same &&
            overlap(t->offset, t->bytes, step->scratch, step->scratch_bytes)) {
            return ofr_blame(fault, OFR_E_OVERLAP, step->scratch, t->offset);
        }
    }
    return OFR_OK;
}

static ofr_status check_step(const ofr_model *m, const ofr_fb_step *step, ofr_fault *fault) {
    const ofr_kernel *kernel = ofr_find_kernel(m->kernels, step->kernel);
    if (kernel == NULL) {
        return ofr_blame(fault, OFR_E_KERNEL, step->kernel, 0);
    }
    if (step->packing != kernel->packing) {
        return ofr_blame(fault, OFR_E_PACKING, step->packing, kernel->packing);
    }
    if (step->params % OFR_ALIGN != 0 || step->params > m->constants_bytes ||
        step->params_bytes > m->constants_bytes - step->params || step->params_bytes < kernel->params_bytes) {
        return ofr_blame(fault, OFR_E_PARAMS, step->params_bytes, kernel->params_bytes);
    }
    ofr_status status = check_operands(m, step, kernel, fault);
    if (status == OFR_OK) {
        status = check_scratch(m, step, kernel, fault);
    }
    if (status == OFR_OK) {
        ofr_call call;
        ofr_prepare(m, step, &call);
        call.fault = fault;
        fault->tensor = -1;
        status = kernel->check(&call);
    }
    return status;
}

static ofr_status check_steps(const ofr_model *m, ofr_fault *fault) {
    for (uint32_t i = 0; i < m->n_steps; i++) {
        fault->step = (int32_t)i;
        fault->tensor = -1;
        const ofr_status status = check_step(m, ofr_step_at(m, i), fault);
        if (status != OFR_OK) {
            return status;
        }
    }
    return OFR_OK;
}

static ofr_status check_areas(const ofr_model *m, size_t arena_bytes, size_t state_bytes, ofr_fault *fault) {
    if (m->arena_bytes > arena_bytes || m->arena_bytes > INT32_MAX) {
        return ofr_blame(fault, OFR_E_ARENA, (uint32_t)arena_bytes, m->arena_bytes);
    }
    if (m->state_bytes > state_bytes || m->state_bytes > INT32_MAX) {
        return ofr_blame(fault, OFR_E_STATE, (uint32_t)state_bytes, m->state_bytes);
    }
    return OFR_OK;
}

/* All of it but the arguments, in an order that lets each check rely on the ones before. */
static ofr_status check_blob(ofr_model *m, size_t blob_bytes, size_t arena_bytes, size_t state_bytes,
                             ofr_fault *fault) {
    span s, segments;
    counts n;
    ofr_status status = open_blob(m->blob, blob_bytes, fault, &s);
    if (status == OFR_OK) {
        const uint8_t core = m->blob[offsetof(ofr_header, core)];
        if (core != 0 && m->kernels->core != 0 && core != m->kernels->core) {
            return ofr_blame(fault, OFR_E_CORE, core, m->kernels->core);
        }
        status = open_plan(m, s, &n, &segments);
    }
    if (status == OFR_OK) {
        status = check_areas(m, arena_bytes, state_bytes, fault);
    }
    uint32_t caller_room[OFR_MAX_CALLER_INPUTS] = {0};
    if (status == OFR_OK) {
        status = check_inputs(m, caller_room, fault);
    }
    if (status == OFR_OK) {
        status = check_outputs(m, fault);
    }
    if (status == OFR_OK) {
        status = check_tensors(m, caller_room, fault);
    }
    if (status == OFR_OK) {
        status = check_shapes(m, m->inputs, m->n_inputs, fault);
    }
    if (status == OFR_OK) {
        status = check_shapes(m, m->outputs, m->n_outputs, fault);
    }
    fault->tensor = status == OFR_OK ? -1 : fault->tensor;
    if (status == OFR_OK) {
        status = check_initial(m, fault);
    }
    if (status == OFR_OK) {
        status = check_segments(m, segments, n.segments, fault);
    }
    if (status == OFR_OK) {
        status = check_steps(m, fault);
    }
    return status;
}

ofr_status ofr_load(ofr_model *model, const void *blob, size_t blob_bytes, const ofr_kernels *kernels, void *arena,
                    size_t arena_bytes, void *state, size_t state_bytes, ofr_fault *fault) {
    ofr_fault unused;
    ofr_fault *blame = fault != NULL ? fault : &unused;
    *blame = (ofr_fault){-1, -1, 0, 0};
    if (model == NULL) {
        return OFR_E_ARGUMENT;
    }
    memset(model, 0, sizeof *model);
    if (kernels == NULL || (arena == NULL && arena_bytes != 0) || (state == NULL && state_bytes != 0)) {
        return OFR_E_ARGUMENT;
    }
    if ((uintptr_t)arena % OFR_ALIGN != 0 || (uintptr_t)state % OFR_ALIGN != 0) {
        return OFR_E_ALIGN;
    }
    model->blob = blob;
    model->kernels = kernels;
    model->arena = arena;
    model->state = state;
    const ofr_status status = check_blob(model, blob_bytes, arena_bytes, state_bytes, blame);
    if (status != OFR_OK) {
        return status;
    }
    model->phase = OFR_PHASE_IDLE;
    ofr_reset_state(model);
    return OFR_OK;
}

const char *ofr_name(const ofr_model *model, uint32_t *bytes) {
    ofr_fault unused;
    table root;
    span s, name;
    *bytes = 0;
    if (model == NULL || model->phase == OFR_PHASE_NONE || open_blob(model->blob, UINT32_MAX, &unused, &s) != OFR_OK ||
        !open_table(s, get_u32(s, 0), &root) || !get_vector(s, &root, OFR_FB_BLOB_NAME, 1, 1, &name, bytes)) {
        return NULL;
    }
    return *bytes != 0 ? (const char *)name.at : NULL;
}

uint32_t ofr_step_bound(const ofr_model *model, unsigned step) {
    ofr_fault unused;
    table root, plan;
    span s, plans, bounds;
    uint32_t count;
    if (model == NULL || model->phase == OFR_PHASE_NONE || step >= model->n_steps ||
        open_blob(model->blob, UINT32_MAX, &unused, &s) != OFR_OK || !open_table(s, get_u32(s, 0), &root) ||
        !get_vector(s, &root, OFR_FB_BLOB_PLANS, 4, 4, &plans, &count) || count == 0) {
        return 0;
    }
    const uint32_t at = (uint32_t)(plans.at - s.at);
    if (!open_table(s, at + get_u32(s, at), &plan) ||
        !get_vector(s, &plan, OFR_FB_PLAN_BOUNDS, sizeof(ofr_fb_step_bound), 4, &bounds, &count) ||
        count != model->n_steps) {
        return 0;
    }
    return ((const ofr_fb_step_bound *)(const void *)bounds.at)[step].most;
}

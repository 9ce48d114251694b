/* Checks a blob once, whole, and makes an instance of it; after this nothing in the blob is doubted again.
 *
 * Long, and one file: what is called once is compiled into its caller. One more function that
 * reads the blob, which no image used, cost each load on Cortex-M4 200 instructions. */
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

/* A table: its buffer, where it stands and its vtable. position 0 is never a table: the buffer starts with an offset.
 */
typedef struct table {
    span s;
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
    *t = (table){s, position, vtable, vtable_bytes};
    return 1;
}

/* Position of a field's four bytes; 0: the field is absent. UINT32_MAX: damaged. Sums of positions and offsets fit: a
 * buffer is shorter than 2^31. */
static inline __attribute__((always_inline)) uint32_t field(const table *t, uint32_t slot) {
    const uint32_t entry = 4 + 2 * slot;
    const uint32_t offset = entry + 2 <= t->vtable_bytes ? get_u16(t->s, t->vtable + entry) : 0;
    const uint32_t position = t->position + offset;
    return offset == 0 ? 0 : position <= t->s.bytes - 4 ? position : UINT32_MAX;
}

static int get_scalar(const table *t, uint32_t slot, uint32_t *value) {
    const uint32_t position = field(t, slot);
    if (position == UINT32_MAX) {
        return 0;
    }
    *value = position == 0 ? 0 : get_u32(t->s, position);
    return 1;
}

typedef struct vector {
    const uint8_t *at;
    uint32_t count;
} vector;

/* A vector of `size`-byte elements whose first lies at a multiple of `align`, a power of two; absent: empty. */
static int get_vector(const table *t, uint32_t slot, uint32_t size, uint32_t align, vector *v) {
    const uint32_t position = field(t, slot), room = t->s.bytes - 4;
    *v = (vector){t->s.at, 0};
    if (position == 0) {
        return 1;
    }
    if (position == UINT32_MAX || get_u32(t->s, position) > room - position) {
        return 0;
    }
    const uint32_t start = position + get_u32(t->s, position);
    const uint32_t count = get_u32(t->s, start);
    if (ofr_times(count, size) > room - start || ((start + 4) & (align - 1)) != 0) {
        return 0;
    }
    *v = (vector){t->s.at + start + 4, count};
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

/* The plan's vectors that a load reads: its first fields. */
enum { VECTORS = OFR_FB_PLAN_INITIAL + 1 };

/* What the model does not keep. */
typedef struct plan_rest {
    uint32_t plans; /* in the blob */
    vector segments;
} plan_rest;

/* The plan's table and the root's; `count`: how many plans there are. */
static inline __attribute__((always_inline)) ofr_status find_plan(span s, uint32_t index, table *root, table *plan, uint32_t *count) {
    vector plans;
    if (!open_table(s, get_u32(s, 0), root) || !get_vector(root, OFR_FB_BLOB_PLANS, 4, 4, &plans)) {
        return OFR_E_STRUCTURE;
    }
    *count = plans.count;
    if (index >= plans.count || index > UINT8_MAX) {
        return OFR_E_PLAN;
    }
    const uint32_t at = (uint32_t)(plans.at - s.at) + 4 * index;
    return open_table(s, at + get_u32(s, at), plan) ? OFR_OK : OFR_E_STRUCTURE;
}

static inline ofr_status open_exits(ofr_model *m, const table *plan, const uint8_t *segments) {
#if OFR_EXITS
    vector exits;
    if (!get_vector(plan, OFR_FB_PLAN_EXITS, sizeof(ofr_fb_exit), 4, &exits)) {
        return OFR_E_STRUCTURE;
    }
    m->segments = segments;
    m->exits = exits.at;
    m->n_exits = (uint8_t)(exits.count > OFR_MAX_EXITS ? UINT8_MAX : exits.count);
#else
    (void)m, (void)plan, (void)segments;
#endif
    return OFR_OK;
}

/* Opens a plan: fills the model's pointers and sizes. */
static ofr_status open_plan(ofr_model *m, span s, uint32_t index, plan_rest *rest) {
    static const struct {
        uint8_t size, align;
    } elements[VECTORS] = {
        [OFR_FB_PLAN_DIMS] = {4, 4},
        [OFR_FB_PLAN_TENSORS] = {sizeof(ofr_fb_blob_tensor), 4},
        [OFR_FB_PLAN_OPERANDS] = {2, 2},
        [OFR_FB_PLAN_STEPS] = {sizeof(ofr_fb_step), 4},
        [OFR_FB_PLAN_SEGMENTS] = {sizeof(ofr_fb_segment), 4},
        [OFR_FB_PLAN_INPUTS] = {2, 2},
        [OFR_FB_PLAN_OUTPUTS] = {2, 2},
        [OFR_FB_PLAN_INITIAL] = {sizeof(ofr_fb_state_init), 4},
    };
    table root, plan;
    vector constants, of[VECTORS];
    const ofr_status status = find_plan(s, index, &root, &plan, &rest->plans);
    if (status != OFR_OK) {
        return status;
    }
    if (!get_vector(&root, OFR_FB_BLOB_CONSTANTS, 1, OFR_ALIGN, &constants) ||
        !get_scalar(&plan, OFR_FB_PLAN_ARENA_BYTES, &m->arena_bytes) ||
        !get_scalar(&plan, OFR_FB_PLAN_STATE_BYTES, &m->state_bytes)) {
        return OFR_E_STRUCTURE;
    }
    for (uint32_t i = 0; i < VECTORS; i++) {
        if (!get_vector(&plan, i, elements[i].size, elements[i].align, &of[i])) {
            return OFR_E_STRUCTURE;
        }
    }
    if ((of[OFR_FB_PLAN_TENSORS].count | of[OFR_FB_PLAN_OPERANDS].count | of[OFR_FB_PLAN_STEPS].count |
         of[OFR_FB_PLAN_INPUTS].count | of[OFR_FB_PLAN_OUTPUTS].count | of[OFR_FB_PLAN_INITIAL].count) > UINT16_MAX) {
        return OFR_E_STRUCTURE;
    }
    rest->segments = of[OFR_FB_PLAN_SEGMENTS];
    m->plan = (uint8_t)index;
    m->memory[OFR_FB_MEMORY_CONSTANT] = (uint8_t *)(uintptr_t)constants.at; /* never written */
    m->constants_bytes = constants.count;
    m->dims = (const int32_t *)(const void *)of[OFR_FB_PLAN_DIMS].at;
    m->tensors = of[OFR_FB_PLAN_TENSORS].at;
    m->operands = (const uint16_t *)(const void *)of[OFR_FB_PLAN_OPERANDS].at;
    m->steps = of[OFR_FB_PLAN_STEPS].at;
    m->inputs = (const uint16_t *)(const void *)of[OFR_FB_PLAN_INPUTS].at;
    m->outputs = (const uint16_t *)(const void *)of[OFR_FB_PLAN_OUTPUTS].at;
    m->initial = of[OFR_FB_PLAN_INITIAL].at;
    m->n_dims = of[OFR_FB_PLAN_DIMS].count;
    m->n_tensors = (uint16_t)of[OFR_FB_PLAN_TENSORS].count;
    m->n_operands = (uint16_t)of[OFR_FB_PLAN_OPERANDS].count;
    m->n_steps = (uint16_t)of[OFR_FB_PLAN_STEPS].count;
    m->n_inputs = (uint16_t)of[OFR_FB_PLAN_INPUTS].count;
    m->n_outputs = (uint16_t)of[OFR_FB_PLAN_OUTPUTS].count;
    m->n_initial = (uint16_t)of[OFR_FB_PLAN_INITIAL].count;
    return open_exits(m, &plan, of[OFR_FB_PLAN_SEGMENTS].at);
}

ofr_status ofr_peek(const void *blob, size_t blob_bytes, unsigned plan, ofr_requirements *need) {
    ofr_fault unused;
    ofr_model m;
    plan_rest rest;
    span s;
    if (need == NULL) {
        return OFR_E_ARGUMENT;
    }
    ofr_status status = open_blob(blob, blob_bytes, &unused, &s);
    if (status == OFR_OK) {
        status = open_plan(&m, s, plan, &rest);
    }
    if (status == OFR_OK) {
        *need = (ofr_requirements){
            .arena_bytes = m.arena_bytes,
            .state_bytes = m.state_bytes,
            .n_inputs = m.n_inputs,
            .n_outputs = m.n_outputs,
            .n_steps = m.n_steps,
            .n_plans = (uint16_t)(rest.plans > UINT16_MAX ? UINT16_MAX : rest.plans),
            .crc = header_word(blob, offsetof(ofr_header, crc)),
        };
    }
    return status;
}

/* ---- checks of the plan's vectors ---- */

/* `room`: bytes of each of ofr_model.memory. Most tensors lie in the arena. */
static inline ofr_status check_tensor(const ofr_model *m, const ofr_fb_blob_tensor *t, const uint32_t *room,
                                      ofr_fault *fault) {
    uint32_t bytes = m->arena_bytes, place; /* memory, symbol, bound and reserved: most are in the arena, the rest 0 */
    memcpy(&place, (const uint8_t *)t + offsetof(ofr_fb_blob_tensor, memory), sizeof place);
    if (place != OFR_FB_MEMORY_ARENA) {
        if (t->memory > OFR_FB_MEMORY_INPUT || t->memory == OFR_FB_MEMORY_CONSTANT_FETCHED) {
            return ofr_blame(fault, OFR_E_MEMORY_KIND, t->memory, OFR_FB_MEMORY_INPUT);
        }
        const uint32_t slots = t->memory == OFR_FB_MEMORY_INPUT ? OFR_MAX_CALLER_INPUTS : 1;
        if (t->bound >= slots) {
            return ofr_blame(fault, OFR_E_TENSOR, t->bound, slots);
        }
        if (t->symbol != 0) {
            return ofr_blame(fault, OFR_E_SHAPE, t->symbol, 0);
        }
        bytes = t->memory == OFR_FB_MEMORY_INPUT && t->offset != 0 ? 0 : room[ofr_memory_of(t)];
    }
    if (t->offset > bytes || t->bytes > bytes - t->offset || t->offset % 4 != 0) {
        return ofr_blame(fault, OFR_E_TENSOR, ofr_plus(t->offset, t->bytes), bytes);
    }
    if (t->dims + (uint32_t)t->rank > m->n_dims) {
        return ofr_blame(fault, OFR_E_TENSOR, t->dims + (uint32_t)t->rank, m->n_dims);
    }
    return OFR_OK;
}

/* Apart, with registers of its own. */
static __attribute__((noinline)) ofr_status check_tensors(const ofr_model *m, const uint32_t *room, ofr_fault *fault) {
    const ofr_fb_blob_tensor *t = ofr_tensor_at(m, 0);
    for (const ofr_fb_blob_tensor *end = t + m->n_tensors; t != end; t++) {
        const ofr_status status = check_tensor(m, t, room, fault);
        if (status != OFR_OK) {
            fault->tensor = (int32_t)(t - ofr_tensor_at(m, 0));
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
static ofr_status check_inputs(const ofr_model *m, uint32_t *room, ofr_fault *fault) {
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
        if (t->bound >= OFR_MAX_CALLER_INPUTS || room[ofr_memory_of(t)] != 0) {
            return ofr_blame(fault, OFR_E_OPERANDS, t->bound, OFR_MAX_CALLER_INPUTS);
        }
        if (t->bytes > INT32_MAX) {
            return ofr_blame(fault, OFR_E_TENSOR, t->bytes, INT32_MAX);
        }
        room[ofr_memory_of(t)] = t->bytes;
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

#if OFR_EXITS
static ofr_status check_exit(const ofr_model *m, uint32_t index, ofr_fault *fault) {
    const ofr_fb_exit *e = ofr_exit_at(m, index);
    const ofr_fb_segment *s = ofr_segment_at(m, index);
    const uint16_t tensors[] = {e->answer, e->estimate};
    if (e->head <= s->first_step || e->head >= s->first_step + s->n_steps) {
        return ofr_blame(fault, OFR_E_EXIT, e->head, s->first_step + s->n_steps);
    }
    if (e->confidence > OFR_FB_CONFIDENCE_ERROR) {
        return ofr_blame(fault, OFR_E_EXIT, e->confidence, OFR_FB_CONFIDENCE_ERROR);
    }
    ofr_status status = check_ports(m, tensors, 2, fault);
    for (uint32_t i = 0; status == OFR_OK && i < 2; i++) {
        fault->tensor = tensors[i];
        if (ofr_tensor_at(m, tensors[i])->memory != OFR_FB_MEMORY_ARENA) {
            status = ofr_blame(fault, OFR_E_MEMORY_KIND, ofr_tensor_at(m, tensors[i])->memory, OFR_FB_MEMORY_ARENA);
        }
    }
    if (status == OFR_OK) {
        status = check_shapes(m, tensors, 2, fault);
    }
    const ofr_fb_blob_tensor *estimate = ofr_tensor_at(m, e->estimate);
    if (status == OFR_OK && (estimate->dtype > OFR_U8 || estimate->bytes == 0)) {
        status = ofr_blame(fault, OFR_E_DTYPE, estimate->dtype, OFR_U8);
    }
    fault->tensor = status == OFR_OK ? -1 : fault->tensor;
    return status;
}

/* Segments cover the steps in order; each but the last ends with the exit of its number. */
static ofr_status check_segments(ofr_model *m, uint32_t count, ofr_fault *fault) {
    if (m->n_exits > OFR_MAX_EXITS || count != m->n_exits + 1u) {
        return ofr_blame(fault, OFR_E_SEGMENT, count, m->n_exits > OFR_MAX_EXITS ? OFR_MAX_EXITS : m->n_exits + 1u);
    }
    uint32_t step = 0, i = 0;
    do {
        const ofr_fb_segment *s = ofr_segment_at(m, i);
        const uint32_t terminator = i < m->n_exits ? OFR_FB_TERMINATOR_EXIT : OFR_FB_TERMINATOR_END;
        if (s->terminator != terminator) {
            return ofr_blame(fault, OFR_E_TERMINATOR, s->terminator, terminator);
        }
        if (s->first_step != step || s->n_steps > m->n_steps - step) {
            return ofr_blame(fault, OFR_E_SEGMENT, s->first_step + s->n_steps, m->n_steps);
        }
        if (i < m->n_exits) {
            const ofr_status status = check_exit(m, i, fault);
            if (status != OFR_OK) {
                return status;
            }
            m->thresholds[i] = ofr_exit_at(m, i)->threshold;
        }
        step += s->n_steps;
    } while (i++ < m->n_exits);
    m->used = UINT8_MAX;
    return step == m->n_steps ? OFR_OK : ofr_blame(fault, OFR_E_SEGMENT, step, m->n_steps);
}
#else
/* One segment holds all steps and ends with `end`; more, and other terminators, belong to images that serve them. */
static ofr_status check_segments(const ofr_model *m, const void *segments, uint32_t count, ofr_fault *fault) {
    const ofr_fb_segment *s = segments;
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
#endif

static inline __attribute__((always_inline)) int overlap(uint32_t a, uint32_t a_bytes, uint32_t b, uint32_t b_bytes) {
    return a <= b ? b - a < a_bytes && b_bytes != 0 : a - b < b_bytes && a_bytes != 0;
}

/* Whether `kernel` works with its output where input i lies. */
static int works_over(const ofr_kernel *kernel, uint32_t i, const ofr_fb_blob_tensor *in,
                      const ofr_fb_blob_tensor *out) {
    const uint32_t bits = OFR_SAME_START(0) | (in->bytes == out->bytes);
    return in->offset == out->offset && ((kernel->in_place & ~OFR_SCRATCH_ON_INPUT) >> i & bits) != 0;
}

/* Whether a tensor lies under the step's scratch. */
static inline __attribute__((always_inline)) int under_scratch(const ofr_fb_blob_tensor *t, const ofr_fb_step *step) {
    return t->memory == OFR_FB_MEMORY_ARENA && overlap(t->offset, t->bytes, step->scratch, step->scratch_bytes);
}

static ofr_status blame_operand(ofr_fault *fault, uint32_t index, ofr_status status, uint32_t found, uint32_t allowed) {
    fault->tensor = (int32_t)index;
    return ofr_blame(fault, status, found, allowed);
}

/* Fills the call's operands. The output goes to arena or state, and lies apart from inputs except where the kernel
 * works in place. Scratch lies apart from all of them, except where the kernel has it on its first input. */
static inline ofr_status check_operands(const ofr_model *m, const ofr_fb_step *step, const ofr_kernel *kernel,
                                        ofr_call *call, ofr_fault *fault) {
    const uint32_t n = step->n_inputs;
    uint16_t counts, wanted; /* of inputs and outputs */
    memcpy(&counts, &step->n_inputs, sizeof counts);
    memcpy(&wanted, &kernel->n_inputs, sizeof wanted);
    if (counts != wanted) {
        return ofr_blame(fault, OFR_E_OPERANDS, n, kernel->n_inputs);
    }
    if (step->operands + n + 1 > m->n_operands) {
        return ofr_blame(fault, OFR_E_OPERANDS, step->operands + n + 1, m->n_operands);
    }
    const uint16_t *operands = m->operands + step->operands;
    const uint32_t last = operands[n];
    if (last >= m->n_tensors) {
        return blame_operand(fault, last, OFR_E_OPERANDS, last, m->n_tensors);
    }
    const ofr_fb_blob_tensor *out = ofr_tensor_at(m, last);
    if (out->memory != OFR_FB_MEMORY_ARENA && out->memory != OFR_FB_MEMORY_STATE) {
        return blame_operand(fault, last, OFR_E_MEMORY_KIND, out->memory, OFR_FB_MEMORY_ARENA);
    }
    if (under_scratch(out, step)) {
        return blame_operand(fault, last, OFR_E_OVERLAP, step->scratch, out->offset);
    }
    call->out[0] = (ofr_operand){ofr_place(m, out->memory, out->offset), out->bytes, out->dtype};
    uint32_t i = 0;
    do { /* a kernel has one input at least */
        const uint32_t index = operands[i];
        if (index >= m->n_tensors) {
            return blame_operand(fault, index, OFR_E_OPERANDS, index, m->n_tensors);
        }
        const ofr_fb_blob_tensor *in = ofr_tensor_at(m, index);
        call->in[i] = ofr_operand_of(m, in);
        if (in->memory == out->memory && !works_over(kernel, i, in, out) &&
            overlap(in->offset, in->bytes, out->offset, out->bytes)) {
            return blame_operand(fault, last, OFR_E_OVERLAP, out->offset, in->offset);
        }
        if (under_scratch(in, step) &&
            (i != 0 || in->offset != step->scratch || (kernel->in_place & OFR_SCRATCH_ON_INPUT) == 0)) {
            return blame_operand(fault, index, OFR_E_OVERLAP, step->scratch, in->offset);
        }
    } while (++i != n);
    return OFR_OK;
}

static inline ofr_status check_step(const ofr_model *m, const ofr_fb_step *step, const ofr_kernel *kernel,
                                    ofr_call *call, ofr_fault *fault) {
    if (step->packing != kernel->packing) {
        return ofr_blame(fault, OFR_E_PACKING, step->packing, kernel->packing);
    }
    if (step->params % OFR_ALIGN != 0 || step->params > m->constants_bytes ||
        step->params_bytes > m->constants_bytes - step->params || step->params_bytes < kernel->params_bytes) {
        return ofr_blame(fault, OFR_E_PARAMS, step->params_bytes, kernel->params_bytes);
    }
    if (step->scratch % OFR_ALIGN != 0 || step->scratch > m->arena_bytes ||
        step->scratch_bytes > m->arena_bytes - step->scratch) {
        return ofr_blame(fault, OFR_E_SCRATCH, ofr_plus(step->scratch, step->scratch_bytes), m->arena_bytes);
    }
    ofr_prepare(m, step, call);
    const ofr_status status = check_operands(m, step, kernel, call, fault);
    return status == OFR_OK ? kernel->check(call) : status;
}

/* Apart from the rest, with registers of its own: most of a load is spent here. */
static __attribute__((noinline)) ofr_status check_steps(const ofr_model *m, ofr_fault *fault) {
    const ofr_kernel *kernel = NULL, *before = NULL; /* layers often alternate: saves the search */
    const ofr_fb_step *step = ofr_step_at(m, 0);
    ofr_call call;
    call.fault = fault;
    for (const ofr_fb_step *end = step + m->n_steps; step != end; step++) {
        const ofr_kernel *last = kernel;
        kernel = before;
        before = last;
        if (kernel == NULL || kernel->id != step->kernel) {
            kernel = ofr_find_kernel(m->kernels, step->kernel);
        }
        const ofr_status status = kernel != NULL ? check_step(m, step, kernel, &call, fault)
                                                 : ofr_blame(fault, OFR_E_KERNEL, step->kernel, 0);
        if (status != OFR_OK) {
            fault->step = (int32_t)(step - ofr_step_at(m, 0));
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
static ofr_status check_blob(ofr_model *m, size_t blob_bytes, unsigned plan, size_t arena_bytes, size_t state_bytes,
                             ofr_fault *fault) {
    plan_rest rest;
    span s;
    ofr_status status = open_blob(m->blob, blob_bytes, fault, &s);
    if (status == OFR_OK) {
        const uint8_t core = m->blob[offsetof(ofr_header, core)];
        if (core != 0 && m->kernels->core != 0 && core != m->kernels->core) {
            return ofr_blame(fault, OFR_E_CORE, core, m->kernels->core);
        }
        status = open_plan(m, s, plan, &rest);
    }
    if (status == OFR_OK) {
        status = check_areas(m, arena_bytes, state_bytes, fault);
    }
    uint32_t room[4 + OFR_MAX_CALLER_INPUTS];
    room[OFR_FB_MEMORY_CONSTANT] = m->constants_bytes;
    room[OFR_FB_MEMORY_ARENA] = m->arena_bytes;
    room[OFR_FB_MEMORY_STATE] = m->state_bytes;
    for (uint32_t i = 0; i < OFR_MAX_CALLER_INPUTS; i++) {
        room[OFR_FB_MEMORY_INPUT + i] = 0;
    }
    if (status == OFR_OK) {
        status = check_inputs(m, room, fault);
    }
    if (status == OFR_OK) {
        status = check_outputs(m, fault);
    }
    if (status == OFR_OK) {
        status = check_tensors(m, room, fault);
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
#if OFR_EXITS
        status = check_segments(m, rest.segments.count, fault);
#else
        status = check_segments(m, rest.segments.at, rest.segments.count, fault);
#endif
    }
    if (status == OFR_OK) {
        status = check_steps(m, fault);
    }
    return status;
}

ofr_status ofr_load(ofr_model *model, const void *blob, size_t blob_bytes, unsigned plan, const ofr_kernels *kernels,
                    void *arena, size_t arena_bytes, void *state, size_t state_bytes, ofr_fault *fault) {
    ofr_fault unused;
    ofr_fault *blame = fault != NULL ? fault : &unused;
    *blame = (ofr_fault){-1, -1, 0, 0};
    if (model == NULL) {
        return OFR_E_ARGUMENT;
    }
    model->phase = OFR_PHASE_NONE;
    model->next_step = 0;
    for (uint32_t i = 0; i < OFR_MAX_CALLER_INPUTS; i++) {
        model->memory[OFR_FB_MEMORY_INPUT + i] = NULL;
    }
    if (kernels == NULL || (arena == NULL && arena_bytes != 0) || (state == NULL && state_bytes != 0)) {
        return OFR_E_ARGUMENT;
    }
    if ((uintptr_t)arena % OFR_ALIGN != 0 || (uintptr_t)state % OFR_ALIGN != 0) {
        return OFR_E_ALIGN;
    }
    model->blob = blob;
    model->kernels = kernels;
    model->memory[OFR_FB_MEMORY_ARENA] = arena;
    model->memory[OFR_FB_MEMORY_STATE] = state;
    const ofr_status status = check_blob(model, blob_bytes, plan, arena_bytes, state_bytes, blame);
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
    vector name;
    span s;
    *bytes = 0;
    if (model == NULL || model->phase == OFR_PHASE_NONE || open_blob(model->blob, UINT32_MAX, &unused, &s) != OFR_OK ||
        !open_table(s, get_u32(s, 0), &root) || !get_vector(&root, OFR_FB_BLOB_NAME, 1, 1, &name)) {
        return NULL;
    }
    *bytes = name.count;
    return *bytes != 0 ? (const char *)name.at : NULL;
}

#if OFR_FRONT_ENDS
const void *ofr_front_end(const ofr_model *model, uint32_t *bytes) {
    ofr_fault unused;
    table root;
    vector block;
    span s;
    *bytes = 0;
    if (model == NULL || model->phase == OFR_PHASE_NONE || open_blob(model->blob, UINT32_MAX, &unused, &s) != OFR_OK ||
        !open_table(s, get_u32(s, 0), &root) || !get_vector(&root, OFR_FB_BLOB_FRONT_END, 1, 4, &block)) {
        return NULL;
    }
    *bytes = block.count;
    return *bytes != 0 ? block.at : NULL;
}
#endif

/* Opens again what the load has checked. */
static ofr_status open_again(const ofr_model *model, table *root, table *plan) {
    ofr_fault unused;
    uint32_t count;
    span s;
    if (model->phase == OFR_PHASE_NONE || open_blob(model->blob, UINT32_MAX, &unused, &s) != OFR_OK) {
        return OFR_E_ORDER;
    }
    return find_plan(s, model->plan, root, plan, &count);
}

ofr_status ofr_plan_info(const ofr_model *model, ofr_plan *info) {
    table root, plan;
    vector name;
    if (model == NULL || info == NULL) {
        return OFR_E_ARGUMENT;
    }
    const ofr_status status = open_again(model, &root, &plan);
    if (status != OFR_OK) {
        return status;
    }
    uint32_t instructions, margin, gate;
    if (!get_vector(&plan, OFR_FB_PLAN_NAME, 1, 1, &name) ||
        !get_scalar(&plan, OFR_FB_PLAN_INSTRUCTIONS, &instructions) ||
        !get_scalar(&root, OFR_FB_BLOB_MARGIN, &margin) || !get_scalar(&root, OFR_FB_BLOB_GATE, &gate)) {
        return OFR_E_STRUCTURE;
    }
    *info = (ofr_plan){(const char *)name.at, name.count, instructions, margin, gate};
    return OFR_OK;
}

#if OFR_EXITS
const char *ofr_exit_name(const ofr_model *model, unsigned exit, uint32_t *bytes) {
    table root, plan, port;
    vector ports, name;
    *bytes = 0;
    if (exit >= ofr_exits(model) || open_again(model, &root, &plan) != OFR_OK ||
        !get_vector(&plan, OFR_FB_PLAN_EXIT_PORTS, 4, 4, &ports) || exit >= ports.count) {
        return NULL;
    }
    const uint32_t at = (uint32_t)(ports.at - plan.s.at) + 4 * exit;
    if (!open_table(plan.s, at + get_u32(plan.s, at), &port) || !get_vector(&port, OFR_FB_PORT_NAME, 1, 1, &name)) {
        return NULL;
    }
    *bytes = name.count;
    return *bytes != 0 ? (const char *)name.at : NULL;
}
#endif

uint32_t ofr_step_bound(const ofr_model *model, unsigned step) {
    table root, plan;
    vector bounds;
    if (model == NULL || step >= model->n_steps || open_again(model, &root, &plan) != OFR_OK ||
        !get_vector(&plan, OFR_FB_PLAN_BOUNDS, sizeof(ofr_fb_step_bound), 4, &bounds) ||
        bounds.count != model->n_steps) {
        return 0;
    }
    return ((const ofr_fb_step_bound *)(const void *)bounds.at)[step].most;
}

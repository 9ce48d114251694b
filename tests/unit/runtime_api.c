/* The C API's contract, case by case: runtime_api CASE KEYWORD.ofr CALLER.ofr STREAMING.ofr. Exit code 0: as promised.
 */
#define _XOPEN_SOURCE 700
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "blob.h"

#define NEWEST (OFR_FORMAT_MAJOR * 0x10000u + OFR_FORMAT_MINOR)

#define EXPECT(condition)                                                                                              \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                            \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

/* A blob with memory for one instance, every piece of just the size it must have. */
typedef struct kit {
    uint8_t *blob, *arena, *state;
    uint32_t blob_bytes;
    ofr_requirements need;
    ofr_model model;
    ofr_fault fault;
} kit;

static kit keyword, caller, streaming, certified, family;

static uint8_t *allocate(size_t bytes) {
    void *at = NULL;
    EXPECT(posix_memalign(&at, OFR_ALIGN, bytes) == 0);
    return at;
}

static kit open_kit(const char *path) {
    kit k = {.blob = NULL};
    FILE *file = fopen(path, "rb");
    EXPECT(file != NULL && fseek(file, 0, SEEK_END) == 0);
    k.blob_bytes = (uint32_t)ftell(file);
    rewind(file);
    k.blob = allocate(k.blob_bytes);
    EXPECT(fread(k.blob, 1, k.blob_bytes, file) == k.blob_bytes);
    fclose(file);
    EXPECT(ofr_peek(k.blob, k.blob_bytes, 0, &k.need) == OFR_OK);
    k.arena = allocate(k.need.arena_bytes);
    k.state = allocate(k.need.state_bytes);
    return k;
}

static void close_kit(kit *k) {
    free(k->blob);
    free(k->arena);
    free(k->state);
}

static ofr_status load_with(kit *k, size_t arena_bytes, size_t state_bytes) {
    return ofr_load(&k->model, k->blob, k->blob_bytes, 0, &ofr_linked_kernels, k->arena, arena_bytes, k->state,
                    state_bytes, &k->fault);
}

static ofr_status load(kit *k) {
    return load_with(k, k->need.arena_bytes, k->need.state_bytes);
}

static int fault_is(const kit *k, int32_t step, int32_t tensor, uint32_t found, uint32_t allowed) {
    const ofr_fault *f = &k->fault;
    return f->step == step && f->tensor == tensor && f->found == found && f->allowed == allowed;
}

static void feed(kit *k, unsigned salt) {
    const ofr_buffer input = ofr_input(&k->model, 0);
    EXPECT(input.data != NULL);
    for (uint32_t i = 0; i < input.bytes; i++) {
        ((uint8_t *)input.data)[i] = (uint8_t)(i * 31 + salt);
    }
}

/* A copy of output 0 of a run that is done. */
static void copy_output(kit *k, uint8_t *to, uint32_t room) {
    ofr_buffer output;
    EXPECT(ofr_result(&k->model, 0, &output) == OFR_OK && output.bytes <= room);
    memcpy(to, output.data, output.bytes);
}

static ofr_fb_step *first_step(kit *k) {
    return (ofr_fb_step *)(void *)(uintptr_t)k->model.steps;
}

static ofr_fb_blob_tensor *tensor(kit *k, uint32_t i) {
    return (ofr_fb_blob_tensor *)(void *)(uintptr_t)k->model.tensors + i;
}

#define CASE(name) static void name(void)

CASE(requirements) {
    EXPECT(keyword.need.n_inputs == 1 && keyword.need.n_outputs == 1 && keyword.need.n_steps >= 6);
    EXPECT(keyword.need.n_plans == 1 && keyword.need.arena_bytes > 0 && keyword.need.state_bytes == 0);
    EXPECT(streaming.need.state_bytes > 0);
    EXPECT(ofr_check_crc(keyword.blob, keyword.blob_bytes) == OFR_OK);
    uint32_t stated;
    memcpy(&stated, keyword.blob + 60, sizeof stated);
    EXPECT(keyword.need.crc == stated);
}

CASE(null_arguments) {
    ofr_requirements need = {.arena_bytes = 77};
    ofr_buffer output;
    EXPECT(ofr_peek(NULL, 100, 0, &need) == OFR_E_ARGUMENT && need.arena_bytes == 77);
    EXPECT(ofr_peek(keyword.blob, keyword.blob_bytes, 0, NULL) == OFR_E_ARGUMENT);
    EXPECT(ofr_check_crc(NULL, 100) == OFR_E_ARGUMENT);
    EXPECT(ofr_load(NULL, keyword.blob, keyword.blob_bytes, 0, &ofr_linked_kernels, NULL, 0, NULL, 0, NULL) ==
           OFR_E_ARGUMENT);
    EXPECT(ofr_load(&keyword.model, NULL, 100, 0, &ofr_linked_kernels, NULL, 0, NULL, 0, NULL) == OFR_E_ARGUMENT);
    EXPECT(ofr_load(&keyword.model, keyword.blob, keyword.blob_bytes, 0, NULL, NULL, 0, NULL, 0, NULL) == OFR_E_ARGUMENT);
    EXPECT(ofr_load(&keyword.model, keyword.blob, keyword.blob_bytes, 0, &ofr_linked_kernels, NULL, 16, NULL, 0, NULL) ==
           OFR_E_ARGUMENT);
    EXPECT(ofr_load(&keyword.model, keyword.blob, keyword.blob_bytes, 0, &ofr_linked_kernels, keyword.arena,
                    keyword.need.arena_bytes, NULL, 16, NULL) == OFR_E_ARGUMENT);
    EXPECT(ofr_input(NULL, 0).data == NULL && ofr_bind_input(NULL, 0, &need) == OFR_E_ARGUMENT);
    EXPECT(ofr_begin(NULL) == OFR_E_ARGUMENT && ofr_step(NULL) == OFR_E_ARGUMENT && ofr_run(NULL) == OFR_E_ARGUMENT);
    EXPECT(ofr_result(NULL, 0, &output) == OFR_E_ARGUMENT && ofr_position(NULL) == 0);
    ofr_cancel(NULL);
    ofr_reset_state(NULL);
    EXPECT(load(&keyword) == OFR_OK);
    EXPECT(ofr_result(&keyword.model, 0, NULL) == OFR_E_ARGUMENT);
}

CASE(bounds_of_steps) {
    EXPECT(load(&keyword) == OFR_OK && ofr_step_bound(&keyword.model, 0) == 0); /* it is not certified */
    EXPECT(load(&certified) == OFR_OK);
    for (unsigned i = 0; i < certified.need.n_steps; i++) {
        EXPECT(ofr_step_bound(&certified.model, i) == 1000 + i);
    }
    EXPECT(ofr_step_bound(&certified.model, certified.need.n_steps) == 0 && ofr_step_bound(NULL, 0) == 0);
}

CASE(index_out_of_range) {
    ofr_buffer output;
    EXPECT(load(&keyword) == OFR_OK);
    EXPECT(ofr_input(&keyword.model, 1).data == NULL && ofr_input(&keyword.model, 0).data != NULL);
    EXPECT(ofr_output(&keyword.model, 1).data == NULL && ofr_output(&keyword.model, 0).bytes == 12);
    EXPECT(ofr_output(NULL, 0).data == NULL);
    EXPECT(ofr_bind_input(&keyword.model, 1, keyword.blob) == OFR_E_ARGUMENT);
    feed(&keyword, 0);
    EXPECT(ofr_run(&keyword.model) == OFR_DONE);
    EXPECT(ofr_result(&keyword.model, 1, &output) == OFR_E_ARGUMENT);
}

CASE(misalignment) {
    uint8_t *moved = allocate(keyword.blob_bytes + OFR_ALIGN);
    ofr_requirements need;
    for (size_t by = 1; by < OFR_ALIGN; by++) {
        memcpy(moved + by, keyword.blob, keyword.blob_bytes);
        EXPECT(ofr_peek(moved + by, keyword.blob_bytes, 0, &need) == OFR_E_ALIGN);
        EXPECT(ofr_check_crc(moved + by, keyword.blob_bytes) == OFR_E_ALIGN);
        EXPECT(ofr_load(&keyword.model, keyword.blob, keyword.blob_bytes, 0, &ofr_linked_kernels, keyword.arena + by,
                        keyword.need.arena_bytes - by, NULL, 0, NULL) == OFR_E_ALIGN);
        EXPECT(ofr_load(&streaming.model, streaming.blob, streaming.blob_bytes, 0, &ofr_linked_kernels, streaming.arena,
                        streaming.need.arena_bytes, streaming.state + by, streaming.need.state_bytes - by,
                        NULL) == OFR_E_ALIGN);
    }
    free(moved);
}

CASE(one_byte_too_few) {
    EXPECT(load_with(&keyword, keyword.need.arena_bytes - 1, 0) == OFR_E_ARENA);
    EXPECT(fault_is(&keyword, -1, -1, keyword.need.arena_bytes - 1, keyword.need.arena_bytes));
    EXPECT(load_with(&streaming, streaming.need.arena_bytes, streaming.need.state_bytes - 1) == OFR_E_STATE);
    EXPECT(fault_is(&streaming, -1, -1, streaming.need.state_bytes - 1, streaming.need.state_bytes));
    EXPECT(load(&keyword) == OFR_OK && load(&streaming) == OFR_OK);
}

CASE(damaged_header) {
    uint8_t *b = keyword.blob;
    const uint32_t n = keyword.blob_bytes;
    ofr_requirements need;
    for (uint32_t short_n = 0; short_n < n; short_n++) {
        EXPECT(ofr_peek(b, short_n, 0, &need) == OFR_E_TRUNCATED);
    }
    b[0] ^= 1;
    EXPECT(load(&keyword) == OFR_E_MAGIC && keyword.fault.allowed == OFR_MAGIC);
    b[0] ^= 1;
    b[4]++;
    EXPECT(load(&keyword) == OFR_E_VERSION && fault_is(&keyword, -1, -1, 0x20000, NEWEST));
    b[4]--;
    b[6] = 1; /* a blob of one plan without exits has nothing of later ones */
    EXPECT(load(&keyword) == OFR_OK);
    b[6] = OFR_FORMAT_MINOR + 1;
    EXPECT(load(&keyword) == OFR_E_VERSION && fault_is(&keyword, -1, -1, NEWEST + 1, NEWEST));
    b[6] = 0;
    b[12] = 1; /* a trailer that is not there */
    EXPECT(load(&keyword) == OFR_E_TRUNCATED && fault_is(&keyword, -1, -1, 0, 1));
    b[12] = 0;
    b[20] ^= 7;
    EXPECT(load(&keyword) == OFR_E_CORE && keyword.fault.allowed == ofr_linked_kernels.core);
    b[20] ^= 7;
    for (uint32_t i = 0; i < n; i += 7) { /* the CRC covers every byte; its own word is compared */
        b[i] ^= 0x10;
        EXPECT(ofr_check_crc(b, n) != OFR_OK);
        b[i] ^= 0x10;
    }
    EXPECT(ofr_check_crc(b, n) == OFR_OK && load(&keyword) == OFR_OK);
}

CASE(a_refused_model_is_not_usable) {
    ofr_buffer output;
    EXPECT(load(&keyword) == OFR_OK);
    keyword.blob[0] ^= 1;
    EXPECT(load(&keyword) == OFR_E_MAGIC);
    EXPECT(ofr_begin(&keyword.model) == OFR_E_ORDER && ofr_step(&keyword.model) == OFR_E_ORDER);
    EXPECT(ofr_input(&keyword.model, 0).data == NULL);
    EXPECT(ofr_bind_input(&keyword.model, 0, keyword.blob) == OFR_E_ARGUMENT);
    EXPECT(ofr_result(&keyword.model, 0, &output) < 0);
    ofr_cancel(&keyword.model);
    ofr_reset_state(&keyword.model);
    EXPECT(ofr_begin(&keyword.model) == OFR_E_ORDER);
}

CASE(order) {
    ofr_buffer output;
    EXPECT(load(&keyword) == OFR_OK);
    EXPECT(ofr_step(&keyword.model) == OFR_E_ORDER);
    EXPECT(ofr_result(&keyword.model, 0, &output) == OFR_E_ORDER);
    feed(&keyword, 0);
    EXPECT(ofr_begin(&keyword.model) == OFR_OK && ofr_position(&keyword.model) == 0);
    EXPECT(ofr_result(&keyword.model, 0, &output) == OFR_E_ORDER);
    for (unsigned i = 1; i <= keyword.need.n_steps; i++) {
        EXPECT(ofr_step(&keyword.model) == (i < keyword.need.n_steps ? OFR_MORE : OFR_DONE));
        EXPECT(ofr_position(&keyword.model) == i);
    }
    EXPECT(ofr_step(&keyword.model) == OFR_E_ORDER);
    EXPECT(ofr_result(&keyword.model, 0, &output) == OFR_OK && ofr_result(&keyword.model, 0, &output) == OFR_OK);
    EXPECT(ofr_begin(&keyword.model) == OFR_OK && ofr_result(&keyword.model, 0, &output) == OFR_E_ORDER);
}

CASE(cancel_and_begin_again) {
    uint8_t once[64] = {0}, again[64] = {0};
    EXPECT(load(&keyword) == OFR_OK);
    feed(&keyword, 5);
    EXPECT(ofr_run(&keyword.model) == OFR_DONE);
    copy_output(&keyword, once, sizeof once);
    for (int begins = 0; begins < 2; begins++) { /* a run is dropped by ofr_cancel, and by ofr_begin */
        EXPECT(ofr_begin(&keyword.model) == OFR_OK && ofr_step(&keyword.model) == OFR_MORE);
        if (begins == 0) {
            ofr_cancel(&keyword.model);
            EXPECT(ofr_step(&keyword.model) == OFR_E_ORDER && ofr_position(&keyword.model) == 0);
        }
        feed(&keyword, 5);
        EXPECT(ofr_run(&keyword.model) == OFR_DONE);
        copy_output(&keyword, again, sizeof again);
        EXPECT(memcmp(once, again, sizeof once) == 0);
    }
}

CASE(buffers) {
    ofr_buffer output;
    EXPECT(load(&keyword) == OFR_OK);
    const ofr_buffer input = ofr_input(&keyword.model, 0);
    EXPECT(input.rank == 4 && input.dtype == OFR_S8 && (uintptr_t)input.data % OFR_ALIGN == 0);
    EXPECT(input.bytes == (uint32_t)(input.dims[0] * input.dims[1] * input.dims[2] * input.dims[3]));
    feed(&keyword, 1);
    EXPECT(ofr_run(&keyword.model) == OFR_DONE && ofr_result(&keyword.model, 0, &output) == OFR_OK);
    EXPECT(output.rank == 2 && output.dims[0] == 1 && output.dims[1] == 12 && output.bytes == 12);
    EXPECT((uintptr_t)output.data % OFR_ALIGN == 0);
    EXPECT(ofr_bind_input(&keyword.model, 0, keyword.blob) == OFR_E_MEMORY_KIND);
}

CASE(input_of_the_caller) {
    uint8_t expected[64] = {0}, found[64] = {0};
    EXPECT(load(&caller) == OFR_OK && load(&keyword) == OFR_OK);
    const uint32_t n = ofr_input(&caller.model, 0).bytes;
    EXPECT(n == ofr_input(&keyword.model, 0).bytes && ofr_input(&caller.model, 0).data == NULL);
    EXPECT(ofr_begin(&caller.model) == OFR_E_UNBOUND && ofr_run(&caller.model) == OFR_E_UNBOUND);
    EXPECT(ofr_bind_input(&caller.model, 0, NULL) == OFR_E_ARGUMENT);
    feed(&keyword, 9);
    uint8_t *mine = allocate(n + 1), *kept = allocate(n); /* any alignment */
    memcpy(mine + 1, ofr_input(&keyword.model, 0).data, n);
    memcpy(kept, mine + 1, n);
    EXPECT(ofr_bind_input(&caller.model, 0, mine + 1) == OFR_OK);
    EXPECT(ofr_run(&keyword.model) == OFR_DONE);
    copy_output(&keyword, expected, sizeof expected);
    for (int run = 0; run < 2; run++) { /* stays bound, and is not consumed */
        EXPECT(ofr_run(&caller.model) == OFR_DONE);
        copy_output(&caller, found, sizeof found);
        EXPECT(memcmp(expected, found, sizeof found) == 0 && memcmp(kept, mine + 1, n) == 0);
    }
    free(mine);
    free(kept);
}

CASE(state_is_kept_and_reset) {
    uint8_t first[256] = {0}, second[256] = {0}, again[256] = {0};
    EXPECT(load(&streaming) == OFR_OK);
    feed(&streaming, 1);
    EXPECT(ofr_run(&streaming.model) == OFR_DONE);
    copy_output(&streaming, first, sizeof first);
    memset(streaming.arena, 0xee, streaming.need.arena_bytes); /* holds nothing between runs */
    feed(&streaming, 1);
    EXPECT(ofr_run(&streaming.model) == OFR_DONE);
    copy_output(&streaming, second, sizeof second);
    EXPECT(memcmp(first, second, sizeof first) != 0);
    EXPECT(ofr_begin(&streaming.model) == OFR_OK);
    ofr_reset_state(&streaming.model);
    EXPECT(ofr_step(&streaming.model) == OFR_E_ORDER);
    feed(&streaming, 1);
    EXPECT(ofr_run(&streaming.model) == OFR_DONE);
    copy_output(&streaming, again, sizeof again);
    EXPECT(memcmp(first, again, sizeof first) == 0);
}

CASE(shared_arena_and_moved_model) {
    uint8_t expected[64] = {0}, found[64] = {0};
    EXPECT(load(&keyword) == OFR_OK);
    ofr_model other, moved;
    EXPECT(ofr_load(&other, keyword.blob, keyword.blob_bytes, 0, &ofr_linked_kernels, keyword.arena,
                    keyword.need.arena_bytes, NULL, 0, NULL) == OFR_OK);
    feed(&keyword, 2);
    EXPECT(ofr_run(&keyword.model) == OFR_DONE);
    copy_output(&keyword, expected, sizeof expected);
    memcpy(&moved, &other, sizeof moved);
    memset(&other, 0xff, sizeof other);
    feed(&keyword, 2);
    EXPECT(ofr_run(&moved) == OFR_DONE);
    ofr_buffer output;
    EXPECT(ofr_result(&moved, 0, &output) == OFR_OK);
    memcpy(found, output.data, output.bytes);
    EXPECT(memcmp(expected, found, sizeof found) == 0);
}

/* Each damage is told by status, step, tensor, found and allowed. */
CASE(faults_name_the_culprit) {
    EXPECT(load(&keyword) == OFR_OK);
    ofr_fb_step *step = first_step(&keyword);
    const ofr_fb_step good = step[2];
    const uint16_t *operands = keyword.model.operands + good.operands;
    step[2].kernel = 0x7fff;
    EXPECT(load(&keyword) == OFR_E_KERNEL && fault_is(&keyword, 2, -1, 0x7fff, 0));
    step[2] = good;
    step[2].packing = 99;
    EXPECT(load(&keyword) == OFR_E_PACKING && fault_is(&keyword, 2, -1, 99, good.packing));
    step[2] = good;
    step[2].n_inputs = 9;
    EXPECT(load(&keyword) == OFR_E_OPERANDS && fault_is(&keyword, 2, -1, 9, good.n_inputs));
    step[2] = good;
    step[2].params_bytes = 1;
    EXPECT(load(&keyword) == OFR_E_PARAMS && keyword.fault.step == 2 && keyword.fault.found == 1);
    step[2] = good;
    step[2].params += 4;
    EXPECT(load(&keyword) == OFR_E_PARAMS && keyword.fault.step == 2);
    step[2] = good;
    step[2].scratch = keyword.need.arena_bytes + 16;
    EXPECT(load(&keyword) == OFR_E_SCRATCH && keyword.fault.step == 2 &&
           keyword.fault.allowed == keyword.need.arena_bytes);
    step[2] = good;
    ofr_fb_blob_tensor *out = tensor(&keyword, operands[1]);
    const ofr_fb_blob_tensor good_out = *out, good_in = *tensor(&keyword, operands[0]);
    out->offset = keyword.need.arena_bytes;
    EXPECT(load(&keyword) == OFR_E_TENSOR &&
           fault_is(&keyword, -1, operands[1], keyword.need.arena_bytes + good_out.bytes, keyword.need.arena_bytes));
    *out = good_out;
    out->memory = OFR_FB_MEMORY_OUTPUT;
    EXPECT(load(&keyword) == OFR_E_MEMORY_KIND && fault_is(&keyword, -1, operands[1], OFR_FB_MEMORY_OUTPUT, 4));
    *out = good_out;
    out->memory = OFR_FB_MEMORY_CONSTANT; /* an output that would be written into the blob */
    out->offset = 0;
    EXPECT(load(&keyword) == OFR_E_MEMORY_KIND && keyword.fault.tensor == operands[1]);
    *out = good_out;
    out->offset = good_in.offset;
    EXPECT(load(&keyword) == OFR_E_OVERLAP && fault_is(&keyword, 2, operands[1], good_in.offset, good_in.offset));
    *out = good_out;
    out->dtype = OFR_F32;
    EXPECT(load(&keyword) == OFR_E_DTYPE);
    *out = good_out;
    out->bytes -= 4;
    EXPECT(load(&keyword) == OFR_E_SHAPE && keyword.fault.found == good_out.bytes - 4);
    *out = good_out;
    out->symbol = 1;
    EXPECT(load(&keyword) == OFR_E_SHAPE && fault_is(&keyword, -1, operands[1], 1, 0));
    *out = good_out;
    out->bound = 1; /* a slot, but not in the caller's memory */
    EXPECT(load(&keyword) == OFR_E_TENSOR && fault_is(&keyword, -1, operands[1], 1, 1));
    *out = good_out;
    EXPECT(load(&keyword) == OFR_OK);
}

CASE(ports_are_checked) {
    EXPECT(load(&caller) == OFR_OK && load(&keyword) == OFR_OK);
    uint16_t *input = (uint16_t *)(uintptr_t)keyword.model.inputs;
    const uint16_t good = *input;
    *input = 999;
    EXPECT(load(&keyword) == OFR_E_OPERANDS && fault_is(&keyword, -1, 999, 999, keyword.model.n_tensors));
    *input = good;
    ofr_fb_blob_tensor *t = tensor(&keyword, good);
    t->rank -= 2; /* 1 x 13 values are left of 1 x 13 x 10 x 1 */
    EXPECT(load(&keyword) == OFR_E_SHAPE && fault_is(&keyword, -1, good, 13, 130));
    t->rank += 2;
    t = tensor(&caller, caller.model.inputs[0]);
    t->bound = OFR_MAX_CALLER_INPUTS;
    EXPECT(load(&caller) == OFR_E_OPERANDS && fault_is(&caller, -1, caller.model.inputs[0], 4, 4));
    t->bound = 0;
    /* A tensor in a slot that no input binds would be read through a null pointer. */
    EXPECT(load(&keyword) == OFR_OK);
    for (uint32_t i = 0; i < keyword.model.n_tensors; i++) {
        t = tensor(&keyword, i);
        const ofr_fb_blob_tensor kept = *t;
        t->memory = OFR_FB_MEMORY_INPUT;
        t->offset = 0;
        t->bound = 1;
        const ofr_status status = load(&keyword);
        const ofr_status refusal = i == keyword.model.outputs[0] ? OFR_E_MEMORY_KIND : OFR_E_TENSOR;
        EXPECT(i == good ? status == OFR_OK : status == refusal && keyword.fault.tensor == (int32_t)i);
        *t = kept;
    }
}

CASE(segments_are_checked) {
    EXPECT(load(&keyword) == OFR_OK);
    /* The only segment: first step 0, all steps, `end`. */
    const uint16_t wanted[4] = {0, keyword.need.n_steps, 0, 0};
    uint8_t *segment = NULL;
    for (uint32_t at = sizeof(ofr_header); at + 12 <= keyword.blob_bytes; at += 4) {
        uint32_t count;
        memcpy(&count, keyword.blob + at - 4, 4);
        if (count == 1 && memcmp(keyword.blob + at, wanted, sizeof wanted) == 0) {
            segment = keyword.blob + at;
        }
    }
    EXPECT(segment != NULL);
    for (uint8_t terminator = 1; terminator < 6; terminator++) {
        segment[4] = terminator;
        EXPECT(load(&keyword) == OFR_E_TERMINATOR && fault_is(&keyword, -1, -1, terminator, 0));
    }
    segment[4] = 0;
    segment[2]--;
    EXPECT(load(&keyword) == OFR_E_SEGMENT &&
           fault_is(&keyword, -1, -1, keyword.need.n_steps - 1u, keyword.need.n_steps));
    segment[2]++;
    segment[0]++;
    EXPECT(load(&keyword) == OFR_E_SEGMENT);
    segment[0]--;
    EXPECT(load(&keyword) == OFR_OK);
}

static ofr_status load_plan(ofr_model *model, unsigned plan, const ofr_requirements *need) {
    return ofr_load(model, family.blob, family.blob_bytes, plan, &ofr_linked_kernels, family.arena, need->arena_bytes,
                    NULL, 0, &family.fault);
}

/* The outputs of a run of an instance that has all the arena to itself. */
static void run_plan(ofr_model *model, uint8_t *to, uint32_t room) {
    ofr_buffer output;
    const ofr_buffer input = ofr_input(model, 0);
    for (uint32_t i = 0; i < input.bytes; i++) {
        ((uint8_t *)input.data)[i] = (uint8_t)(i * 37);
    }
    EXPECT(ofr_run(model) == OFR_DONE && ofr_result(model, 0, &output) == OFR_OK && output.bytes <= room);
    memcpy(to, output.data, output.bytes);
}

CASE(plans_of_a_family) {
    static const char *const names[] = {"large", "medium", "small"};
    ofr_model plans[3];
    ofr_requirements need[3];
    uint8_t expected[3][16] = {{0}}, found[16] = {0};
    uint32_t most = 0;
    for (unsigned i = 0; i < 3; i++) {
        EXPECT(ofr_peek(family.blob, family.blob_bytes, i, &need[i]) == OFR_OK && need[i].n_plans == 3);
        most = need[i].arena_bytes > most ? need[i].arena_bytes : most;
        EXPECT(load_plan(&plans[i], i, &need[i]) == OFR_OK);
        run_plan(&plans[i], expected[i], 16);
    }
    EXPECT(family.need.arena_bytes == most); /* plan 0 is the largest: all had its arena */
    EXPECT(memcmp(expected[0], expected[1], 16) != 0 && memcmp(expected[1], expected[2], 16) != 0);
    for (unsigned round = 0; round < 12; round++) { /* no load between */
        const unsigned i = round * 5 % 3;
        EXPECT(ofr_input(&plans[i], 0).data == ofr_input(&plans[0], 0).data);
        run_plan(&plans[i], found, 16);
        EXPECT(memcmp(found, expected[i], 16) == 0);
    }
    for (unsigned i = 0; i < 3; i++) {
        ofr_plan info;
        EXPECT(ofr_plan_info(&plans[i], &info) == OFR_OK && info.name_bytes == strlen(names[i]));
        EXPECT(memcmp(info.name, names[i], info.name_bytes) == 0 && info.margin == 14);
        EXPECT(info.instructions == 1000 * (3 - i) && ofr_step_bound(&plans[i], 0) == 100 + i);
    }
}

CASE(plans_that_are_not_there) {
    static const unsigned missing[] = {3, 4, 255, 256, 65536, UINT32_MAX};
    ofr_model model;
    ofr_plan info = {.instructions = 77};
    for (unsigned i = 0; i < sizeof missing / sizeof *missing; i++) {
        ofr_requirements need = {.arena_bytes = 77};
        EXPECT(ofr_peek(family.blob, family.blob_bytes, missing[i], &need) == OFR_E_PLAN && need.arena_bytes == 77);
        EXPECT(load_plan(&model, missing[i], &family.need) == OFR_E_PLAN && ofr_begin(&model) == OFR_E_ORDER);
        EXPECT(ofr_plan_info(&model, &info) == OFR_E_ORDER && info.instructions == 77);
    }
    EXPECT(ofr_plan_info(NULL, &info) == OFR_E_ARGUMENT && ofr_plan_info(&model, NULL) == OFR_E_ARGUMENT);
    EXPECT(load(&keyword) == OFR_OK && ofr_plan_info(&keyword.model, &info) == OFR_OK); /* a blob that says nothing */
    EXPECT(info.name_bytes == 0 && info.instructions == 0 && info.margin == 0);
}

CASE(every_status_has_a_text) {
#define HAS_TEXT(name, value, text, remedy)                                                                            \
    EXPECT(strcmp(ofr_status_text(name), text) == 0 && strlen(text) > 0 && (value == 0 || strlen(remedy) > 0));
    OFR_STATUS_LIST(HAS_TEXT)
    EXPECT(ofr_status_text((ofr_status)-1000) != NULL && ofr_status_text((ofr_status)1000) != NULL);
}

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {
#define ROW(name) {#name, name}
    ROW(requirements),
    ROW(null_arguments),
    ROW(bounds_of_steps),
    ROW(index_out_of_range),
    ROW(misalignment),
    ROW(one_byte_too_few),
    ROW(damaged_header),
    ROW(a_refused_model_is_not_usable),
    ROW(order),
    ROW(cancel_and_begin_again),
    ROW(buffers),
    ROW(input_of_the_caller),
    ROW(state_is_kept_and_reset),
    ROW(shared_arena_and_moved_model),
    ROW(faults_name_the_culprit),
    ROW(ports_are_checked),
    ROW(segments_are_checked),
    ROW(plans_of_a_family),
    ROW(plans_that_are_not_there),
    ROW(every_status_has_a_text),
};

int main(int argc, char **argv) {
    int found = 0;
    EXPECT(argc == 7);
    keyword = open_kit(argv[2]);
    caller = open_kit(argv[3]);
    streaming = open_kit(argv[4]);
    certified = open_kit(argv[5]);
    family = open_kit(argv[6]);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (strcmp(cases[i].name, argv[1]) == 0) {
            cases[i].run();
            found = 1;
        }
    }
    close_kit(&keyword);
    close_kit(&caller);
    close_kit(&streaming);
    close_kit(&certified);
    close_kit(&family);
    return found ? 0 : 2;
}

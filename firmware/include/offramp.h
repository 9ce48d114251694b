/* The Offramp runtime: loads a model blob and runs it step by step, without heap, OS, floats or globals.
 *
 * In short (examples/bare_metal/main.c is the whole of it):
 *
 *     static ofr_model model;
 *     ofr_requirements need;
 *     ofr_peek(blob, blob_bytes, 0, &need);                  arena and state sizes, before giving any memory
 *     ofr_load(&model, blob, blob_bytes, 0, &ofr_linked_kernels, arena, sizeof arena, NULL, 0, &fault);
 *     memcpy(ofr_input(&model, 0).data, pixels, 784);        write the input where the model wants it
 *     ofr_run(&model);                                       or ofr_begin and ofr_step until OFR_DONE
 *     ofr_result(&model, 0, &output);                        read the output before the next ofr_begin
 *
 * Memory. The caller owns every byte. Five areas, all of which must outlive the model's use:
 *   blob    read-only, 16-byte aligned (flash, XIP or RAM); must not change while a model uses it.
 *   model   one ofr_model an instance; fields are private; may be moved only between runs.
 *   arena   OFR_ALIGN-aligned, at least need.arena_bytes. Holds nothing between runs: after the outputs are
 *           read it may serve another model, or anything else, until this model's input is written again.
 *   state   OFR_ALIGN-aligned, at least need.state_bytes (often 0, then NULL is fine). Kept between runs;
 *           one per instance, never shared.
 *   inputs  lie in the arena (or in the caller's memory, when packed with --input NAME=caller).
 *
 * Inputs are consumed: a run may overwrite them, so write them before each ofr_begin (pack --keep-inputs
 * keeps them). Outputs lie in the arena from OFR_DONE until the next ofr_begin or write to an input.
 *
 * Plans. Most blobs hold one plan, number 0. A blob of a family holds several, smaller or larger networks for the same
 * inputs and outputs. Load an instance of each that you want into an ofr_model of its own: they may all have one arena,
 * as large as the largest asks for, and picking a plan is picking its instance. Each has a state of its own. Their
 * inputs lie at one place of the arena, so that they are written once for whichever plan runs next.
 *
 * Exits. A model with exits may end a run early. ofr_run leaves by the first exit whose confidence reaches its
 * threshold and then returns OFR_EXIT in place of OFR_DONE; ofr_result gives that exit's answer as output 0. Whoever
 * steps decides for himself: ofr_step returns OFR_EXIT where a way out is reached, its answer can be read there, and the
 * next ofr_step goes on. offramp_policy.h holds policies (budgets, streams) made of this.
 *
 * Threads and interrupts. No function blocks, waits or calls back. Instances share nothing but the blob and
 * the kernel table, both read-only: two threads, or a thread and an interrupt handler, may each run an
 * instance of their own at the same time with arenas of their own. One instance is one thread's at a time. Every
 * function may be called from an interrupt handler under that rule; a step takes as long as its layer, see
 * the step costs that `offramp bench` prints.
 *
 * Trust. A blob is hostile until ofr_load returns OFR_OK. After that, whatever its bytes, the runtime reads
 * only blob, state, arena and bound inputs, and writes only state and arena. ofr_load does not check the CRC
 * (safety does not rest on it): call ofr_check_crc where flash or transport may flip bits.
 *
 * Errors are negative ofr_status values; ofr_status_text gives a line of text, docs/status.md the remedies.
 * The byte order is little-endian on host and device.
 */
#ifndef OFFRAMP_H
#define OFFRAMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define OFR_API_MAJOR 0 /* SemVer of this header; the blob format and the link have versions of their own */
#define OFR_API_MINOR 3
#define OFR_FORMAT_MAJOR 1 /* blobs of this major version run; a newer minor may be refused by name */
#define OFR_FORMAT_MINOR 4

#define OFR_ALIGN 16u            /* bytes: blob, arena and state */
#define OFR_MAX_CALLER_INPUTS 4u /* inputs that may stay in the caller's memory */
#define OFR_MAX_EXITS 8u
#define OFR_NO_EXIT 0xFFu /* in place of an exit's number: the end of the model, or no way out yet */

/* 0: the runtime without the code of exits: blobs that have some are refused, and the functions for them are missing. */
#ifndef OFR_EXITS
#define OFR_EXITS 1
#endif

/* 0: the runtime without ofr_front_end. */
#ifndef OFR_FRONT_ENDS
#define OFR_FRONT_ENDS 1
#endif

#if defined(__GNUC__)
#define OFR_CHECKED __attribute__((warn_unused_result))
#else
#define OFR_CHECKED
#endif

/* name, value, text, remedy (the remedies go into docs/status.md only) */
#define OFR_STATUS_LIST(X)                                                                                             \
    X(OFR_OK, 0, "done", "")                                                                                           \
    X(OFR_MORE, 1, "a step ran, more follow", "Call ofr_step again.")                                                  \
    X(OFR_DONE, 2, "the last step ran, outputs are valid", "Read the outputs with ofr_result.")                        \
    X(OFR_EXIT, 3, "an exit is reached, its answer is valid", "Read it with ofr_result, or go on with ofr_step.")       \
    X(OFR_E_ARGUMENT, -1, "a null pointer or an index out of range", "Check the call against offramp.h.")              \
    X(OFR_E_ALIGN, -2, "blob, arena or state is not 16-byte aligned", "Align the buffer with _Alignas(16).")           \
    X(OFR_E_TRUNCATED, -3, "the blob is shorter than it says", "Transfer the file again, whole.")                      \
    X(OFR_E_MAGIC, -4, "not an Offramp blob", "Pass the .ofr file that `offramp pack` wrote.")                         \
    X(OFR_E_VERSION, -5, "a blob format this runtime does not know", "Pack again, or update the firmware.")            \
    X(OFR_E_CORE, -6, "packed for another core", "Pack again with --board set to this board.")                         \
    X(OFR_E_CRC, -7, "checksum differs: the blob is damaged", "Transfer or flash the blob again.")                     \
    X(OFR_E_STRUCTURE, -8, "an offset or vector lies outside the blob", "Pack again; the file is damaged.")            \
    X(OFR_E_PLAN, -9, "no such plan in the blob", "Ask `offramp inspect` which plans the blob holds.")                 \
    X(OFR_E_TERMINATOR, -10, "a segment ends in a way this runtime does not run",                                      \
      "Build it for this model, or with --universal-all; else update the firmware.")                                   \
    X(OFR_E_SEGMENT, -11, "segments do not cover the steps in order", "Pack again; the file is damaged.")              \
    X(OFR_E_TENSOR, -12, "a tensor lies outside its memory", "Pack again; the file is damaged.")                       \
    X(OFR_E_MEMORY_KIND, -13, "a memory kind this runtime does not serve", "Update the firmware.")                     \
    X(OFR_E_SHAPE, -14, "shapes of a step do not agree", "Pack again; the file is damaged.")                           \
    X(OFR_E_DTYPE, -15, "a step has a data type its kernel does not take", "Pack again for this firmware.")            \
    X(OFR_E_KERNEL, -16, "this image does not hold the step's kernel", "Build with --universal-all, or this model.")       \
    X(OFR_E_PACKING, -17, "weights packed for another version of the kernel or its library",                           \
      "Pack again with the library version that the firmware was built with.")                                         \
    X(OFR_E_OPERANDS, -18, "wrong number of operands or an operand out of range", "Pack again.")                       \
    X(OFR_E_PARAMS, -19, "a step's parameter block is outside the blob or has a wrong size", "Pack again.")            \
    X(OFR_E_VALUE, -20, "a parameter is outside its range", "Pack again; the file is damaged.")                        \
    X(OFR_E_SCRATCH, -21, "scratch is outside the arena or too small for the kernel", "Pack again.")                   \
    X(OFR_E_OVERLAP, -22, "operands overlap where the kernel does not allow it", "Pack again.")                        \
    X(OFR_E_ARENA, -23, "the arena is smaller than the model needs", "Give ofr_peek's arena_bytes.")                   \
    X(OFR_E_STATE, -24, "the state area is smaller than the model needs", "Give ofr_peek's state_bytes.")              \
    X(OFR_E_UNBOUND, -25, "an input in the caller's memory is not bound", "Call ofr_bind_input first.")                \
    X(OFR_E_ORDER, -26, "called out of order", "ofr_load, ofr_begin, ofr_step until OFR_DONE, ofr_result.")            \
    X(OFR_E_EXIT, -27, "an exit's head, answer or threshold is outside its range", "Pack again, or give 0 to 65535.")     \
    X(OFR_E_BUDGET, -28, "a budget below what the first way out takes", "Raise it to the least possible, which is told.") \
    X(OFR_E_COST, -29, "the cost of a stage is not known",                                                             \
      "Instructions: `offramp pack --certify`. Ticks: measure a whole run first.")                                     \
    X(OFR_E_CLOCK, -30, "the board's counter does not move", "Give the budget in instructions.")                       \
    X(OFR_E_FULL, -31, "the queue is full", "Push again later, or give the queue more places.")      \
    X(OFR_E_FRONT_END, -32, "a front end that this image does not hold, or damaged parameters of one",                 \
      "Build it for this model, or pack again with --front-end.")

typedef enum ofr_status {
#define OFR_STATUS_ENUM(name, value, text, remedy) name = value,
    OFR_STATUS_LIST(OFR_STATUS_ENUM)
#undef OFR_STATUS_ENUM
} ofr_status;

/* What a plan of a blob asks for. */
typedef struct ofr_requirements {
    uint32_t arena_bytes; /* inputs, outputs and scratch included */
    uint32_t state_bytes;
    uint16_t n_inputs, n_outputs;
    uint16_t n_steps, n_plans;
    uint32_t crc; /* CRC-32 that the header states; also serves as the model's identity */
} ofr_requirements;

/* Why ofr_load refused, as far as it got. -1 where no step or tensor is to blame. */
typedef struct ofr_fault {
    int32_t step;
    int32_t tensor;
    uint32_t found;
    uint32_t allowed;
} ofr_fault;

typedef enum ofr_dtype { /* the blob's codes, see firmware/BLOB.md */
                         OFR_S8 = 0,
                         OFR_U8 = 1,
                         OFR_S16 = 2,
                         OFR_S32 = 3,
                         OFR_F32 = 4
} ofr_dtype;

/* Memory of one input or output: `bytes` long, row-major NHWC, 16-byte aligned unless bound by the caller. */
typedef struct ofr_buffer {
    void *data;
    uint32_t bytes;
    const int32_t *dims; /* `rank` of them, inside the blob */
    uint8_t rank;
    uint8_t dtype; /* ofr_dtype */
} ofr_buffer;

/* The kernels linked into an image; `offramp build` generates the table `ofr_linked_kernels`. */
typedef struct ofr_kernel ofr_kernel;
typedef struct ofr_kernels {
    const ofr_kernel *const *table; /* ascending by kernel id */
    uint16_t count;
    uint8_t core; /* the core this image was built for; 0: any */
} ofr_kernels;
extern const ofr_kernels ofr_linked_kernels;

/* One instance. Fields are private; the size is public so that the caller can place it. */
typedef struct ofr_model {
    const uint8_t *blob;
    const uint8_t *tensors, *steps, *initial;
    const uint16_t *operands, *inputs, *outputs;
    const int32_t *dims;
    const ofr_kernels *kernels;
    uint8_t *memory[4 + OFR_MAX_CALLER_INPUTS]; /* constants, none, arena, state; inputs in the caller's memory */
    uint32_t constants_bytes, arena_bytes, state_bytes, n_dims;
    uint16_t n_tensors, n_steps, n_operands, n_initial, n_inputs, n_outputs;
    uint16_t next_step;
    uint8_t phase, plan;
    uint8_t n_exits;
    uint8_t stage; /* of the run under way: exits that lie behind it */
    uint16_t halt; /* the step before which ofr_step looks for a head to skip, a way out or the end */
    uint8_t used;  /* bit i: exit i is a way out */
    const uint8_t *exits, *segments;
    uint16_t thresholds[OFR_MAX_EXITS];
} ofr_model;

/* Reads what a plan of the blob needs, checking header and offsets on the way. `plan` counts from 0, 255 is the last
 * that can be reached. Writes `need` on OFR_OK only. */
OFR_CHECKED ofr_status ofr_peek(const void *blob, size_t blob_bytes, unsigned plan, ofr_requirements *need);

/* Compares the blob's CRC-32 with its bytes: OFR_OK or OFR_E_CRC. About 10 instructions a byte. */
OFR_CHECKED ofr_status ofr_check_crc(const void *blob, size_t blob_bytes);

/* Checks all that a plan of the blob relies on and makes `model` an instance of it, with state reset. Nothing is copied:
 * blob, kernels, arena and state are borrowed until the model is no longer used. `fault` (may be NULL) is
 * written when the load is refused; the model is then not usable. Costs a few hundred instructions a step,
 * and with CMSIS-NN about 10 a channel. */
OFR_CHECKED ofr_status ofr_load(ofr_model *model, const void *blob, size_t blob_bytes, unsigned plan,
                                const ofr_kernels *kernels, void *arena, size_t arena_bytes, void *state,
                                size_t state_bytes, ofr_fault *fault);

/* Input `index`, to be written before each ofr_begin. data is NULL for an index out of range or an input in
 * the caller's memory that is not bound. */
ofr_buffer ofr_input(const ofr_model *model, unsigned index);

/* Lends `data` (the input's bytes, readable until the run is over, any alignment the tensor's type needs)
 * to an input that was packed with --input NAME=caller. Read only. Stays bound until bound anew. */
OFR_CHECKED ofr_status ofr_bind_input(ofr_model *model, unsigned index, const void *data);

/* Starts a run; a run under way is dropped (state changes it made remain, as after ofr_cancel). */
OFR_CHECKED ofr_status ofr_begin(ofr_model *model);

/* Runs one step: OFR_MORE, OFR_EXIT after the last before a way out, or OFR_DONE after the last of all. Between steps the
 * caller may do anything that leaves arena, state and blob alone: poll links, kick a watchdog, run another instance. */
OFR_CHECKED ofr_status ofr_step(ofr_model *model);

/* ofr_begin, then ofr_step until an exit that is sure, or the end: OFR_EXIT, OFR_DONE or an error. */
OFR_CHECKED ofr_status ofr_run(ofr_model *model);

/* Output `index` as ofr_input describes inputs; its data mean something only after OFR_DONE. At an exit output 0 is the
 * exit's answer, and there are no others. */
ofr_buffer ofr_output(const ofr_model *model, unsigned index);

/* Output `index` of a run that is done or stands at an exit; points into the arena, valid until the next ofr_begin or
 * input write. */
OFR_CHECKED ofr_status ofr_result(const ofr_model *model, unsigned index, ofr_buffer *output);

/* The model's name as UTF-8, not ended by a zero byte: `*bytes` of it, inside the blob. NULL and 0 if it has none or
 * the model is not loaded. */
const char *ofr_name(const ofr_model *model, uint32_t *bytes);

/* The parameters of the front end that makes input 0 of raw samples (offramp_features.h): `*bytes` of them, inside the
 * blob. NULL and 0 if the blob names none or the model is not loaded. */
#if OFR_FRONT_ENDS
const void *ofr_front_end(const ofr_model *model, uint32_t *bytes);
#endif

/* What the blob says of the plan that a model is an instance of, for whoever picks one; any of it may be absent. */
typedef struct ofr_plan {
    const char *name; /* UTF-8, `name_bytes` of it inside the blob, not ended by a zero byte */
    uint32_t name_bytes;
    uint32_t instructions; /* of one inference, estimated by the converter or proven (pack --certify); 0: unknown */
    uint32_t margin;       /* of the blob: a run whose two largest values of output 0 differ by less is unsure */
    uint32_t gate;         /* of the blob: 1 + the plan whose scores, output 0, choose among the others; 0: none */
} ofr_plan;

/* Writes `info` on OFR_OK only. Takes a few hundred instructions. */
OFR_CHECKED ofr_status ofr_plan_info(const ofr_model *model, ofr_plan *info);

/* ---- exits ---- */

/* A stage: the steps up to a way out, or behind the last one up to the end. Its last steps are the exit's head. */
typedef struct ofr_stage {
    uint16_t first_step, n_steps;
    uint16_t head_steps;        /* of n_steps; 0 in the last stage */
    uint16_t threshold;         /* as it is set now; 0 in the last stage */
    uint32_t instructions;      /* most that the stage takes, head and decision included, as proved for one image; 0:
                                   unknown */
    uint32_t head_instructions; /* of them what goes when the head is skipped */
    uint8_t confidence;         /* margin, maximum, entropy, error: BLOB.md */
    bool is_exit;               /* false: it ends the model */
} ofr_stage;

/* How many exits the model has; its stages are one more. */
unsigned ofr_exits(const ofr_model *model);

/* Writes `info` of stage 0 to ofr_exits(model) on OFR_OK only; stage i ends with exit i. */
OFR_CHECKED ofr_status ofr_stage_info(const ofr_model *model, unsigned stage, ofr_stage *info);

/* The exit at which the run stands; OFR_NO_EXIT elsewhere, as after OFR_DONE. */
unsigned ofr_exit(const ofr_model *model);

/* The answer of an exit as ofr_input describes inputs, wherever the run stands; its data mean something only where it
 * stands at that exit. data is NULL for an exit that is not there. */
ofr_buffer ofr_answer(const ofr_model *model, unsigned exit);

/* The exit's name as ofr_name gives the model's. */
const char *ofr_exit_name(const ofr_model *model, unsigned exit, uint32_t *bytes);

/* How sure the answer at that exit is: 0 to 65535, larger is surer; 0 where the run stands at none. Takes about 10
 * instructions a class, 15 with entropy. */
uint32_t ofr_confidence(const ofr_model *model);

/* Whether that exit's confidence reaches its threshold. */
bool ofr_is_sure(const ofr_model *model);

/* From which confidence on ofr_run leaves by the exit: 0 always, 65535 hardly ever. A load sets what the blob says. */
OFR_CHECKED ofr_status ofr_set_threshold(ofr_model *model, unsigned exit, unsigned threshold);

/* Bit i: exit i is a way out. Heads of the others that have not begun are not run and cost nothing. Holds until it is
 * set anew; a load sets all. */
void ofr_use_exits(ofr_model *model, unsigned exits);

/* Number of steps done in the run under way, and of the step ofr_step would run next. */
unsigned ofr_position(const ofr_model *model);

/* The most instructions that ofr_step takes for step `step`, whatever the input, as `offramp pack --certify` has proved
 * it for one image; 0 where the blob holds no such bound. Other images, and cycles, need a margin. Takes a few hundred
 * instructions: what is not asked for costs nothing at load. */
uint32_t ofr_step_bound(const ofr_model *model, unsigned step);

/* Drops the run under way. State variables assigned so far keep their new values. */
void ofr_cancel(ofr_model *model);

/* Sets all state to its initial values, as after ofr_load; drops the run under way. */
void ofr_reset_state(ofr_model *model);

/* A line of English for a status; never NULL. */
const char *ofr_status_text(ofr_status status);

#ifdef __cplusplus
}
#endif
#endif

/* Runs the steps of a loaded model and hands out its inputs and outputs. */
#include <string.h>

#include "blob.h"

const ofr_kernel *ofr_find_kernel(const ofr_kernels *kernels, uint32_t id) {
    uint32_t low = 0, high = kernels->count;
    while (low < high) {
        const uint32_t middle = (low + high) / 2;
        const ofr_kernel *kernel = kernels->table[middle];
        if (kernel->id == id) {
            return kernel;
        }
        if (kernel->id < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

static ofr_buffer buffer(const ofr_model *m, uint32_t index) {
    const ofr_fb_blob_tensor *t = ofr_tensor_at(m, index);
    return (ofr_buffer){ofr_operand_of(m, t).data, t->bytes, m->dims + t->dims, t->rank, t->dtype};
}

ofr_buffer ofr_input(const ofr_model *model, unsigned index) {
    if (model == NULL || model->phase == OFR_PHASE_NONE || index >= model->n_inputs) {
        return (ofr_buffer){NULL, 0, NULL, 0, 0};
    }
    return buffer(model, model->inputs[index]);
}

ofr_buffer ofr_output(const ofr_model *model, unsigned index) {
    if (model == NULL || model->phase == OFR_PHASE_NONE || index >= model->n_outputs) {
        return (ofr_buffer){NULL, 0, NULL, 0, 0};
    }
#if OFR_EXITS
    if (model->phase == OFR_PHASE_EXIT && index == 0) {
        return buffer(model, ofr_this_exit(model)->answer);
    }
#endif
    return buffer(model, model->outputs[index]);
}

#if OFR_EXITS
ofr_buffer ofr_answer(const ofr_model *model, unsigned exit) {
    if (exit >= ofr_exits(model)) {
        return (ofr_buffer){NULL, 0, NULL, 0, 0};
    }
    return buffer(model, ofr_exit_at(model, exit)->answer);
}
#endif

ofr_status ofr_bind_input(ofr_model *model, unsigned index, const void *data) {
    if (model == NULL || data == NULL || model->phase == OFR_PHASE_NONE || index >= model->n_inputs) {
        return OFR_E_ARGUMENT;
    }
    const ofr_fb_blob_tensor *t = ofr_tensor_at(model, model->inputs[index]);
    if (t->memory != OFR_FB_MEMORY_INPUT) {
        return OFR_E_MEMORY_KIND;
    }
    model->memory[ofr_memory_of(t)] = (uint8_t *)(uintptr_t)data; /* never written */
    return OFR_OK;
}

/* The step at which a stage's run next needs a look: the exit's head, or the end of all. */
static inline void begin_stage(ofr_model *model, uint32_t stage) {
#if OFR_EXITS
    model->stage = (uint8_t)stage;
    model->halt = stage < model->n_exits ? ofr_exit_at(model, stage)->head : model->n_steps;
#else
    (void)model, (void)stage;
#endif
}

#if OFR_EXITS
/* At model->halt: before a head, which may be skipped, behind one, or at the end. */
static __attribute__((noinline)) ofr_status look(ofr_model *model) {
    const uint32_t stage = model->stage;
    if (stage == model->n_exits) {
        model->phase = OFR_PHASE_DONE;
        return OFR_DONE;
    }
    const ofr_fb_segment *segment = ofr_segment_at(model, stage);
    const uint16_t end = (uint16_t)(segment->first_step + segment->n_steps);
    if (model->next_step == end) {
        begin_stage(model, stage + 1);
        model->phase = OFR_PHASE_EXIT;
        return OFR_EXIT;
    }
    model->halt = end;
    if ((model->used >> stage & 1) == 0) {
        model->next_step = end;
        begin_stage(model, stage + 1);
    }
    return OFR_MORE;
}
#endif

ofr_status ofr_begin(ofr_model *model) {
    if (model == NULL) {
        return OFR_E_ARGUMENT;
    }
    if (model->phase == OFR_PHASE_NONE) {
        return OFR_E_ORDER;
    }
    for (uint32_t i = 0; i < model->n_inputs; i++) {
        const ofr_fb_blob_tensor *t = ofr_tensor_at(model, model->inputs[i]);
        if (model->memory[ofr_memory_of(t)] == NULL) {
            return OFR_E_UNBOUND;
        }
    }
    model->next_step = 0;
    model->phase = OFR_PHASE_RUNNING;
    begin_stage(model, 0);
    return OFR_OK;
}

ofr_status ofr_step(ofr_model *model) {
    if (model == NULL) {
        return OFR_E_ARGUMENT;
    }
#if OFR_EXITS
    if (model->phase == OFR_PHASE_EXIT) {
        model->phase = OFR_PHASE_RUNNING;
    }
#endif
    if (model->phase != OFR_PHASE_RUNNING) {
        return OFR_E_ORDER;
    }
    if (model->next_step < model->n_steps) {
        const ofr_fb_step *step = ofr_step_at(model, model->next_step);
        ofr_call call;
        ofr_prepare(model, step, &call);
        const uint16_t *operands = model->operands + step->operands;
        for (uint32_t i = 0; i < step->n_inputs; i++) {
            call.in[i] = ofr_operand_of(model, ofr_tensor_at(model, *operands++));
        }
        call.out[0] = ofr_operand_of(model, ofr_tensor_at(model, *operands));
        ofr_find_kernel(model->kernels, step->kernel)->run(&call);
        model->next_step++;
    }
#if OFR_EXITS
    return model->next_step == model->halt ? look(model) : OFR_MORE;
#else
    if (model->next_step < model->n_steps) {
        return OFR_MORE;
    }
    model->phase = OFR_PHASE_DONE;
    return OFR_DONE;
#endif
}

static inline bool goes_on(const ofr_model *model, ofr_status status) {
#if OFR_EXITS
    return status == OFR_MORE || (status == OFR_EXIT && !ofr_is_sure(model));
#else
    (void)model;
    return status == OFR_MORE;
#endif
}

ofr_status ofr_run(ofr_model *model) {
    ofr_status status = ofr_begin(model);
    if (status == OFR_OK) {
        do {
            status = ofr_step(model);
        } while (goes_on(model, status));
    }
    return status;
}

ofr_status ofr_result(const ofr_model *model, unsigned index, ofr_buffer *output) {
    if (model == NULL || output == NULL || index >= model->n_outputs) {
        return OFR_E_ARGUMENT;
    }
    if (model->phase < OFR_PHASE_DONE) {
        return OFR_E_ORDER;
    }
    if (model->phase == OFR_PHASE_EXIT && index != 0) {
        return OFR_E_ARGUMENT;
    }
    *output = ofr_output(model, index);
    return OFR_OK;
}

unsigned ofr_position(const ofr_model *model) {
    return model != NULL ? model->next_step : 0;
}

void ofr_cancel(ofr_model *model) {
    if (model != NULL && model->phase != OFR_PHASE_NONE) {
        model->phase = OFR_PHASE_IDLE;
        model->next_step = 0;
    }
}

void ofr_reset_state(ofr_model *model) {
    if (model == NULL || model->phase == OFR_PHASE_NONE) {
        return;
    }
    ofr_cancel(model);
    for (uint32_t i = 0; i < model->n_initial; i++) {
        const ofr_fb_state_init *init = ofr_initial_at(model, i);
        uint8_t *state = model->memory[OFR_FB_MEMORY_STATE] + init->offset;
        if (init->source == UINT32_MAX) {
            memset(state, (int)init->fill & 255, init->bytes);
        } else {
            memcpy(state, model->memory[OFR_FB_MEMORY_CONSTANT] + init->source, init->bytes);
        }
    }
}

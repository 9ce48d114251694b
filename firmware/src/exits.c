/* Ways out of a model: what is known of them, how sure their answers are, which of them are looked at. */
#include "blob.h"
#include "entropy.h"

#if OFR_EXITS

unsigned ofr_exits(const ofr_model *model) {
    return model != NULL && model->phase != OFR_PHASE_NONE ? model->n_exits : 0;
}

ofr_status ofr_stage_info(const ofr_model *model, unsigned stage, ofr_stage *info) {
    if (model == NULL || info == NULL) {
        return OFR_E_ARGUMENT;
    }
    if (model->phase == OFR_PHASE_NONE) {
        return OFR_E_ORDER;
    }
    if (stage > model->n_exits) {
        return OFR_E_ARGUMENT;
    }
    const ofr_fb_segment *s = ofr_segment_at(model, stage);
    *info = (ofr_stage){.first_step = s->first_step, .n_steps = s->n_steps, .instructions = s->argument};
    if (stage < model->n_exits) {
        const ofr_fb_exit *e = ofr_exit_at(model, stage);
        info->head_steps = (uint16_t)(s->first_step + s->n_steps - e->head);
        info->threshold = model->thresholds[stage];
        info->head_instructions = e->instructions;
        info->confidence = e->confidence;
        info->is_exit = true;
    }
    return OFR_OK;
}

unsigned ofr_exit(const ofr_model *model) {
    return model != NULL && model->phase == OFR_PHASE_EXIT ? model->stage - 1u : OFR_NO_EXIT;
}

static uint32_t margin(const uint8_t *at, uint32_t n, uint32_t sign) {
    uint32_t most = 0, second = 0;
    if (n == 1) {
        return 0;
    }
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t u = at[i] ^ sign;
        if (u > most) {
            second = most;
            most = u;
        } else if (u > second) {
            second = u;
        }
    }
    return most - second;
}

static uint32_t maximum(const uint8_t *at, uint32_t n, uint32_t sign) {
    uint32_t most = 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t u = at[i] ^ sign;
        most = u > most ? u : most;
    }
    return most;
}

static uint32_t certainty(const uint8_t *at, uint32_t n, uint32_t sign) {
    uint32_t left = UINT16_MAX;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t part = ofr_entropy[at[i] ^ sign];
        left = part < left ? left - part : 0;
    }
    return left;
}

uint32_t ofr_confidence(const ofr_model *model) {
    if (ofr_exit(model) == OFR_NO_EXIT) {
        return 0;
    }
    const ofr_fb_exit *e = ofr_this_exit(model);
    const ofr_operand estimate = ofr_operand_of(model, ofr_tensor_at(model, e->estimate));
    const uint32_t sign = estimate.dtype == OFR_S8 ? 0x80 : 0;
    switch (e->confidence) {
    case OFR_FB_CONFIDENCE_MARGIN:
        return margin(estimate.data, estimate.bytes, sign);
    case OFR_FB_CONFIDENCE_MAXIMUM:
        return maximum(estimate.data, estimate.bytes, sign);
    case OFR_FB_CONFIDENCE_ENTROPY:
        return certainty(estimate.data, estimate.bytes, sign);
    default:
        return UINT8_MAX - (estimate.data[0] ^ sign);
    }
}

bool ofr_is_sure(const ofr_model *model) {
    const unsigned exit = ofr_exit(model);
    return exit != OFR_NO_EXIT && ofr_confidence(model) >= model->thresholds[exit];
}

ofr_status ofr_set_threshold(ofr_model *model, unsigned exit, unsigned threshold) {
    if (model == NULL || exit >= ofr_exits(model)) {
        return OFR_E_ARGUMENT;
    }
    if (threshold > UINT16_MAX) {
        return OFR_E_EXIT;
    }
    model->thresholds[exit] = (uint16_t)threshold;
    return OFR_OK;
}

void ofr_use_exits(ofr_model *model, unsigned exits) {
    if (model != NULL) {
        model->used = (uint8_t)exits;
    }
}

#endif

/* Bounded queues of requests by priority, over offramp.h and its policies alone. */
#include "offramp_queue.h"

#include <stdatomic.h>
#include <string.h>

static bool is_power_of_two(uint32_t n) {
    return n != 0 && (n & (n - 1)) == 0;
}

ofr_status ofr_queue_start(ofr_queue *queue, ofr_level *levels, uint32_t n_levels) {
    if (queue == NULL || levels == NULL || n_levels == 0 || n_levels > OFR_QUEUE_LEVELS) {
        return OFR_E_ARGUMENT;
    }
    for (uint32_t i = 0; i < n_levels; i++) {
        ofr_level *level = &levels[i];
        if (level->model == NULL || level->places == NULL || !is_power_of_two(level->n_places) ||
            (level->policy != NULL && level->policy->model != level->model)) {
            return OFR_E_ARGUMENT;
        }
        level->put = level->taken = 0;
        level->is_running = false;
    }
    *queue = (ofr_queue){levels, n_levels};
    return OFR_OK;
}

ofr_status ofr_queue_push(ofr_queue *queue, uint32_t level, const ofr_request *request) {
    if (queue == NULL || request == NULL || level >= queue->n_levels) {
        return OFR_E_ARGUMENT;
    }
    ofr_level *to = &queue->levels[level];
    const uint32_t put = to->put;
    if (put - to->taken == to->n_places) {
        return OFR_E_FULL;
    }
    to->places[put & (to->n_places - 1)] = *request;
    atomic_signal_fence(memory_order_release);
    to->put = put + 1;
    return OFR_OK;
}

uint32_t ofr_queue_waiting(const ofr_queue *queue, uint32_t level) {
    if (queue == NULL || level >= queue->n_levels) {
        return 0;
    }
    return queue->levels[level].put - queue->levels[level].taken;
}

static ofr_request take(ofr_level *level) {
    const uint32_t taken = level->taken;
    atomic_signal_fence(memory_order_acquire);
    const ofr_request request = level->places[taken & (level->n_places - 1)];
    atomic_signal_fence(memory_order_release);
    level->taken = taken + 1;
    return request;
}

/* Inputs in the arena are copied, those in the caller's memory are bound. */
static ofr_status write_inputs(ofr_model *model, const void *const *inputs) {
    ofr_buffer input;
    for (unsigned i = 0; (input = ofr_input(model, i)).bytes != 0; i++) {
        if (inputs == NULL || inputs[i] == NULL) {
            return OFR_E_ARGUMENT;
        }
        const ofr_status status = ofr_bind_input(model, i, inputs[i]);
        if (status == OFR_E_MEMORY_KIND) {
            memcpy(input.data, inputs[i], input.bytes);
        } else if (status != OFR_OK) {
            return status;
        }
    }
    return OFR_OK;
}

static ofr_status begin(ofr_level *level, uint32_t now) {
    const ofr_status status = write_inputs(level->model, level->running.inputs);
    if (status != OFR_OK) {
        return status;
    }
#if OFR_EXITS
    if (level->policy != NULL) {
        return ofr_policy_begin(level->policy, now);
    }
#else
    (void)now;
#endif
    return ofr_begin(level->model);
}

static ofr_status step(ofr_level *level, uint32_t now) {
#if OFR_EXITS
    if (level->policy != NULL) {
        return ofr_policy_step(level->policy, now);
    }
    const ofr_status status = ofr_step(level->model);
    return status == OFR_EXIT && !ofr_is_sure(level->model) ? OFR_MORE : status;
#else
    (void)now;
    return ofr_step(level->model);
#endif
}

/* Begins the level's next request if none runs, and runs a step. */
static ofr_status advance(ofr_level *level, uint32_t now) {
    ofr_status status = OFR_OK;
    if (!level->is_running) {
        level->running = take(level);
        level->is_running = true;
        status = begin(level, now);
    }
    if (status == OFR_OK) {
        status = step(level, now);
    }
    level->is_running = status == OFR_MORE;
    return status;
}

ofr_status ofr_queue_step(ofr_queue *queue, uint32_t now, ofr_finished *finished) {
    if (queue == NULL || finished == NULL) {
        return OFR_E_ARGUMENT;
    }
    for (uint32_t i = 0; i < queue->n_levels; i++) {
        ofr_level *level = &queue->levels[i];
        if (!level->is_running && level->put == level->taken) {
            continue;
        }
        const ofr_status status = advance(level, now);
        *finished = (ofr_finished){i, level->running.tag};
        return status;
    }
    return OFR_OK;
}

/* Requests of several priorities on one core: an urgent one takes over at a step's boundary of the run under way.
 *
 *     static ofr_level levels[] = {{.model = &alarm, .places = alarm_places, .n_places = 2},
 *                                  {.model = &scene, .places = scene_places, .n_places = 8}};
 *     static ofr_queue queue;
 *     ofr_queue_start(&queue, levels, 2);
 *     ofr_queue_push(&queue, 1, &request);                   OFR_E_FULL where there is no place
 *     for (;;) {
 *         ofr_finished finished;
 *         ofr_status status = ofr_queue_step(&queue, ticks(), &finished);
 *         if (status == OFR_DONE || status == OFR_EXIT) ...  ofr_result of that level's model
 *         else if (status == OFR_OK) ...                     nothing to do: sleep
 *     }
 *
 * Each level has an instance of its own, whose arena no other level's overlaps, and places for its requests, first in,
 * first out. Level 0 is the most urgent. An ofr_queue_step runs one step, or ends a run, of the most urgent level that
 * has a run or a request: an urgent request begins within the longest step and OFR_QUEUE_INSTRUCTIONS of being pushed.
 * A run that is overtaken goes on where it stood.
 *
 * Interrupts. Each level's places are a ring of one producer and one consumer: ofr_queue_push may be called from an
 * interrupt handler, or from the thread that steps, but for one level only from one of them at a time; where several
 * handlers push to a level, they mask each other. ofr_queue_step and ofr_queue_start are the thread's alone. All on one core: nothing is
 * fenced for another.
 *
 * All state is the caller's: no heap, no globals, no callbacks. */
#ifndef OFFRAMP_QUEUE_H
#define OFFRAMP_QUEUE_H

#include "offramp_policy.h"

#ifdef __cplusplus
extern "C" {
#endif

#define OFR_QUEUE_LEVELS 8u
/* More than what passes on any core between a push and the first step, beside the step under way and copying inputs. */
#define OFR_QUEUE_INSTRUCTIONS 2000u

typedef struct ofr_request {
    const void *const *inputs; /* data of each of the model's inputs, of the sizes ofr_input says. They are read when the run
                                  begins (inputs in the caller's memory: until it ends), so they last until it is finished */
    uint32_t tag;              /* the caller's; given back */
} ofr_request;

/* Memory of one priority. The caller fills in the upper part and leaves the rest to the queue. */
typedef struct ofr_level {
    ofr_model *model;
    ofr_policy *policy; /* of this model, for its runs; NULL: confidence alone, as in ofr_run */
    ofr_request *places;
    uint32_t n_places; /* a power of two */

    volatile uint32_t put, taken;
    ofr_request running; /* while is_running */
    bool is_running;
} ofr_level;

typedef struct ofr_queue {
    ofr_level *levels;
    uint32_t n_levels;
} ofr_queue;

/* What ended. */
typedef struct ofr_finished {
    uint32_t level, tag;
} ofr_finished;

/* Makes an empty queue of the levels, 1 to OFR_QUEUE_LEVELS. OFR_E_ARGUMENT: a null pointer, places that are no power of
 * two, or a policy for another model. */
OFR_CHECKED ofr_status ofr_queue_start(ofr_queue *queue, ofr_level *levels, uint32_t n_levels);

/* Copies the request into the level's ring. OFR_E_FULL: no place, nothing is changed; OFR_E_ARGUMENT: no such level. */
OFR_CHECKED ofr_status ofr_queue_push(ofr_queue *queue, uint32_t level, const ofr_request *request);

/* Requests that wait in a level, without the one that runs. */
uint32_t ofr_queue_waiting(const ofr_queue *queue, uint32_t level);

/* OFR_MORE: a step ran. OFR_DONE, OFR_EXIT: a run ended, `finished` says which; its outputs are valid until the level's
 * next run begins, which the next call may do. OFR_OK: nothing to do. Negative: the run that `finished` names was refused
 * or failed, and is dropped; the others are not touched. `now` is handed to the level's policy (offramp_policy.h). */
OFR_CHECKED ofr_status ofr_queue_step(ofr_queue *queue, uint32_t now, ofr_finished *finished);

#ifdef __cplusplus
}
#endif
#endif

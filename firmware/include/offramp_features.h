/* Feature front ends: raw samples in, rows of a model's input out, in integers and without heap.
 *
 *     static ofr_features features;
 *     ofr_features_need need;
 *     ofr_features_peek(params, params_bytes, &ofr_linked_features, &need);      how much memory it wants
 *     ofr_features_open(&features, params, params_bytes, &ofr_linked_features, memory, sizeof memory);
 *     while (bytes != 0) {
 *         bool due;
 *         const uint32_t taken = ofr_features_feed(&features, raw, bytes, ofr_input(&model, 0).data, &due);
 *         raw += taken, bytes -= taken;
 *         if (due) ofr_run(&model);                           the input is whole: a run is due
 *         else if (taken == 0) break;                         what is left is less than one element
 *     }
 *
 * What a front end does is decided by its block of parameters, which `offramp pack --front-end` computes and puts into
 * the blob; ofr_front_end (offramp.h) finds it there. docs/features.md describes the kinds, toolkit/offramp/features/ is
 * what they are bit-exact to.
 *
 * Memory. The caller owns every byte: the block (4-byte aligned, must outlive the use), the memory (4-byte aligned, kept
 * between calls) and one ofr_features an instance. A block is hostile until ofr_features_open returns OFR_OK; after
 * that only block, memory, raw bytes and input are touched, whatever the block holds. */
#ifndef OFFRAMP_FEATURES_H
#define OFFRAMP_FEATURES_H

#include "offramp.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ofr_features_need {
    uint32_t memory_bytes;        /* at most 2 MiB */
    uint32_t input_bytes;         /* what the rows of a window take: the model's input, int8 */
    uint32_t first_run, next_run; /* elements until the first run is due, and from each to the next: stated, not checked */
    uint16_t element_bytes;       /* raw bytes that belong together: a sample, all axes, a pixel */
    uint16_t row_bytes, window_rows;
    uint16_t hop_rows; /* new rows between runs */
    uint16_t rate_hz;  /* elements a second; 0: not stated */
    uint8_t kind;      /* 1 micro, 2 mfcc, 3 image, 4 imu */
} ofr_features_need;

/* The kinds linked into an image. */
typedef struct ofr_feature_kind ofr_feature_kind;
typedef struct ofr_feature_kinds {
    const ofr_feature_kind *const *table;
    uint16_t count;
} ofr_feature_kinds;
extern const ofr_feature_kinds ofr_linked_features;

/* One instance; fields are private. */
typedef struct ofr_features {
    const ofr_feature_kind *kind;
    const uint8_t *params;
    uint8_t *memory, *rows; /* of the kind; the last window_rows rows in a ring, if rows are used more than once */
    uint32_t kind_bytes;
    uint16_t element_bytes, row_bytes, window_rows, hop_rows;
    uint16_t next;    /* row of the ring, or of the input */
    uint16_t missing; /* rows until a run is due */
} ofr_features;

/* Checks a block and says what it wants; writes `need` on OFR_OK only. */
OFR_CHECKED ofr_status ofr_features_peek(const void *params, uint32_t bytes, const ofr_feature_kinds *kinds,
                                         ofr_features_need *need);

/* Checks a block and makes `features` an instance of it, as after silence. */
OFR_CHECKED ofr_status ofr_features_open(ofr_features *features, const void *params, uint32_t bytes,
                                         const ofr_feature_kinds *kinds, void *memory, uint32_t memory_bytes);

/* Forgets what was fed. */
void ofr_features_reset(ofr_features *features);

/* Takes whole elements of `raw` (any alignment) until a run is due or they are used up; returns the bytes taken. `input`
 * has need.input_bytes and is the model's: where rows are used once they are written as they come, so it must be left
 * alone until a run is due; otherwise all is written when `*due` becomes true. */
uint32_t ofr_features_feed(ofr_features *features, const void *raw, uint32_t bytes, void *input, bool *due);

#ifdef __cplusplus
}
#endif
#endif

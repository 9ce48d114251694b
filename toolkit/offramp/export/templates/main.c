/* One inference: loads the model that lies in flash, fills its inputs, runs it and reads the answer. */
#include "offramp.h"
#include "offramp_blob.h"

static _Alignas(OFR_ALIGN) uint8_t arena[OFR_BLOB_ARENA_BYTES];
#if OFR_BLOB_STATE_BYTES
static _Alignas(OFR_ALIGN) uint8_t state[OFR_BLOB_STATE_BYTES]; /* kept between runs */
#endif
#if OFR_BLOB_CALLER_BYTES
static _Alignas(OFR_ALIGN) uint8_t inputs[OFR_BLOB_CALLER_BYTES]; /* a DMA's target, say */
#endif
static ofr_model model;
#if OFR_BLOB_FEATURES_BYTES
static uint32_t kept[OFR_BLOB_FEATURES_BYTES / 4]; /* by the front end, between runs */
static ofr_features features;

/* Raw elements become input 0. What follows one that completes it is left for the next run: keep it in an application. */
static int feed(void) {
    uint8_t raw[16 * OFR_BLOB_ELEMENT_BYTES];
    bool due = false;
    uint32_t bytes;
    const void *params = ofr_front_end(&model, &bytes);
    if (ofr_features_open(&features, params, bytes, &ofr_linked_features, kept, sizeof kept) != OFR_OK) {
        return 5; /* once; ofr_features_reset forgets what was fed */
    }
    while (!due) {
        for (uint32_t k = 0; k < sizeof raw; k++) {
            raw[k] = (uint8_t)k; /* a sensor's samples, as they come */
        }
        (void)ofr_features_feed(&features, raw, sizeof raw, ofr_input(&model, 0).data, &due);
    }
    return 0;
}
#endif

int main(void) {
    ofr_fault fault;
#if OFR_BLOB_STATE_BYTES
    const ofr_status loaded = ofr_load(&model, ofr_blob, OFR_BLOB_BYTES, 0, &ofr_linked_kernels, arena, sizeof arena,
                                       state, sizeof state, &fault);
#else
    const ofr_status loaded =
        ofr_load(&model, ofr_blob, OFR_BLOB_BYTES, 0, &ofr_linked_kernels, arena, sizeof arena, NULL, 0, &fault);
#endif
    if (loaded != OFR_OK) {
        return 1; /* fault tells step, tensor, found and allowed; ofr_status_text(loaded) says it in English */
    }
#if OFR_BLOB_CALLER_BYTES
    uint8_t *next = inputs;
#endif
    for (unsigned i = 0; i < OFR_BLOB_INPUTS; i++) {
        ofr_buffer input = ofr_input(&model, i);
#if OFR_BLOB_CALLER_BYTES
        if (input.data == NULL) {
            input.data = next;
            next += (input.bytes + OFR_ALIGN - 1) / OFR_ALIGN * OFR_ALIGN;
            if (ofr_bind_input(&model, i, input.data) != OFR_OK) {
                return 2;
            }
        }
#endif
#if OFR_BLOB_FEATURES_BYTES
        for (uint32_t k = 0; i != 0 && k < input.bytes; k++) { /* the front end makes input 0 */
#else
        for (uint32_t k = 0; k < input.bytes; k++) {
#endif
            ((uint8_t *)input.data)[k] = (uint8_t)k; /* a sensor's samples: q = round(value / SCALE) + ZERO_POINT */
        }
    }
#if OFR_BLOB_FEATURES_BYTES
    const int fed = feed();
    if (fed != 0) {
        return fed;
    }
#endif
    ofr_buffer answer;
    if (ofr_run(&model) < OFR_OK || ofr_result(&model, 0, &answer) != OFR_OK) {
        return 3;
    }
    return answer.bytes > 0 ? 0 : 4; /* answer.data holds output 0, or the answer of the exit where the run left */
}

/* One inference without an operating system: a model linked in, memory of its own, nothing but offramp.h. */
#include "offramp.h"

/* `offramp build` defines these: the model as data, and the kernels that it needs (ofr_linked_kernels). */
extern const uint8_t ofr_blob[], ofr_blob_end[];

static _Alignas(OFR_ALIGN) uint8_t arena[32 * 1024]; /* `offramp inspect` says how much a model wants */
static ofr_model model;

/* The index of the largest int8 score. */
static int classify(const ofr_buffer *scores) {
    const int8_t *score = scores->data;
    int best = 0;
    for (int i = 1; i < (int)scores->bytes; i++) {
        best = score[i] > score[best] ? i : best;
    }
    return best;
}

int main(void) {
    const size_t blob_bytes = (size_t)((uintptr_t)ofr_blob_end - (uintptr_t)ofr_blob);
    ofr_fault fault;
    if (ofr_load(&model, ofr_blob, blob_bytes, 0, &ofr_linked_kernels, arena, sizeof arena, NULL, 0, &fault) !=
        OFR_OK) {
        return 1; /* fault tells step, tensor, found and allowed */
    }
    const ofr_buffer input = ofr_input(&model, 0);
    for (uint32_t i = 0; i < input.bytes; i++) {
        ((int8_t *)input.data)[i] = (int8_t)i; /* a sensor's samples */
    }
    ofr_buffer scores;
    if (ofr_run(&model) != OFR_DONE || ofr_result(&model, 0, &scores) != OFR_OK) {
        return 2;
    }
    return classify(&scores) < (int)scores.bytes ? 0 : 3;
}

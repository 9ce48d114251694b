/* Does what lines of stdin say with a queue of three instances of one model: queue_api MODEL.ofr.
 *
 *     push LEVEL TAG BYTE                -> STATUS; every byte of the input is BYTE
 *     step                               -> STATUS LEVEL TAG [OUTPUT_IN_HEX]; level and tag are 99 where none is named
 *     misuse                             -> errors of calls that are wrong */
#define _XOPEN_SOURCE 700
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "offramp_queue.h"

enum { LEVELS = 3, PLACES = 4 };

static ofr_model models[LEVELS];
static ofr_policy policy;
static ofr_request places[LEVELS][PLACES];
static ofr_level levels[LEVELS];
static ofr_queue queue;

static uint8_t *allocate(size_t bytes) {
    void *at = NULL;
    return posix_memalign(&at, OFR_ALIGN, bytes + 1) == 0 ? at : NULL;
}

static int load(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) return 1;
    const size_t bytes = (size_t)ftell(file);
    rewind(file);
    uint8_t *blob = allocate(bytes);
    if (fread(blob, 1, bytes, file) != bytes || fclose(file) != 0) return 1;
    ofr_requirements need;
    if (ofr_peek(blob, bytes, 0, &need) != OFR_OK) return 1;
    for (uint32_t i = 0; i < LEVELS; i++) {
        if (ofr_load(&models[i], blob, bytes, 0, &ofr_linked_kernels, allocate(need.arena_bytes), need.arena_bytes,
                     allocate(need.state_bytes), need.state_bytes, NULL) != OFR_OK)
            return 1;
        levels[i] = (ofr_level){.model = &models[i], .places = places[i], .n_places = PLACES >> i};
    }
    levels[1].policy = &policy; /* it takes a call more to end a run */
    return ofr_policy_start(&policy, &models[1]) != OFR_OK || ofr_queue_start(&queue, levels, LEVELS) != OFR_OK;
}

static const void *const *inputs_of(unsigned byte) {
    static const void *inputs[256];
    static uint8_t *data[256];
    const uint32_t bytes = ofr_input(&models[0], 0).bytes;
    if (data[byte] == NULL) {
        data[byte] = allocate(bytes);
        memset(data[byte], (int)byte, bytes);
        inputs[byte] = data[byte];
    }
    return &inputs[byte];
}

static void step(void) {
    ofr_finished finished = {99, 99};
    ofr_buffer output = {.bytes = 0};
    const ofr_status status = ofr_queue_step(&queue, 0, &finished);
    printf("%d %" PRIu32 " %" PRIu32 " ", (int)status, finished.level, finished.tag);
    if ((status == OFR_DONE || status == OFR_EXIT) && ofr_result(&models[finished.level], 0, &output) != OFR_OK) exit(2);
    for (uint32_t i = 0; i < output.bytes; i++)
        printf("%02x", ((const uint8_t *)output.data)[i]);
    printf("\n");
}

static void misuse(void) {
    static ofr_queue other;
    static const void *const none[] = {NULL};
    const ofr_request request = {none, 7};
    ofr_finished finished = {99, 99};
    ofr_level wrong[] = {levels[0], levels[0], levels[0], levels[0]};
    wrong[0].n_places = 3;
    wrong[1].places = NULL;
    wrong[2].model = NULL;
    wrong[3].policy = &policy;
    printf("%d %d %d ", (int)ofr_queue_start(NULL, levels, 1), (int)ofr_queue_start(&other, levels, 0),
           (int)ofr_queue_start(&other, levels, OFR_QUEUE_LEVELS + 1));
    for (uint32_t i = 0; i < 4; i++)
        printf("%d ", (int)ofr_queue_start(&other, wrong + i, 1));
    printf("%d %d %d ", (int)ofr_queue_push(&queue, LEVELS, &request), (int)ofr_queue_push(&queue, 0, NULL),
           (int)ofr_queue_step(&queue, 0, NULL));
    const int pushed = (int)ofr_queue_push(&queue, 2, &request);
    const int ran = (int)ofr_queue_step(&queue, 0, &finished);
    printf("%d %d %u %u %d\n", pushed, ran, (unsigned)finished.level, (unsigned)finished.tag,
           (int)ofr_queue_step(&queue, 0, &finished));
}

int main(int argc, char **argv) {
    char line[64];
    if (argc != 2 || load(argv[1])) return 1;
    while (fgets(line, sizeof line, stdin) != NULL) {
        unsigned level, tag, byte;
        if (sscanf(line, "push %u %u %u", &level, &tag, &byte) == 3) {
            const ofr_request request = {inputs_of(byte & 255), tag};
            const int status = (int)ofr_queue_push(&queue, level, &request);
            printf("%d %" PRIu32 "\n", status, ofr_queue_waiting(&queue, level));
        } else if (line[0] == 's') {
            step();
        } else {
            misuse();
        }
    }
    return 0;
}

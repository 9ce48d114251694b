/* Runs a model with exits on rows from stdin: exits_api MODEL.ofr MASK THRESHOLD… < rows. For each row a line: what
 * ofr_run left by and its confidence and answer; then, stepping on from the start, every way out with the same. */
#define _XOPEN_SOURCE 700
#include <stdio.h>
#include <stdlib.h>

#include "offramp.h"

#define EXPECT(condition)                                                                                              \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                            \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

static uint8_t *allocate(size_t bytes) {
    void *at = NULL;
    EXPECT(posix_memalign(&at, OFR_ALIGN, bytes + 1) == 0);
    return at;
}

static void print(const ofr_model *model, ofr_status status) {
    ofr_buffer answer;
    EXPECT(status == OFR_EXIT || status == OFR_DONE);
    EXPECT((ofr_exit(model) != OFR_NO_EXIT) == (status == OFR_EXIT));
    EXPECT(ofr_result(model, 0, &answer) == OFR_OK);
    EXPECT(ofr_output(model, 0).data == answer.data);
    EXPECT(status == OFR_DONE || ofr_result(model, 1, &answer) == OFR_E_ARGUMENT);
    printf("%u %u %u ", ofr_exit(model), (unsigned)ofr_confidence(model), ofr_position(model));
    for (uint32_t i = 0; i < answer.bytes; i++) {
        printf("%02x", ((const uint8_t *)answer.data)[i]);
    }
    printf("%c", status == OFR_DONE ? '\n' : ' ');
}

static ofr_status to_a_way_out(ofr_model *model) {
    ofr_status status;
    do {
        status = ofr_step(model);
    } while (status == OFR_MORE);
    return status;
}

int main(int argc, char **argv) {
    EXPECT(argc >= 3);
    FILE *file = fopen(argv[1], "rb");
    EXPECT(file != NULL && fseek(file, 0, SEEK_END) == 0);
    const size_t bytes = (size_t)ftell(file);
    uint8_t *blob = allocate(bytes);
    rewind(file);
    EXPECT(fread(blob, 1, bytes, file) == bytes);
    ofr_requirements need;
    ofr_model model;
    EXPECT(ofr_peek(blob, bytes, 0, &need) == OFR_OK);
    uint8_t *arena = allocate(need.arena_bytes);
    EXPECT(ofr_load(&model, blob, bytes, 0, &ofr_linked_kernels, arena, need.arena_bytes, NULL, 0, NULL) == OFR_OK);
    for (int i = 3; i < argc; i++) {
        EXPECT(ofr_set_threshold(&model, (unsigned)i - 3, (unsigned)atoi(argv[i])) == OFR_OK);
    }
    EXPECT(ofr_set_threshold(&model, ofr_exits(&model), 0) == OFR_E_ARGUMENT);
    EXPECT(ofr_exits(&model) == 0 || ofr_set_threshold(&model, 0, 65536) == OFR_E_EXIT);
    EXPECT(ofr_confidence(&model) == 0 && ofr_exit(&model) == OFR_NO_EXIT && !ofr_is_sure(&model));
    ofr_use_exits(&model, (unsigned)atoi(argv[2]));
    const ofr_buffer input = ofr_input(&model, 0);
    uint8_t *row = allocate(input.bytes);
    while (fread(row, 1, input.bytes, stdin) == input.bytes) {
        for (uint32_t i = 0; i < input.bytes; i++) ((uint8_t *)input.data)[i] = row[i];
        const ofr_status left = ofr_run(&model);
        print(&model, left);
        if (left == OFR_EXIT) printf("\n");
        for (uint32_t i = 0; i < input.bytes; i++) ((uint8_t *)input.data)[i] = row[i];
        EXPECT(ofr_begin(&model) == OFR_OK);
        ofr_status status;
        do {
            status = to_a_way_out(&model);
            print(&model, status);
        } while (status == OFR_EXIT);
    }
    free(row);
    free(arena);
    free(blob);
    EXPECT(fclose(file) == 0);
    return 0;
}

/* Does what lines of stdin say with one policy, and writes what came of it: policy_api MODEL.ofr.
 *
 *     threshold EXIT VALUE
 *     clock STEP_FACTOR                    step i takes STEP_FACTOR * (i + 1) ticks from here on
 *     set UNIT BUDGET ENERGY LIMIT WINDOW STEP FLOOR DOUBT DOUBT_RUNS CONFIRM LOOK   -> set STATUS LEAST
 *     run HEX | whole HEX | brief HEX (ofr_policy_run)
 *                                          -> ran STATUS EXIT CONFIDENCE STAGES SKIPPED CUT MET BUDGET INSTRUCTIONS TICKS
 *                                             ANSWER REPORTED EXPECTED STEPS OUTPUT_IN_HEX
 *     misuse                               -> errors of calls that are wrong */
#define _XOPEN_SOURCE 700
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "offramp_policy.h"

static ofr_model model;
static ofr_policy policy;
static uint32_t now, factor;

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
    return ofr_load(&model, blob, bytes, 0, &ofr_linked_kernels, allocate(need.arena_bytes), need.arena_bytes,
                    allocate(need.state_bytes), need.state_bytes, NULL) != OFR_OK;
}

static void feed(const char *hex) {
    const ofr_buffer input = ofr_input(&model, 0);
    for (uint32_t i = 0; i < input.bytes; i++) {
        unsigned byte;
        if (sscanf(hex + 2 * i, "%2x", &byte) != 1) exit(2);
        ((uint8_t *)input.data)[i] = (uint8_t)byte;
    }
}

static ofr_status run(bool whole, unsigned *steps) {
    ofr_status status = whole ? ofr_policy_begin_whole(&policy, now) : ofr_policy_begin(&policy, now);
    while (status == OFR_OK || status == OFR_MORE) {
        const unsigned before = ofr_position(&model);
        status = ofr_policy_step(&policy, now);
        if (ofr_position(&model) != before) {
            now += factor * (before + 1);
            ++*steps;
        }
    }
    return status;
}

static void report(ofr_status status, unsigned steps) {
    const ofr_outcome *o = ofr_policy_outcome(&policy);
    ofr_buffer output = {.bytes = 0};
    if (status >= OFR_OK && ofr_result(&model, 0, &output) != OFR_OK) exit(3);
    printf("ran %d %u %u %u %u %d %d %" PRIu32 " %" PRIu32 " %" PRIu32 " %u %u %" PRIu32 " %u ", (int)status, o->exit,
           o->confidence, o->stages, o->heads_skipped, o->cut_short, o->met, o->budget, o->instructions, o->ticks,
           o->answer, o->reported, ofr_policy_expected(&policy), steps);
    for (uint32_t i = 0; i < output.bytes; i++)
        printf("%02x", ((const uint8_t *)output.data)[i]);
    printf("\n");
}

static void set(const char *line) {
    unsigned n[11];
    uint32_t least = 77;
    if (sscanf(line, "%u %u %u %u %u %u %u %u %u %u %u", n, n + 1, n + 2, n + 3, n + 4, n + 5, n + 6, n + 7, n + 8,
               n + 9, n + 10) != 11)
        exit(4);
    const ofr_policy_settings settings = {
        .unit = (uint8_t)n[0],
        .budget = n[1],
        .energy = n[2],
        .energy_limit = n[3],
        .window = (uint16_t)n[4],
        .patience_step = (uint16_t)n[5],
        .patience_floor = (uint16_t)n[6],
        .doubt = (uint16_t)n[7],
        .doubt_runs = (uint8_t)n[8],
        .confirm = (uint8_t)n[9],
        .look = (uint8_t)n[10],
    };
    const ofr_status status = ofr_policy_set(&policy, &settings, &least);
    printf("set %d %" PRIu32 "\n", (int)status, least);
}

static void misuse(void) {
    static ofr_model unloaded;
    static ofr_policy fresh;
    const ofr_policy_settings none = {0};
    const int found[] = {
        (int)ofr_policy_start(NULL, &model),
        (int)ofr_policy_start(&fresh, NULL),
        (int)ofr_policy_start(&fresh, &unloaded),
        (int)ofr_policy_set(NULL, &none, NULL),
        (int)ofr_policy_set(&fresh, &none, NULL),
        (int)ofr_policy_set(&policy, NULL, NULL),
        (int)ofr_policy_begin(&fresh, 0),
        (int)ofr_policy_begin(NULL, 0),
        (int)ofr_policy_begin_whole(NULL, 0),
        (int)ofr_policy_step(NULL, 0),
        (int)ofr_policy_run(NULL),
    };
    for (size_t i = 0; i < sizeof found / sizeof *found; i++)
        printf("%d ", found[i]);
    printf("| %d %d %u\n", (int)ofr_policy_step(&policy, 0), ofr_policy_outcome(NULL) == NULL,
           (unsigned)ofr_policy_expected(NULL));
}

int main(int argc, char **argv) {
    static char line[4096];
    if (argc != 2 || load(argv[1]) || ofr_policy_start(&policy, &model) != OFR_OK) return 1;
    while (fgets(line, sizeof line, stdin) != NULL) {
        unsigned exit = 0, value = 0, steps = 0;
        if (sscanf(line, "threshold %u %u", &exit, &value) == 2) {
            if (ofr_set_threshold(&model, exit, value) != OFR_OK) return 5;
        } else if (sscanf(line, "clock %u", &value) == 1) {
            factor = value;
        } else if (strncmp(line, "set ", 4) == 0) {
            set(line + 4);
        } else if (strncmp(line, "misuse", 6) == 0) {
            misuse();
        } else {
            feed(strchr(line, ' ') + 1);
            const ofr_status status = line[0] == 'b' ? ofr_policy_run(&policy) : run(line[0] == 'w', &steps);
            report(status, steps);
        }
    }
    return 0;
}

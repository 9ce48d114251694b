/* Front ends in a process.
 *
 *     run BLOCK RAW SEED       the input of each run that is due, raw bytes being fed in pieces of drawn sizes, twice with
 *                              a reset between
 *     hostile BLOCKS RAW       blocks, each behind its u32 length, are opened and fed whatever they are: how many were taken
 *     misuse BLOCK             statuses of wrong calls
 *
 * Every area is allocated to the byte, so that the sanitizer sees each step outside. */
#include "feature.h"

#include <stdio.h>
#include <stdlib.h>

static uint8_t *read_file(const char *path, size_t *bytes) {
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) exit(2);
    *bytes = (size_t)ftell(file);
    rewind(file);
    uint8_t *data = malloc(*bytes != 0 ? *bytes : 1);
    if (data == NULL || fread(data, 1, *bytes, file) != *bytes) exit(2);
    fclose(file);
    return data;
}

static uint8_t *copy_of(const uint8_t *data, size_t bytes) {
    uint8_t *copy = malloc(bytes != 0 ? bytes : 1);
    if (copy == NULL) exit(2);
    memcpy(copy, data, bytes);
    return copy;
}

static void print_hex(const uint8_t *bytes, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        printf("%02x", bytes[i]);
    printf("\n");
}

static void feed_all(ofr_features *f, const uint8_t *raw, size_t bytes, uint8_t *input, uint32_t input_bytes) {
    for (size_t at = 0; at < bytes;) {
        uint32_t piece = (uint32_t)rand() % 700 + 1;
        if (piece > bytes - at) piece = (uint32_t)(bytes - at);
        uint8_t *part = copy_of(raw + at, piece);
        bool due;
        const uint32_t taken = ofr_features_feed(f, part, piece, input, &due);
        free(part);
        at += taken;
        if (due) print_hex(input, input_bytes);
        if (taken == 0 && piece == bytes - at) break;
    }
}

static int run(const char *block_path, const char *raw_path, unsigned seed) {
    size_t block_bytes, raw_bytes;
    uint8_t *block = read_file(block_path, &block_bytes), *raw = read_file(raw_path, &raw_bytes);
    ofr_features_need need;
    ofr_features f;
    srand(seed);
    if (ofr_features_peek(block, (uint32_t)block_bytes, &ofr_linked_features, &need) != OFR_OK) return 3;
    uint8_t *memory = malloc(need.memory_bytes), *input = malloc(need.input_bytes);
    if (ofr_features_open(&f, block, (uint32_t)block_bytes, &ofr_linked_features, memory, need.memory_bytes) != OFR_OK)
        return 4;
    feed_all(&f, raw, raw_bytes, input, need.input_bytes);
    ofr_features_reset(&f);
    printf("reset %u\n", (unsigned)need.memory_bytes);
    feed_all(&f, raw, raw_bytes, input, need.input_bytes);
    free(block), free(raw), free(memory), free(input);
    return 0;
}

static bool open_and_feed(const uint8_t *block, uint32_t bytes, const uint8_t *raw, size_t raw_bytes) {
    ofr_features_need need;
    ofr_features f;
    if (ofr_features_peek(block, bytes, &ofr_linked_features, &need) != OFR_OK) return false;
    uint8_t *memory = malloc(need.memory_bytes), *input = malloc(need.input_bytes);
    if (ofr_features_open(&f, block, bytes, &ofr_linked_features, memory, need.memory_bytes) != OFR_OK) exit(4);
    for (size_t at = 0; at < raw_bytes;) {
        bool due;
        const uint32_t taken = ofr_features_feed(&f, raw + at, (uint32_t)(raw_bytes - at), input, &due);
        at += taken;
        if (taken == 0) break;
    }
    free(memory), free(input);
    return true;
}

static int hostile(const char *blocks_path, const char *raw_path) {
    size_t blocks_bytes, raw_bytes;
    uint8_t *blocks = read_file(blocks_path, &blocks_bytes), *raw = read_file(raw_path, &raw_bytes);
    unsigned taken = 0;
    for (size_t at = 0; at + 4 <= blocks_bytes;) {
        uint32_t bytes;
        memcpy(&bytes, blocks + at, 4);
        uint8_t *block = copy_of(blocks + at + 4, bytes);
        taken += open_and_feed(block, bytes, raw, raw_bytes);
        free(block);
        at += 4 + bytes;
    }
    free(blocks), free(raw);
    printf("%u\n", taken);
    return 0;
}

static int misuse(const char *block_path) {
    size_t bytes;
    uint8_t *block = read_file(block_path, &bytes);
    const ofr_feature_kinds none = {NULL, 0};
    ofr_features_need need;
    ofr_features f;
    const uint32_t n = (uint32_t)bytes;
    if (ofr_features_peek(block, n, &ofr_linked_features, &need) != OFR_OK) return 3;
    uint8_t *memory = malloc(need.memory_bytes + 4);
    const int found[] = {
        ofr_features_peek(NULL, n, &ofr_linked_features, &need),
        ofr_features_peek(block, n, NULL, &need),
        ofr_features_peek(block, n, &ofr_linked_features, NULL),
        ofr_features_peek(block + 2, n - 2, &ofr_linked_features, &need),
        ofr_features_peek(block, 0, &ofr_linked_features, &need),
        ofr_features_peek(block, n - 4, &ofr_linked_features, &need),
        ofr_features_peek(block, n, &none, &need),
        ofr_features_open(NULL, block, n, &ofr_linked_features, memory, need.memory_bytes),
        ofr_features_open(&f, block, n, &ofr_linked_features, NULL, need.memory_bytes),
        ofr_features_open(&f, block, n, &ofr_linked_features, memory + 2, need.memory_bytes),
        ofr_features_open(&f, block, n, &ofr_linked_features, memory, need.memory_bytes - 1),
    };
    for (size_t i = 0; i < sizeof found / sizeof *found; i++)
        printf("%d ", found[i]);
    printf("\n");
    free(block), free(memory);
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 5 && strcmp(argv[1], "run") == 0) return run(argv[2], argv[3], (unsigned)atoi(argv[4]));
    if (argc == 4 && strcmp(argv[1], "hostile") == 0) return hostile(argv[2], argv[3]);
    if (argc == 3 && strcmp(argv[1], "misuse") == 0) return misuse(argv[2]);
    return 1;
}

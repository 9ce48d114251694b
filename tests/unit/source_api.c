/* Does what lines of stdin say with blocks of samples. Byte b of sample n is n + b.
 *
 *     start BLOCKS BLOCK_SAMPLES SAMPLE_BYTES LIMIT      -> STATUS
 *     put N | lose N | release                           -> FULL TAKEN LOST
 *     block                                              -> NUMBER BYTES_IN_HEX, or none
 *
 * Each buffer has just its bytes, so that a sanitizer sees what lies outside. */
#include "offramp_source.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ofr_samples samples;
static uint32_t produced;

static void start(uint32_t n_blocks, uint32_t block_samples, uint32_t sample_bytes, uint32_t limit) {
    free(samples.data);
    free(samples.numbers);
    samples = (ofr_samples){.data = malloc((size_t)n_blocks * block_samples * sample_bytes),
                            .numbers = malloc((size_t)n_blocks * sizeof(uint32_t)),
                            .n_blocks = n_blocks,
                            .block_samples = block_samples,
                            .sample_bytes = sample_bytes,
                            .limit_blocks = limit};
    produced = 0;
    printf("%d\n", ofr_samples_start(&samples));
}

static void put(uint32_t n) {
    const size_t bytes = (size_t)n * samples.sample_bytes;
    uint8_t *from = malloc(bytes != 0 ? bytes : 1);
    for (uint32_t i = 0; i < bytes; i++)
        from[i] = (uint8_t)(produced + i / samples.sample_bytes + i % samples.sample_bytes);
    produced += n;
    ofr_samples_put(&samples, from, n);
    free(from);
}

static void say_block(void) {
    uint32_t number;
    const uint8_t *block = ofr_samples_block(&samples, &number);
    if (block == NULL) {
        puts("none");
        return;
    }
    printf("%" PRIu32 " ", number);
    for (uint32_t i = 0; i < samples.block_samples * samples.sample_bytes; i++)
        printf("%02x", block[i]);
    puts("");
}

/* What changes the counts. */
static void change(const char *line) {
    unsigned n;
    if (sscanf(line, "put %u", &n) == 1) {
        put(n);
    } else if (sscanf(line, "lose %u", &n) == 1) {
        produced += n;
        ofr_samples_lose(&samples, n);
    } else {
        ofr_samples_release(&samples);
    }
    printf("%" PRIu32 " %" PRIu32 " %" PRIu32 "\n", samples.full, samples.taken, samples.lost);
}

int main(void) {
    char line[80];
    unsigned a, b, c, d;
    while (fgets(line, sizeof line, stdin) != NULL) {
        if (sscanf(line, "start %u %u %u %u", &a, &b, &c, &d) == 4)
            start(a, b, c, d);
        else if (strcmp(line, "block\n") == 0)
            say_block();
        else
            change(line);
    }
    free(samples.data);
    free(samples.numbers);
    return 0;
}

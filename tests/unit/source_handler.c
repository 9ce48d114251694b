/* The driver DRIVER of a sensor over registers that are words of a table. Does what lines of stdin say:
 *
 *     start                     init and start of a driver whose init waits for nothing; start alone with -DSTART_ONLY
 *     set ADDRESS VALUE         a register, in hex
 *     get ADDRESS               -> VALUE, in hex
 *     interrupt                 -> AT LOST: samples in the block under way, samples lost
 */
#define OFFRAMP_PORT_SOURCE_H
#include "offramp_source.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REGISTER(address) (*word_at(address))

static volatile uint32_t *word_at(uint32_t address) {
    static struct {
        uint32_t address;
        volatile uint32_t value;
    } words[64];
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (words[i].address == 0) words[i].address = address;
        if (words[i].address == address) return &words[i].value;
    }
    abort();
}

void port_source_interrupt(void);
extern const ofr_source port_source;

static void source_interrupt(bool enabled) {
    (void)enabled;
}

#include DRIVER

static int16_t data[2 * 256];
static uint32_t numbers[2];
static ofr_samples kept = {
    .data = data, .numbers = numbers, .n_blocks = 2, .block_samples = 256, .sample_bytes = sizeof *data};

static bool start_driver(void) {
#ifndef START_ONLY
    if (!port_source.init()) return false;
#endif
    return ofr_samples_start(&kept) == OFR_OK && port_source.start(&kept);
}

static void act(const char *line) {
    uint32_t address, value;
    if (sscanf(line, "set %" SCNx32 " %" SCNx32, &address, &value) == 2) {
        REGISTER(address) = value;
    } else if (sscanf(line, "get %" SCNx32, &address) == 1) {
        printf("%" PRIx32 "\n", REGISTER(address));
    } else if (strcmp(line, "start\n") == 0) {
        if (!start_driver()) exit(1);
    } else {
        port_source_interrupt();
        printf("%" PRIu32 " %" PRIu32 "\n", kept.at, kept.lost);
    }
}

int main(void) {
    char line[80];
    while (fgets(line, sizeof line, stdin) != NULL)
        act(line);
    return 0;
}

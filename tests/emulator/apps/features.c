/* A front end alone on a board. The model slot holds: bytes of the block, raw bytes, 0, 0; the block and the raw bytes,
 * each from a multiple of 16 on. Says "RUNS HASH TICKS": inputs that were due, FNV-1a of them all, and the ticks of
 * feeding; or "REFUSED STATUS". */
#include "offramp_features.h"
#include "port.h"

static uint32_t memory[1408];
static uint8_t input[4096];

static void say_number(uint32_t value) {
    char digits[12];
    unsigned at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    port_write((const uint8_t *)digits + at, sizeof digits - at);
    port_write((const uint8_t *)" ", 1);
}

static uint32_t hashed(uint32_t hash, uint32_t bytes) {
    for (uint32_t i = 0; i < bytes; i++) {
        hash = (hash ^ input[i]) * 16777619u;
    }
    return hash;
}

static void feed(ofr_features *features, const uint8_t *raw, uint32_t bytes, uint32_t input_bytes) {
    uint32_t runs = 0, hash = 2166136261u, ticks = 0;
    for (uint32_t at = 0, taken = 1; at < bytes && taken != 0; at += taken) {
        bool due;
        const uint32_t start = port_ticks();
        taken = ofr_features_feed(features, raw + at, bytes - at, input, &due);
        ticks += port_ticks() - start;
        if (due) {
            runs++;
            hash = hashed(hash, input_bytes);
        }
    }
    say_number(runs);
    say_number(hash);
    say_number(ticks);
}

int app_main(void) {
    static ofr_features features;
    const uint8_t *slot = port_model_slot().base;
    const uint32_t *sizes = (const uint32_t *)(const void *)slot;
    const uint8_t *block = slot + 16, *raw = block + ((sizes[0] + 15u) & ~15u);
    ofr_features_need need;
    ofr_status status = ofr_features_peek(block, sizes[0], &ofr_linked_features, &need);
    if (status == OFR_OK && need.input_bytes > sizeof input) status = OFR_E_ARENA;
    if (status == OFR_OK)
        status = ofr_features_open(&features, block, sizes[0], &ofr_linked_features, memory, sizeof memory);
    if (status == OFR_OK) {
        feed(&features, raw, sizes[1], need.input_bytes);
    } else {
        port_write((const uint8_t *)"REFUSED ", 8);
        say_number((uint32_t)-status);
    }
    port_write((const uint8_t *)"\n", 1);
    for (;;) port_idle();
}

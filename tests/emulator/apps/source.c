/* A model runs without a pause on windows of a sensor that an interrupt samples, from a ping-pong buffer.
 *
 * The model is linked in: one int8 input of n values, which are the high bytes of samples 0, s, 2 s, … of a window,
 * s = APP_WINDOW / n. Says "LOST GAPS HASH INTERRUPTIONS BUSY ALL" and then the outputs of APP_WINDOWS windows, in hex:
 * samples lost, windows that do not follow the one before, FNV-1a of all samples as 16-bit units, samples put while
 * steps ran, ticks spent on windows, ticks from the first to the last window's end. */
#include "port.h"
#include "source.h"

#include <string.h>

enum { HALVES = 2, OUTPUT_BYTES = 16 };

static int16_t data[HALVES][APP_WINDOW];
static uint32_t numbers[HALVES];
static ofr_samples samples = {
    .data = data, .numbers = numbers, .n_blocks = HALVES, .block_samples = APP_WINDOW, .sample_bytes = sizeof data[0][0]};
static ofr_model model;
static uint8_t answers[APP_WINDOWS][OUTPUT_BYTES];
static uint32_t n_outputs, hash = 2166136261u, gaps, interruptions, busy;

static void say_hex(const uint8_t *bytes, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t digits[2] = {(uint8_t)"0123456789abcdef"[bytes[i] >> 4], (uint8_t)"0123456789abcdef"[bytes[i] & 15]};
        port_write(digits, 2);
    }
}

static void say_number(uint32_t value) {
    uint8_t bytes[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8), (uint8_t)value};
    say_hex(bytes, sizeof bytes);
    port_write((const uint8_t *)" ", 1);
}

static bool load(void) {
    const struct port_memory blob = port_linked_model(), arena = port_arena();
    ofr_requirements need;
    return ofr_peek(blob.base, blob.size, 0, &need) == OFR_OK && need.state_bytes == 0 &&
           ofr_load(&model, blob.base, blob.size, 0, &ofr_linked_kernels, arena.base, arena.size, NULL, 0, NULL) == OFR_OK;
}

static void take_window(const int16_t *window) {
    const ofr_buffer input = ofr_input(&model, 0);
    const uint32_t step = APP_WINDOW / input.bytes;
    int8_t *to = input.data;
    for (uint32_t i = 0; i < input.bytes; i++)
        to[i] = (int8_t)(window[i * step] >> 8);
    uint32_t h = hash;
    for (uint32_t i = 0; i < APP_WINDOW; i++)
        h = (h ^ (uint16_t)window[i]) * 16777619u;
    hash = h;
}

static bool answer(uint8_t *to) {
    const uint32_t before = samples.number;
    ofr_buffer output;
    if (ofr_run(&model) != OFR_DONE || ofr_result(&model, 0, &output) != OFR_OK || output.bytes > OUTPUT_BYTES)
        return false;
    interruptions += samples.number - before;
    n_outputs = output.bytes;
    memcpy(to, output.data, n_outputs);
    return true;
}

int app_main(void) {
    uint32_t number, from = 0, end = 0;
    if (!load() || !port_source.init() || ofr_samples_start(&samples) != OFR_OK || !port_source.start(&samples)) return 2;
    for (uint32_t i = 0; i < APP_WINDOWS; i++) {
        const int16_t *window;
        while ((window = ofr_samples_block(&samples, &number)) == NULL) {
        } /* awake: what passes in port_idle is no time in the emulator */
        const uint32_t start = port_ticks();
        if (i == 0) from = start;
        if (number != i * APP_WINDOW) gaps++;
        take_window(window);
        ofr_samples_release(&samples);
        if (!answer(answers[i])) return 3;
        end = port_ticks();
        busy += end - start;
    }
    port_source.stop();
    say_number(samples.lost);
    say_number(gaps);
    say_number(hash);
    say_number(interruptions);
    say_number(busy);
    say_number(end - from);
    for (uint32_t i = 0; i < APP_WINDOWS; i++)
        say_hex(answers[i], n_outputs);
    port_write((const uint8_t *)"\n", 1);
    return 0;
}

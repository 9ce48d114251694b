/* Runs many small blobs in one process and compares their outputs with expected ones: see tests/emulator/grid.py.
 *
 * The file, little-endian, all parts padded to 16 bytes: magic "GRID" and the number of cases; then for each case its
 * size, blob bytes, rows and a spare word, the blob, and for each row its inputs followed by the outputs expected.
 * One line a case: "ok CASE TICKS", "refused CASE STATUS STEP TENSOR FOUND ALLOWED", or "differs CASE ROW OUTPUT
 * INDEX GOT EXPECTED COUNT" with OUTPUT -1 for bytes written behind the arena; "done" at the end. */
#include <string.h>

#include "offramp.h"
#include "port.h"

#define GUARD 64u
#define FILL 0xA5

typedef struct test_case {
    uint32_t bytes, blob_bytes, rows, spare;
} test_case;

static uint32_t padded(uint32_t bytes) {
    return (bytes + 15u) & ~15u;
}

static void say_number(int32_t value) {
    char text[12];
    char *at = text + sizeof text;
    uint32_t rest = value < 0 ? 0u - (uint32_t)value : (uint32_t)value;
    do {
        *--at = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest != 0);
    if (value < 0) {
        *--at = '-';
    }
    *--at = ' ';
    port_write((const uint8_t *)at, (size_t)(text + sizeof text - at));
}

static void say(const char *word, const int32_t *numbers, unsigned n) {
    port_write((const uint8_t *)word, strlen(word));
    for (unsigned i = 0; i < n; i++) {
        say_number(numbers[i]);
    }
    port_write((const uint8_t *)"\n", 1);
}

/* Whether the row's outputs are the expected ones; says the first that is not. */
static int compare(const ofr_model *model, unsigned n_outputs, const uint8_t *expected, int32_t number, int32_t row) {
    for (unsigned o = 0; o < n_outputs; o++) {
        ofr_buffer output;
        if (ofr_result(model, o, &output) != OFR_OK) {
            return 0;
        }
        const uint8_t *got = output.data;
        int32_t first = -1, count = 0;
        for (uint32_t i = 0; i < output.bytes; i++) {
            if (got[i] != expected[i]) {
                first = first < 0 ? (int32_t)i : first;
                count++;
            }
        }
        if (count != 0) {
            say("differs",
                (const int32_t[]){number, row, (int32_t)o, first, (int8_t)got[first], (int8_t)expected[first], count},
                7);
            return 0;
        }
        expected += padded(output.bytes);
    }
    return 1;
}

static int guard_is_whole(const uint8_t *end) {
    for (uint32_t i = 0; i < GUARD; i++) {
        if (end[i] != FILL) {
            return 0;
        }
    }
    return 1;
}

/* Inputs in the caller's memory lie at an odd address, in `room` bytes behind the arena. */
static ofr_status feed(ofr_model *model, unsigned index, const uint8_t *data, uint32_t *bytes, uint8_t *caller,
                       uint64_t room) {
    const ofr_buffer input = ofr_input(model, index);
    *bytes = input.bytes;
    if (input.data != NULL) {
        memcpy(input.data, data, input.bytes);
        return OFR_OK;
    }
    if ((uint64_t)input.bytes + 1 > room) {
        return OFR_E_ARENA;
    }
    memcpy(caller + 1, data, input.bytes);
    return ofr_bind_input(model, index, caller + 1);
}

static void run_case(const test_case *c, int32_t number, struct port_memory memory) {
    const uint8_t *blob = (const uint8_t *)(c + 1), *data = blob + padded(c->blob_bytes);
    ofr_fault fault = {-1, -1, 0, 0};
    ofr_requirements need = {0};
    ofr_model model;
    uint8_t *arena = memory.base;
    ofr_status status = ofr_peek(blob, c->blob_bytes, 0, &need);
    if (status == OFR_OK) {
        arena += padded(need.state_bytes);
        status = (uint64_t)padded(need.state_bytes) + need.arena_bytes + GUARD > memory.size
                     ? OFR_E_ARENA
                     : ofr_load(&model, blob, c->blob_bytes, 0, &ofr_linked_kernels, arena, need.arena_bytes, memory.base,
                                need.state_bytes, &fault);
    }
    uint32_t ticks = 0;
    for (uint32_t row = 0; status >= 0 && row < c->rows; row++) {
        memset(arena, FILL, need.arena_bytes + GUARD); /* a read of what nobody wrote gives other bits */
        for (unsigned i = 0; status >= 0 && i < need.n_inputs; i++) {
            uint32_t bytes;
            uint8_t *caller = arena + padded(need.arena_bytes) + GUARD;
            status = feed(&model, i, data, &bytes, caller, (uint64_t)(memory.base + memory.size - caller));
            data += padded(bytes);
        }
        const uint32_t before = port_ticks();
        status = status < 0 ? status : ofr_run(&model);
        ticks += port_ticks() - before;
        if (status == OFR_DONE && !compare(&model, need.n_outputs, data, number, (int32_t)row)) {
            return;
        }
        if (!guard_is_whole(arena + need.arena_bytes)) {
            say("differs", (const int32_t[]){number, (int32_t)row, -1, 0, 0, 0, 0}, 7);
            return;
        }
        for (unsigned o = 0; status >= 0 && o < need.n_outputs; o++) {
            ofr_buffer output;
            status = ofr_result(&model, o, &output);
            data += padded(output.bytes);
        }
    }
    if (status < 0) {
        say("refused",
            (const int32_t[]){number, status, fault.step, fault.tensor, (int32_t)fault.found, (int32_t)fault.allowed},
            6);
    } else {
        say("ok", (const int32_t[]){number, (int32_t)ticks}, 2);
    }
}

int app_main(void) {
    const struct port_memory linked = port_linked_model();
    const uint8_t *file = linked.size != 0 ? linked.base : port_model_slot().base;
    uint32_t head[2];
    memcpy(head, file, sizeof head);
    if (head[0] != 0x44495247u) {
        say("no grid file", NULL, 0);
        return 1;
    }
    port_receive(false);
    const uint8_t *at = file + 16;
    for (uint32_t i = 0; i < head[1]; i++) {
        const test_case *c = (const test_case *)(const void *)at;
        run_case(c, (int32_t)i, port_arena());
        at += c->bytes;
    }
    say("done", NULL, 0);
    return 0;
}

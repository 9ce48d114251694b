/* Changes a blob where it hurts: header, tables, structs, parameter blocks, weights, length, parts of other blobs. */
#ifndef MUTATE_H
#define MUTATE_H

#include <stdlib.h>
#include <string.h>

#include "blob_fields.h"
#include "offramp.h"

typedef struct bytes {
    uint8_t *at;
    uint32_t n;
} bytes;

/* xorshift32; the state is never 0. */
static uint32_t next_random(uint32_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static uint32_t below(uint32_t *state, uint32_t n) {
    return next_random(state) % n;
}

enum { MAX_PLACES = 64, HEADER_BYTES = 64, STEP_BYTES = 24, TENSOR_BYTES = 16, INITIAL_BYTES = 16 };

/* Parts of a blob that are worth changing; `tensors` and `steps` are empty in a blob that does not open. */
typedef struct places {
    bytes part[MAX_PLACES];
    uint32_t n;
    bytes tensors, steps;
} places;

static void add_place(places *found, const uint8_t *at, uint32_t n) {
    if (n >= 4 && found->n < MAX_PLACES) {
        found->part[found->n++] = (bytes){(uint8_t *)(uintptr_t)at, n};
    }
}

static uint32_t u32_at(const uint8_t *at) {
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

/* One of the blob's plans. */
static unsigned pick_plan(uint32_t *state, bytes blob) {
    ofr_requirements need;
    if (ofr_peek(blob.at, blob.n, 0, &need) != OFR_OK || need.n_plans < 2) {
        return 0;
    }
    return below(state, need.n_plans < 8 ? need.n_plans : 8);
}

/* The parameters of a blob's front end: mostly its sizes and other numbers, then its tables. */
static void add_front_end(places *found, const ofr_model *m) {
    uint32_t n;
    const uint8_t *block = ofr_front_end(m, &n);
    for (int weight = 0; weight < 8 && block != NULL; weight++) {
        add_place(found, block, weight < 4 ? 12 : n < 56 ? n : 56);
    }
    if (block != NULL) {
        add_place(found, block, n);
    }
}

/* What an attempt to load a plan of `blob` has found, valid or not: the model's fields are private, but this is a test.
 */
static places find_places(bytes blob, unsigned plan) {
    static _Alignas(16) uint8_t arena[65536], state[16384];
    ofr_model m;
    places found = {.n = 0};
    memset(&m, 0, sizeof m);
    const ofr_status status =
        ofr_load(&m, blob.at, blob.n, plan, &ofr_linked_kernels, arena, sizeof arena, state, sizeof state, NULL);
    add_place(&found, blob.at, blob.n);
    if (status < 0 && m.memory[OFR_FB_MEMORY_CONSTANT] == NULL) {
        return found;
    }
    found.tensors = (bytes){(uint8_t *)(uintptr_t)m.tensors, m.n_tensors * TENSOR_BYTES};
    found.steps = (bytes){(uint8_t *)(uintptr_t)m.steps, m.n_steps * STEP_BYTES};
    add_place(&found, blob.at, HEADER_BYTES);
    add_place(&found, blob.at + HEADER_BYTES, (uint32_t)(m.memory[OFR_FB_MEMORY_CONSTANT] - blob.at) - HEADER_BYTES);
    const uint8_t *end = m.memory[OFR_FB_MEMORY_CONSTANT] + m.constants_bytes;
    add_place(&found, end, (uint32_t)(blob.at + blob.n - end));
    add_place(&found, m.memory[OFR_FB_MEMORY_CONSTANT], m.constants_bytes); /* constant operands are in no step's block */
    for (int weight = 0; weight < 3; weight++) {
        add_place(&found, m.tensors, m.n_tensors * TENSOR_BYTES);
        add_place(&found, m.steps, m.n_steps * STEP_BYTES);
    }
    /* Short vectors with their lengths in front. */
    add_place(&found, (const uint8_t *)m.operands - 4, 4 + 2u * m.n_operands);
    add_place(&found, (const uint8_t *)m.inputs - 4, 4 + 2u * m.n_inputs);
    add_place(&found, (const uint8_t *)m.outputs - 4, 4 + 2u * m.n_outputs);
    add_place(&found, m.initial, m.n_initial * INITIAL_BYTES);
    add_place(&found, (const uint8_t *)m.dims, 4 * m.n_dims);
    for (int weight = 0; weight < 4 && m.n_exits != 0; weight++) {
        add_place(&found, m.exits, m.n_exits * (uint32_t)sizeof(ofr_fb_exit));
        add_place(&found, m.segments, (m.n_exits + 1u) * (uint32_t)sizeof(ofr_fb_segment));
    }
    add_front_end(&found, &m);
    for (uint32_t i = 0; i < m.n_steps && status == OFR_OK; i++) {
        const uint8_t *step = m.steps + i * STEP_BYTES;
        const uint8_t *params = m.memory[OFR_FB_MEMORY_CONSTANT] + u32_at(step + 8);
        const uint32_t n = u32_at(step + 12);
        for (int weight = 0; weight < 4; weight++) {
            add_place(&found, params, n < 48 ? n : 48);
        }
        add_place(&found, params, n);
    }
    return found;
}

static uint32_t interesting(uint32_t *random, bytes blob) {
    static const uint32_t values[] = {0,
                                      1,
                                      2,
                                      3,
                                      4,
                                      5,
                                      7,
                                      8,
                                      15,
                                      16,
                                      17,
                                      31,
                                      32,
                                      33,
                                      63,
                                      64,
                                      127,
                                      128,
                                      129,
                                      255,
                                      256,
                                      257,
                                      1023,
                                      4095,
                                      4096,
                                      4097,
                                      32767,
                                      32768,
                                      65535,
                                      65536,
                                      0x7fffffff,
                                      0x80000000,
                                      0xffff0000,
                                      0xfffffff0,
                                      0xfffffffe,
                                      0xffffffff,
                                      0xffffffe1 /* -31 */,
                                      0xffffffe0};
    const uint32_t i = below(random, sizeof values / sizeof *values + 2);
    if (i < sizeof values / sizeof *values) {
        return values[i];
    }
    return blob.n + below(random, 33) - 16;
}

/* A number of `size` bytes at `at` takes a new value that is related to the old one, to the blob, or to nothing. */
static void change_number(uint32_t *random, uint8_t *at, uint32_t size, bytes blob) {
    uint32_t value = 0;
    memcpy(&value, at, size);
    switch (below(random, 7)) {
    case 0:
        value = next_random(random);
        break;
    case 1:
        value += 1 + below(random, 16);
        break;
    case 2:
        value -= 1 + below(random, 16);
        break;
    case 3:
        value *= 2;
        break;
    case 4:
        value /= 2;
        break;
    case 5:
        memcpy(&value, blob.at + (below(random, blob.n - 3) & ~3u), size);
        break;
    default:
        value = interesting(random, blob);
        break;
    }
    memcpy(at, &value, size);
}

/* One factor up, another down: the product that a check compares stays what it was. */
static void rebalance(uint32_t *random, bytes part) {
    uint16_t a, b;
    uint8_t *at_a = part.at + 2 * below(random, part.n / 2), *at_b = part.at + 2 * below(random, part.n / 2);
    memcpy(&a, at_a, 2);
    memcpy(&b, at_b, 2);
    const uint16_t factor = (uint16_t)(below(random, 2) ? 2 : b != 0 ? b : 1);
    a = (uint16_t)((uint32_t)a * factor);
    b = (uint16_t)(b / factor);
    memcpy(at_a, &a, 2);
    memcpy(at_b, &b, 2);
}

static void swap_elements(uint32_t *random, bytes part, uint32_t size) {
    uint8_t kept[STEP_BYTES];
    if (part.n < 2 * size) {
        return;
    }
    uint8_t *a = part.at + below(random, part.n / size) * size, *b = part.at + below(random, part.n / size) * size;
    memcpy(kept, a, size);
    memmove(a, b, size);
    memcpy(b, kept, size);
}

/* A tensor moves to another memory, or to another's place, or takes another type. */
static void move_tensor(uint32_t *random, bytes tensors) {
    if (tensors.n == 0) {
        return;
    }
    uint8_t *tensor = tensors.at + below(random, tensors.n / TENSOR_BYTES) * TENSOR_BYTES;
    const uint8_t *other = tensors.at + below(random, tensors.n / TENSOR_BYTES) * TENSOR_BYTES;
    switch (below(random, 4)) {
    case 0:
        memcpy(tensor, other, 4);
        break;
    case 1:
        tensor[11] = (uint8_t)below(random, 7);
        break;
    case 2:
        memset(tensor, 0, 4); /* fall through */
    default:
        tensor[12] = (uint8_t)below(random, 6);
        tensor[14] = (uint8_t)below(random, 5);
    }
}

/* A step names another kernel of its set: some share their parameter block's layout. */
static void rename_kernel(uint32_t *random, bytes steps) {
    if (steps.n != 0) {
        const uint32_t id = below(random, 2) ? 1 + below(random, 17) : 0x20 + below(random, 32);
        steps.at[below(random, steps.n / STEP_BYTES) * STEP_BYTES] = (uint8_t)id;
    }
}

/* Shorter, and in half of the cases the header says so too. */
static void truncate_blob(uint32_t *random, bytes *blob) {
    const uint32_t n =
        below(random, 3) ? blob->n - 1 - below(random, 64 < blob->n ? 64 : blob->n) : below(random, blob->n);
    blob->n = n > 4 ? n : 4;
    if (blob->n > HEADER_BYTES && below(random, 2)) {
        const uint32_t flatbuffer = blob->n - HEADER_BYTES;
        memcpy(blob->at + 8, &flatbuffer, 4);
    }
}

static void splice(uint32_t *random, bytes part, bytes other) {
    const places theirs = find_places(other, pick_plan(random, other));
    const bytes from = theirs.part[below(random, theirs.n)];
    const uint32_t n = 4 * (1 + below(random, 16));
    const uint32_t take = n < from.n ? n : from.n;
    const uint32_t fit = take < part.n ? take : part.n;
    const uint32_t to = part.n - fit == 0 ? 0 : below(random, part.n - fit + 1) & ~3u;
    const uint32_t at = from.n - fit == 0 ? 0 : below(random, from.n - fit + 1) & ~3u;
    memmove(part.at + to, from.at + at, fit);
}

static void change_once(uint32_t *random, bytes *blob, bytes other) {
    const places found = find_places(*blob, pick_plan(random, *blob));
    const bytes part = found.part[below(random, found.n)];
    const uint32_t word = below(random, part.n - 3) & ~3u, half = below(random, part.n - 1) & ~1u;
    switch (below(random, 40)) {
    case 0:
        truncate_blob(random, blob);
        break;
    case 1:
        splice(random, part, other);
        break;
    case 2:
        swap_elements(random, part, STEP_BYTES);
        break;
    case 3:
        swap_elements(random, part, TENSOR_BYTES);
        break;
    case 4:
        swap_elements(random, part, 2);
        break;
    case 5:
    case 6:
    case 7:
        rebalance(random, part);
        break;
    case 8:
    case 9:
    case 10:
    case 11:
        part.at[below(random, part.n)] ^= (uint8_t)(1u << below(random, 8));
        break;
    case 12:
    case 13:
        move_tensor(random, found.tensors);
        break;
    case 14:
        rename_kernel(random, found.steps);
        break;
    case 15:
        part.at[below(random, part.n)] = (uint8_t)next_random(random);
        break;
    default:
        if (below(random, 2)) {
            change_number(random, part.at + word, 4, *blob);
        } else {
            change_number(random, part.at + half, 2, *blob);
        }
    }
}

/* Mostly one or two changes, so that most of the blob still holds together. */
static void mutate(uint32_t *random, bytes *blob, bytes other) {
    do {
        change_once(random, blob, other);
    } while (below(random, 5) < 2);
}

#endif

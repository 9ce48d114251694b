/* Two instances stepped in turn, while a timer interrupt at pseudo-random moments runs steps of a third one.
 *
 * The model slot holds: count (3), rounds, whether the third shares the first's arena (a control: it must not),
 * timer ticks that 1,000 instructions take; then size, 0, 0, 0 and bytes of each blob, 16-byte aligned. Says
 * "MISMATCHES INTERRUPTS INSIDE_A_STEP THIRD_ROUNDS". */
#include "offramp.h"
#include "port.h"

#include <string.h>

#define SYST_CSR (*(volatile uint32_t *)0xE000E010u)
#define SYST_RVR (*(volatile uint32_t *)0xE000E014u)
#define SYST_CVR (*(volatile uint32_t *)0xE000E018u)

enum { INSTANCES = 3, MAX_ROUNDS = 64, THIRD = 2 };

struct instance {
    ofr_model model;
    uint32_t n_inputs, n_outputs;
    uint32_t expected[MAX_ROUNDS]; /* hash of a round's outputs in a run of its own */
};

static struct instance instances[INSTANCES];
static uint32_t rounds, arena_used, ticks_per_1000;
static uint32_t random_state = 1;
static volatile uint32_t mismatches, interrupts, inside, third_rounds;
static volatile bool in_step;
static uint32_t third_round;
static bool third_runs;

static void say(const char *text) {
    port_write((const uint8_t *)text, strlen(text));
}

static void say_number(uint32_t value) {
    char digits[11];
    char *at = digits + sizeof digits - 1;
    *at = 0;
    do {
        *--at = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    say(at);
    say(" ");
}

static uint32_t next_random(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state;
}

static uint8_t *take(uint32_t bytes) {
    uint8_t *at = port_arena().base + arena_used;
    arena_used += (bytes + OFR_ALIGN - 1) & ~(OFR_ALIGN - 1);
    return at;
}

static void feed(const struct instance *instance, uint32_t round) {
    for (unsigned i = 0; i < instance->n_inputs; i++) {
        const ofr_buffer input = ofr_input(&instance->model, i);
        for (uint32_t at = 0; at < input.bytes; at++) {
            ((uint8_t *)input.data)[at] = (uint8_t)((at + 1) * (7 * round + 11) + i);
        }
    }
}

static uint32_t hash_outputs(const struct instance *instance) {
    uint32_t hash = 2166136261u;
    for (unsigned i = 0; i < instance->n_outputs; i++) {
        ofr_buffer output = {.bytes = 0};
        if (ofr_result(&instance->model, i, &output) != OFR_OK) return 0;
        for (uint32_t at = 0; at < output.bytes; at++) {
            hash = (hash ^ ((const uint8_t *)output.data)[at]) * 16777619u;
        }
    }
    return hash;
}

static void compare(const struct instance *instance, uint32_t round) {
    if (hash_outputs(instance) != instance->expected[round]) mismatches++;
}

static void run_alone(struct instance *instance) {
    for (uint32_t round = 0; round < rounds; round++) {
        feed(instance, round);
        if (ofr_run(&instance->model) != OFR_DONE) mismatches++;
        instance->expected[round] = hash_outputs(instance);
    }
    ofr_reset_state(&instance->model);
}

/* One step of the third instance, or the start of its next round. */
static void advance_third(void) {
    struct instance *third = &instances[THIRD];
    if (!third_runs) {
        if (third_round == 0) ofr_reset_state(&third->model);
        feed(third, third_round);
        third_runs = ofr_begin(&third->model) == OFR_OK;
    } else if (ofr_step(&third->model) == OFR_DONE) {
        compare(third, third_round);
        third_round = (third_round + 1) % rounds;
        third_rounds++;
        third_runs = false;
    }
}

static void set_timer(void) {
    SYST_RVR = (100 + next_random() % 2500) * ticks_per_1000 / 1000;
    SYST_CVR = 0;
    SYST_CSR = 7u;
}

void SysTick_Handler(void) {
    interrupts++;
    if (in_step) inside++;
    advance_third();
    set_timer();
}

static bool step(struct instance *instance) {
    in_step = true;
    const ofr_status status = ofr_step(&instance->model);
    in_step = false;
    if (status < 0) mismatches++;
    return status == OFR_MORE;
}

static void run_in_turn(uint32_t round) {
    bool more[THIRD];
    for (uint32_t i = 0; i < THIRD; i++) {
        feed(&instances[i], round);
        more[i] = ofr_begin(&instances[i].model) == OFR_OK;
    }
    while (more[0] || more[1]) {
        for (uint32_t i = 0; i < THIRD; i++) {
            if (more[i]) more[i] = step(&instances[i]);
        }
    }
    for (uint32_t i = 0; i < THIRD; i++)
        compare(&instances[i], round);
}

static const uint8_t *load(struct instance *instance, const uint8_t *at, uint8_t *arena) {
    ofr_requirements need;
    uint32_t n;
    memcpy(&n, at, sizeof n);
    at += OFR_ALIGN;
    if (ofr_peek(at, n, 0, &need) != OFR_OK) return NULL;
    if (arena == NULL) arena = take(need.arena_bytes);
    uint8_t *state = take(need.state_bytes);
    if (ofr_load(&instance->model, at, n, 0, &ofr_linked_kernels, arena, need.arena_bytes, state, need.state_bytes,
                 NULL) != OFR_OK) {
        return NULL;
    }
    instance->n_inputs = need.n_inputs;
    instance->n_outputs = need.n_outputs;
    return at + ((n + OFR_ALIGN - 1) & ~(OFR_ALIGN - 1));
}

int app_main(void) {
    uint32_t header[4];
    memcpy(header, port_model_slot().base, sizeof header);
    const uint8_t *at = port_model_slot().base + sizeof header;
    rounds = header[1];
    ticks_per_1000 = header[3];
    port_receive(false);
    for (uint32_t i = 0; i < INSTANCES && at != NULL; i++) {
        at = load(&instances[i], at, i == THIRD && header[2] ? port_arena().base : NULL);
    }
    if (at == NULL || rounds > MAX_ROUNDS) return 1;
    for (uint32_t i = 0; i < INSTANCES; i++)
        run_alone(&instances[i]);
    set_timer();
    for (uint32_t round = 0; round < rounds; round++)
        run_in_turn(round);
    SYST_CSR = 0;
    say_number(mismatches);
    say_number(interrupts);
    say_number(inside);
    say_number(third_rounds);
    say("\n");
    return 0;
}

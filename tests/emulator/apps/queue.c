/* An urgent model against a long one in a queue, with requests pushed by a timer interrupt at pseudo-random moments.
 *
 * The model slot holds: 2, pushes, timer ticks that 1,000 instructions take, 0; then size, 0, 0, 0 and bytes of each blob,
 * 16-byte aligned: the urgent one, the other. Says "REFUSED FINISHED MISMATCHES WAITS WORST LONGEST": pushes that found
 * no urgent run or request, the most ticks from one of these to where the queue was asked for its step, and those of the
 * longest step. */
#include "offramp_queue.h"
#include "port.h"

#include <string.h>

#define SYST_CSR (*(volatile uint32_t *)0xE000E010u)
#define SYST_RVR (*(volatile uint32_t *)0xE000E014u)
#define SYST_CVR (*(volatile uint32_t *)0xE000E018u)

enum { URGENT, OTHER, LEVELS, PLACES = 4, INPUT_BYTES = 4096 };

static ofr_model models[LEVELS];
static ofr_policy policy;
static ofr_request places[LEVELS][PLACES];
static ofr_level levels[LEVELS];
static ofr_queue queue;
static uint8_t input[INPUT_BYTES];
static const void *const inputs[] = {input};
static uint32_t expected[LEVELS], arena_used, random_state = 1, ticks_per_1000, pushes;
static volatile uint32_t pushed, refused, pushed_at;
static volatile bool is_timed; /* the request that was pushed at pushed_at has not begun */
static uint32_t longest, waits, worst;

static void say_number(uint32_t value) {
    char digits[12] = " ";
    unsigned at = 10;
    digits[11] = 0;
    do {
        digits[at--] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    port_write((const uint8_t *)digits + at + 1, 10 - at);
    port_write((const uint8_t *)" ", 1);
}

static uint32_t next_random(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state;
}

static void set_timer(void) {
    const uint32_t most = next_random() % 2 != 0 ? 400000 : 4000; /* now and then more than there are places for */
    SYST_RVR = (2000 + next_random() % most) * ticks_per_1000 / 1000;
    SYST_CVR = 0;
    SYST_CSR = 7u;
}

void SysTick_Handler(void) {
    const ofr_request request = {inputs, pushed};
    if (!levels[URGENT].is_running && ofr_queue_waiting(&queue, URGENT) == 0) {
        pushed_at = port_ticks();
        is_timed = true;
    }
    if (ofr_queue_push(&queue, URGENT, &request) == OFR_OK)
        pushed = pushed + 1;
    else
        refused = refused + 1;
    set_timer();
}

static uint32_t hash_of(const ofr_model *model) {
    uint32_t hash = 2166136261u;
    ofr_buffer output;
    if (ofr_result(model, 0, &output) != OFR_OK) return 0;
    for (uint32_t i = 0; i < output.bytes; i++)
        hash = (hash ^ ((const uint8_t *)output.data)[i]) * 16777619u;
    return hash;
}

static const uint8_t *load(uint32_t level, const uint8_t *at) {
    ofr_requirements need;
    uint32_t n;
    memcpy(&n, at, sizeof n);
    at += OFR_ALIGN;
    if (ofr_peek(at, n, 0, &need) != OFR_OK) return NULL;
    uint8_t *arena = port_arena().base + arena_used;
    arena_used += (need.arena_bytes + OFR_ALIGN - 1) & ~(OFR_ALIGN - 1);
    if (ofr_load(&models[level], at, n, 0, &ofr_linked_kernels, arena, need.arena_bytes, NULL, 0, NULL) != OFR_OK)
        return NULL;
    levels[level] = (ofr_level){.model = &models[level], .places = places[level], .n_places = PLACES};
    return at + ((n + OFR_ALIGN - 1) & ~(OFR_ALIGN - 1));
}

static void run_alone(uint32_t level) {
    const ofr_buffer in = ofr_input(&models[level], 0);
    memcpy(in.data, input, in.bytes);
    ofr_status status = ofr_begin(&models[level]);
    while (status == OFR_OK || status == OFR_MORE) {
        const uint32_t start = port_ticks();
        status = ofr_step(&models[level]);
        const uint32_t took = port_ticks() - start;
        longest = took > longest ? took : longest;
    }
    expected[level] = hash_of(&models[level]);
}

int app_main(void) {
    uint32_t header[4], finished_runs = 0, mismatches = 0;
    ofr_finished finished;
    memcpy(header, port_model_slot().base, sizeof header);
    pushes = header[1];
    ticks_per_1000 = header[2];
    port_receive(false);
    for (uint32_t i = 0; i < INPUT_BYTES; i++)
        input[i] = (uint8_t)(i * 37 + i / 11);
    const uint8_t *at = load(URGENT, port_model_slot().base + sizeof header);
    if (at == NULL || load(OTHER, at) == NULL) return 1;
    run_alone(URGENT);
    run_alone(OTHER);
    if (ofr_policy_start(&policy, &models[URGENT]) != OFR_OK) return 2;
    levels[URGENT].policy = &policy;
    if (ofr_queue_start(&queue, levels, LEVELS) != OFR_OK) return 3;
    set_timer();
    while (finished_runs < pushes) {
        const ofr_request request = {inputs, 0};
        if (ofr_queue_waiting(&queue, OTHER) < 2 && ofr_queue_push(&queue, OTHER, &request) != OFR_OK) return 4;
        const uint32_t taken = levels[URGENT].taken, now = port_ticks();
        const ofr_status status = ofr_queue_step(&queue, now, &finished);
        if (levels[URGENT].taken != taken && is_timed) {
            const int32_t waited = (int32_t)(now - pushed_at); /* below 0: pushed in that call */
            is_timed = false;
            waits++;
            worst = waited > (int32_t)worst ? (uint32_t)waited : worst;
        }
        if (status < OFR_OK) return 5;
        if (status != OFR_DONE && status != OFR_EXIT) continue;
        if (hash_of(&models[finished.level]) != expected[finished.level]) mismatches++;
        if (finished.level == URGENT && finished.tag != finished_runs++) mismatches++;
    }
    SYST_CSR = 0;
    say_number(refused);
    say_number(finished_runs);
    say_number(mismatches);
    say_number(waits);
    say_number(worst);
    say_number(longest);
    port_write((const uint8_t *)"\n", 1);
    return 0;
}

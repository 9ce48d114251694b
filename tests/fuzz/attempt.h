/* An attempt on the host: every byte the runtime may touch is an allocation of its own, of just the right size. */
#ifndef ATTEMPT_H
#define ATTEMPT_H

#define _XOPEN_SOURCE 700
#include <stdio.h>
#include <stdlib.h>

#include "exercise.h"

static void *allocate(size_t bytes) {
    void *at = NULL;
    if (posix_memalign(&at, OFR_ALIGN, bytes)) {
        abort();
    }
    return at;
}

static uint32_t at_most(uint32_t wanted, uint32_t limit) {
    return wanted < limit ? wanted : limit;
}

static ofr_status attempt_plan(const uint8_t *blob, uint32_t n, unsigned plan, uint32_t *hash) {
    ofr_requirements need;
    ofr_status status = ofr_peek(blob, n, plan, &need);
    if (status == OFR_OK) {
        memory m = {.arena_bytes = at_most(need.arena_bytes, ARENA_LIMIT),
                    .state_bytes = at_most(need.state_bytes, STATE_LIMIT)};
        uint8_t *caller = allocate(CALLER_INPUT_BYTES);
        memset(caller, 0x33, CALLER_INPUT_BYTES);
        m.arena = allocate(m.arena_bytes);
        m.state = allocate(m.state_bytes);
        m.features = allocate(FEATURES_BYTES);
        m.caller_end = caller + CALLER_INPUT_BYTES;
        status = exercise(blob, n, plan, &ofr_linked_kernels, &need, &m, hash);
        free(caller);
        free(m.arena);
        free(m.state);
        free(m.features);
    }
    return status;
}

/* Of plan 0; `hash` is of all plans. */
static ofr_status attempt(const uint8_t *bytes, uint32_t n, uint32_t *hash) {
    uint8_t *blob = allocate(n);
    memcpy(blob, bytes, n);
    ofr_status first = OFR_OK;
    *hash = 0;
    for (unsigned plan = 0; plan < MOST_PLANS; plan++) {
        uint32_t of_plan = 0;
        const ofr_status status = attempt_plan(blob, n, plan, &of_plan);
        if (plan == 0) {
            first = status;
        } else if (status == OFR_E_PLAN) {
            break;
        }
        *hash = hash_plan(*hash, status, of_plan);
    }
    const ofr_status crc = ofr_check_crc(blob, n);
    if (crc < 0 && crc != OFR_E_CRC && crc != first) {
        abort(); /* both check the header alike */
    }
    free(blob);
    return first;
}

#endif

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

static ofr_status attempt(const uint8_t *bytes, uint32_t n, uint32_t *hash) {
    uint8_t *blob = allocate(n);
    memcpy(blob, bytes, n);
    ofr_requirements need;
    ofr_status status = ofr_peek(blob, n, 0, &need);
    const ofr_status crc = ofr_check_crc(blob, n);
    if (crc < 0 && crc != OFR_E_CRC && crc != status) {
        abort(); /* both check the header alike */
    }
    *hash = 0;
    if (status == OFR_OK) {
        memory m = {.arena_bytes = at_most(need.arena_bytes, ARENA_LIMIT),
                    .state_bytes = at_most(need.state_bytes, STATE_LIMIT)};
        uint8_t *caller = allocate(CALLER_INPUT_BYTES);
        memset(caller, 0x33, CALLER_INPUT_BYTES);
        m.arena = allocate(m.arena_bytes);
        m.state = allocate(m.state_bytes);
        m.caller_end = caller + CALLER_INPUT_BYTES;
        status = exercise(blob, n, &ofr_linked_kernels, &need, &m, hash);
        free(caller);
        free(m.arena);
        free(m.state);
    }
    free(blob);
    return status;
}

#endif

/* Received bytes between an interrupt handler, which puts, and the application, which takes. */
#ifndef OFFRAMP_PORT_RING_H
#define OFFRAMP_PORT_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Holds a whole frame of the link; a power of two, so that the counters may wrap. */
#define RING_BYTES 512u

struct ring {
    volatile uint32_t put, taken;
    volatile bool stalled; /* the handler found it full and masked its interrupt */
    uint8_t bytes[RING_BYTES];
};

static inline bool ring_is_empty(const struct ring *r) {
    return r->put == r->taken;
}

static inline bool ring_is_full(const struct ring *r) {
    return r->put - r->taken == RING_BYTES;
}

static inline void ring_put(struct ring *r, uint8_t byte) {
    const uint32_t put = r->put;
    r->bytes[put % RING_BYTES] = byte;
    atomic_signal_fence(memory_order_release);
    r->put = put + 1;
}

static inline size_t ring_take(struct ring *r, uint8_t *bytes, size_t n) {
    uint32_t taken = r->taken;
    size_t count = 0;
    while (count < n && taken != r->put)
        bytes[count++] = r->bytes[taken++ % RING_BYTES];
    atomic_signal_fence(memory_order_release);
    r->taken = taken;
    return count;
}

#endif

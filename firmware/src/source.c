/* Blocks of samples between an interrupt handler and a thread, over offramp.h alone. */
#include "offramp_source.h"

#include <stdatomic.h>
#include <string.h>

ofr_status ofr_samples_start(ofr_samples *s) {
    if (s == NULL || s->data == NULL || s->numbers == NULL || s->n_blocks < 2 || s->block_samples == 0 ||
        s->sample_bytes == 0)
        return OFR_E_ARGUMENT;
    s->full = s->taken = s->lost = 0;
    s->number = s->at = s->put = s->take = 0;
    return OFR_OK;
}

static uint32_t next_block(const ofr_samples *s, uint32_t block) {
    return block + 1 == s->n_blocks ? 0 : block + 1;
}

static uint8_t *place(const ofr_samples *s, uint32_t block, uint32_t at) {
    return (uint8_t *)s->data + ((size_t)block * s->block_samples + at) * s->sample_bytes;
}

/* Whether there is a block for the next sample. */
static bool has_room(ofr_samples *s) {
    if (s->at != 0) return true;
    if (s->full - s->taken == s->n_blocks) return false;
    atomic_signal_fence(memory_order_acquire);
    s->numbers[s->put] = s->number;
    return true;
}

void ofr_samples_put(ofr_samples *s, const void *from, uint32_t n) {
    const uint8_t *bytes = from;
    while (n != 0 && (s->limit_blocks == 0 || s->full != s->limit_blocks)) {
        const uint32_t left = s->block_samples - s->at, count = n < left ? n : left;
        if (!has_room(s)) {
            s->lost = s->lost + n;
            s->number += n;
            return;
        }
        memcpy(place(s, s->put, s->at), bytes, (size_t)count * s->sample_bytes);
        bytes += (size_t)count * s->sample_bytes;
        n -= count;
        s->number += count;
        s->at += count;
        if (count != left) return;
        s->at = 0;
        s->put = next_block(s, s->put);
        atomic_signal_fence(memory_order_release);
        s->full = s->full + 1;
    }
}

void ofr_samples_lose(ofr_samples *s, uint32_t n) {
    if (s->limit_blocks != 0 && s->full == s->limit_blocks) return;
    s->lost = s->lost + s->at + n;
    s->number += n;
    s->at = 0;
}

const void *ofr_samples_block(const ofr_samples *s, uint32_t *number) {
    if (s->full == s->taken) return NULL;
    atomic_signal_fence(memory_order_acquire);
    *number = s->numbers[s->take];
    return place(s, s->take, 0);
}

void ofr_samples_release(ofr_samples *s) {
    if (s->full == s->taken) return;
    s->take = next_block(s, s->take);
    atomic_signal_fence(memory_order_release);
    s->taken = s->taken + 1;
}

/* Samples of a sensor on their way from its interrupt to a model: blocks that one side fills and the other empties.
 *
 *     static int16_t data[2 * 256];                          two blocks: a ping-pong buffer
 *     static uint32_t numbers[2];
 *     static ofr_samples samples = {
 *         .data = data, .numbers = numbers, .n_blocks = 2, .block_samples = 256, .sample_bytes = sizeof *data};
 *     if (!source->init() || ofr_samples_start(&samples) != OFR_OK || !source->start(&samples)) ...
 *     for (;;) {
 *         const int16_t *block = ofr_samples_block(&samples, &number);
 *         if (block == NULL) ...                             nothing yet: sleep, or run another step of the model
 *         else ...                                           read it, then ofr_samples_release(&samples)
 *     }
 *
 * The interrupt handler fills a block while the thread reads another. A block is whole: its samples follow each other
 * without a gap. Where no block is free when one is to begin, samples are lost and counted until one is; `number`, of a
 * block's first sample, tells where (as all counts here it goes on from 0 after 2^32 - 1). With n blocks of b samples nothing is lost if each block is released within
 * (n - 1) x b samples of being full.
 *
 * Interrupts. One producer and one consumer: ofr_samples_put is called from one interrupt handler (or several that mask
 * each other), the rest from one thread. Nothing is masked and nothing waits; what both sides see are aligned words, each
 * written by one side alone, so that Cortex-M0 serves as well. All on one core: nothing is fenced for another.
 *
 * All state is the caller's: no heap, no globals. */
#ifndef OFFRAMP_SOURCE_H
#define OFFRAMP_SOURCE_H

#include "offramp.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The caller fills in the upper part before ofr_samples_start and leaves the rest alone. */
typedef struct ofr_samples {
    void *data;             /* n_blocks x block_samples x sample_bytes */
    uint32_t *numbers;      /* n_blocks */
    uint32_t n_blocks;      /* from 2 on */
    uint32_t block_samples; /* from 1 on */
    uint32_t sample_bytes;  /* of all channels */
    uint32_t limit_blocks;  /* what comes behind so many is neither kept nor lost; 0: no limit */

    volatile uint32_t full;  /* blocks that the handler has filled */
    volatile uint32_t taken; /* of these, blocks that the thread has released */
    volatile uint32_t lost;  /* samples for which there was no place */
    uint32_t number, at, put; /* the handler's: next sample, its place in block `put` */
    uint32_t take;            /* the thread's: the oldest full block */
} ofr_samples;

/* Empties it; no source may run. The next sample is number 0. OFR_E_ARGUMENT: a null pointer, a number below its least. */
OFR_CHECKED ofr_status ofr_samples_start(ofr_samples *samples);

/* Takes n samples in order. For the interrupt handler. */
void ofr_samples_put(ofr_samples *samples, const void *from, uint32_t n);

/* The hardware has dropped n samples: they are counted as lost, and with them those of the block under way, which would
 * have a gap. For the interrupt handler. */
void ofr_samples_lose(ofr_samples *samples, uint32_t n);

/* The oldest full block and the number of its first sample, or NULL. It stays valid until it is released. */
const void *ofr_samples_block(const ofr_samples *samples, uint32_t *number);

/* Gives the oldest full block back to the handler. */
void ofr_samples_release(ofr_samples *samples);

/* A sensor's driver. It keeps the pointer that `start` is given until `stop` returns. */
typedef struct ofr_source {
    const char *name;
    uint32_t rate_hz;                  /* samples a second */
    uint8_t channels;                  /* values in a sample, one behind the other */
    uint8_t dtype;                     /* ofr_dtype of each */
    bool (*init)(void);                /* once; false where the hardware does not answer */
    bool (*start)(ofr_samples *to);    /* from here on its interrupt puts samples */
    void (*stop)(void);                /* when it returns, no more are put */
} ofr_source;

#ifdef __cplusplus
}
#endif

#endif

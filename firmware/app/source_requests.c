/* Samples of the board's own sensor, kept in what the active model leaves of the arena's region until they are read. */
#include "source_requests.h"

#ifdef APP_SOURCE

#include "bytes.h"
#include "link.h"
#include "models.h"
#include "policy.h"
#include "port.h"
#include "requests.h"
#include "source.h"

#include <string.h>

#define READ_REPLY_BYTES 16u
#define BLOCK_ROOM (LINK_PAYLOAD_BYTES - READ_REPLY_BYTES) /* a block is what a reply holds */

static ofr_samples samples;
static bool ready;   /* the driver has been asked to begin */
static bool running; /* `samples` holds what has come since the last start */

static uint32_t sample_bytes(void) {
    static const uint8_t bytes[] = {[OFR_S8] = 1, [OFR_U8] = 1, [OFR_S16] = 2, [OFR_S32] = 4, [OFR_F32] = 4};
    return port_source.channels * (uint32_t)bytes[port_source.dtype];
}

static uint32_t block_samples(void) {
    return BLOCK_ROOM / sample_bytes();
}

/* A block takes its samples and its number. */
static uint32_t block_bytes(void) {
    return block_samples() * sample_bytes() + (uint32_t)sizeof(uint32_t);
}

/* Between the arena, behind which a cascade keeps its copy, and all else that the model takes, at the region's end. */
static struct port_memory free_memory(void) {
    struct port_memory region = port_arena();
    if (active.source == MODEL_NONE) return region;
    const uint32_t before = active.need.arena_bytes + policy_copy_bytes();
    const uint32_t behind = active.region_used - before, end = region.size & ~(OFR_ALIGN - 1);
    region.base += before;
    region.size = ((end - behind) & ~(OFR_ALIGN - 1)) - before;
    return region;
}

static uint32_t blocks_of(struct port_memory memory) {
    const uint32_t skipped = (uint32_t)(-(uintptr_t)memory.base & 3u);
    return memory.size < skipped ? 0 : (memory.size - skipped) / block_bytes();
}

void source_drop(void) {
    if (running) port_source.stop();
    running = false;
}

size_t source_info(const uint8_t *payload, size_t n, uint8_t *reply) {
    (void)payload, (void)n;
    const size_t name_bytes = strlen(port_source.name);
    uint8_t *p = put_u32(reply + REPLY_BYTES, port_source.rate_hz);
    p = put_u8(put_u8(p, port_source.channels), port_source.dtype);
    p = put_u16(p, block_samples());
    p = put_u32(p, blocks_of(free_memory()));
    start_reply(reply, (uint32_t)(p - reply));
    memcpy(p, port_source.name, name_bytes);
    return (size_t)(p - reply) + name_bytes;
}

/* Numbers first, so that they are aligned; samples behind them. */
static bool take_memory(struct port_memory memory, uint32_t limit) {
    const uint32_t n_blocks = blocks_of(memory);
    uint8_t *at = memory.base + (-(uintptr_t)memory.base & 3u);
    samples = (ofr_samples){.data = at + n_blocks * sizeof(uint32_t),
                            .numbers = (uint32_t *)(void *)at,
                            .n_blocks = n_blocks,
                            .block_samples = block_samples(),
                            .sample_bytes = sample_bytes(),
                            .limit_blocks = limit};
    return ofr_samples_start(&samples) == OFR_OK;
}

size_t source_start(const uint8_t *payload, size_t n, uint8_t *reply) {
    (void)n;
    const struct port_memory memory = free_memory();
    source_drop();
    if (!take_memory(memory, get_u32(payload))) return refuse(reply, OFR_E_ARENA, memory.size, 2 * block_bytes());
    if (!ready && !port_source.init()) return refuse(reply, LINK_E_SOURCE, 0, 0);
    ready = true;
    if (!port_source.start(&samples)) return refuse(reply, LINK_E_SOURCE, 0, 0);
    running = true;
    return (size_t)(put_u32(start_reply(reply, 0), samples.n_blocks) - reply);
}

size_t source_read(const uint8_t *payload, size_t n, uint8_t *reply) {
    (void)payload, (void)n;
    if (!running) return refuse(reply, LINK_E_STOPPED, 0, 0);
    uint32_t number = 0;
    const uint32_t waiting = samples.full - samples.taken;
    const void *block = ofr_samples_block(&samples, &number);
    uint8_t *p = put_u32(start_reply(reply, READ_REPLY_BYTES), number);
    p = put_u32(put_u32(p, samples.lost), waiting);
    if (block == NULL) return (size_t)(p - reply);
    const uint32_t bytes = samples.block_samples * samples.sample_bytes;
    memcpy(p, block, bytes);
    ofr_samples_release(&samples);
    return READ_REPLY_BYTES + bytes;
}

size_t source_stop(const uint8_t *payload, size_t n, uint8_t *reply) {
    (void)payload, (void)n;
    source_drop();
    return (size_t)(start_reply(reply, 0) - reply);
}

#endif

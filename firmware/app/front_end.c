/* Feeds the active model's front end. */
#include "front_end.h"

#if APP_FRONT_ENDS

#include "bytes.h"
#include "link.h"
#include "models.h"
#include "offramp_features.h"
#include "port.h"
#include "requests.h"

#define FEED_BYTES 4u

static ofr_features features;
static ofr_features_need need; /* input_bytes 0: the model has no front end */

static int blame(int status, uint32_t found, uint32_t allowed) {
    need.input_bytes = 0;
    last_load.fault = (ofr_fault){-1, -1, found, allowed};
    return status;
}

int front_end_start(void) {
    const struct port_memory region = port_arena();
    const uint32_t arena_end = aligned(active.need.arena_bytes), end = region.size & ~(OFR_ALIGN - 1);
    const uint32_t top = (end - (active.region_used - active.need.arena_bytes)) & ~(OFR_ALIGN - 1);
    const uint32_t room = top > arena_end ? top - arena_end : 0;
    uint32_t bytes;
    const void *params = ofr_front_end(&active.plans[0], &bytes);
    need.input_bytes = 0;
    if (params == NULL) return OFR_OK;
    int status = ofr_features_peek(params, bytes, &ofr_linked_features, &need);
    if (status < 0) return blame(status, bytes, 0);
    const ofr_buffer input = ofr_input(&active.plans[0], 0);
    if (input.bytes != need.input_bytes || input.dtype != OFR_S8)
        return blame(OFR_E_FRONT_END, need.input_bytes, input.bytes);
    const uint32_t taken = aligned(need.memory_bytes);
    if (taken > room) return blame(OFR_E_ARENA, room, taken);
    active.region_used += taken;
    status = ofr_features_open(&features, params, bytes, &ofr_linked_features, region.base + (top - taken), taken);
    return status < 0 ? blame(status, bytes, 0) : OFR_OK;
}

void front_end_reset(void) {
    if (need.input_bytes != 0) ofr_features_reset(&features);
}

size_t feed_request(const uint8_t *payload, size_t n, uint8_t *reply) {
    ofr_fault fault;
    bool due;
    const int status = find_model(payload, &fault);
    if (status < 0) return refuse_fault(reply, status, &fault);
    if (need.input_bytes == 0) return refuse(reply, LINK_E_FRONT_END, 0, 0);
    const uint32_t taken = ofr_features_feed(&features, payload + FEED_BYTES, (uint32_t)(n - FEED_BYTES),
                                             ofr_input(&active.plans[0], 0).data, &due);
    uint8_t *p = put_u16(start_reply(reply, 0), taken);
    p = put_u8(put_u8(p, due), 0);
    return (size_t)(p - reply);
}

size_t describe_front_end(uint8_t *reply) {
    if (need.input_bytes == 0) return refuse(reply, LINK_E_FRONT_END, 0, 0);
    uint8_t *p = put_u16(start_reply(reply, 0), need.kind);
    p = put_u16(put_u16(put_u16(p, need.element_bytes), need.row_bytes), need.window_rows);
    p = put_u32(put_u16(put_u16(p, need.hop_rows), need.rate_hz), need.first_run);
    p = put_u32(put_u32(p, need.next_run), need.memory_bytes);
    return (size_t)(p - reply);
}

#endif

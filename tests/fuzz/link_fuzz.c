/* libFuzzer target: hostile bytes, hostile frames and hostile models against the whole application's link.
 *
 * The input is a series of records: u8 length, u8 code, payload. Code 255 sends the payload raw, others as a
 * request under the next sequence number (codes above 0x7f: under a wrong one). Every answer must be a frame. A family
 * of three is linked in, or a model with exits, or one behind a front end with a sensor beside: then code 254 sends a
 * whole model and activates it. Its payload is u8 which, u32 seed of a mutation (0: none). */
#include "app_port.h"
#include "bytes.h"
#include "link.h"
#include "models.h"
#include "session.h"
#if APP_FRONT_ENDS
#include "feeding.h"
#include "mutate.h"
extern const uint8_t *const other_models[];
extern const uint32_t other_bytes[], n_others;
#endif

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct link_decoder answers;
static jmp_buf after_reset;
static uint16_t sequence;
static uint32_t nonce;
static bool replied; /* since the last request was sent; `answers` holds what came last */

static void take_answer(void) {
    replied |= answers.body[0] == LINK_REPLY;
#if APP_FRONT_ENDS
    if (answers.body[0] == LINK_REPLY && answers.body[1] == LINK_SOURCE_READ)
        check_block(answers.body + LINK_HEADER_BYTES, link_body_bytes(&answers) - LINK_HEADER_BYTES);
#endif
}

void port_write(const uint8_t *bytes, size_t n) {
    for (size_t i = 0; i < n; ++i) {
        const enum link_decoded found = link_decode(&answers, bytes[i]);
        if (found == LINK_BAD) abort();
        if (found == LINK_FRAME) take_answer();
    }
}

void port_reset(void) {
    longjmp(after_reset, 1);
}

static void deliver(void) {
    session_poll();
    line_put = line_taken = 0;
}

static void send_request(uint8_t code, const uint8_t *payload, size_t n, uint16_t number) {
    uint8_t body[LINK_BODY_BYTES] = {LINK_REQUEST, code};
    put_u16(body + 2, number);
    memcpy(body + LINK_HEADER_BYTES, payload, n);
    link_encode(body, LINK_HEADER_BYTES + n, to_line);
    const uint32_t repeated = session_counts.repeated;
    replied = false;
    deliver();
    replied &= session_counts.repeated == repeated; /* done just now */
#if APP_FRONT_ENDS
    if (replied) check_done(code, payload, n, answers.body + LINK_HEADER_BYTES);
#endif
}

static void hello(void) {
    uint8_t payload[4];
    put_u32(payload, ++nonce);
    send_request(LINK_HELLO, payload, sizeof payload, sequence++);
}

#if APP_FRONT_ENDS
/* The checksum that the model's bytes have. */
static void sign(bytes model) {
    const uint32_t flatbuffer = u32_at(model.at + 8), room = model.n - HEADER_BYTES;
    const uint32_t of_header = link_crc32(0, model.at, HEADER_BYTES - 4);
    put_u32(model.at + HEADER_BYTES - 4,
            link_crc32(of_header, model.at + HEADER_BYTES, flatbuffer < room ? flatbuffer : room));
}

static void send_model(bytes model) {
    static const uint8_t source[] = {MODEL_SLOT};
    uint8_t payload[LINK_PAYLOAD_BYTES] = {MODEL_SLOT};
    put_u32(payload + 4, model.n);
    send_request(LINK_MODEL_BEGIN, payload, 8, sequence++);
    for (uint32_t at = 0, n; at < model.n; at += n) {
        n = model.n - at < sizeof payload - 4 ? model.n - at : sizeof payload - 4;
        put_u32(payload, at);
        memcpy(payload + 4, model.at + at, n);
        send_request(LINK_MODEL_CHUNK, payload, n + 4, sequence++);
    }
    send_request(LINK_MODEL_COMMIT, payload, 0, sequence++);
    send_request(LINK_MODEL_ACTIVATE, source, sizeof source, sequence++);
}

static bytes copy_of_other(uint32_t which) {
    static _Alignas(OFR_ALIGN) uint8_t copies[2][sizeof slot];
    const bytes model = {copies[which & 1], other_bytes[which % n_others]};
    memcpy(model.at, other_models[which % n_others], model.n);
    return model;
}

static void send_other(const uint8_t *payload, size_t n) {
    if (n < 5) return;
    const uint32_t which = payload[0];
    uint32_t random = get_u32(payload + 1);
    bytes model = copy_of_other(which);
    if (random != 0) mutate(&random, &model, copy_of_other(which + 1));
    if (model.n > HEADER_BYTES) sign(model);
    send_model(model);
}
#endif

static void take_record(uint8_t code, const uint8_t *payload, size_t n) {
    if (code == 255) {
        to_line(payload, n);
        deliver();
#if APP_FRONT_ENDS
        beside.valid = false;
    } else if (code == 254) {
        send_other(payload, n);
#endif
    } else if (code > 0x7F) {
        send_request(code & 0x7F, payload, n, (uint16_t)(sequence - 3 + (code & 3)));
    } else {
        send_request(code, payload, n, sequence++);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    memset(slot, 0, sizeof slot);
    models_start();
#if APP_FRONT_ENDS
    open_beside();
#endif
    hello();
    while (size >= 2) {
        const size_t n = data[0] < size - 2 ? data[0] : size - 2;
        if (setjmp(after_reset) == 0)
            take_record(data[1], data + 2, n);
        else
            line_put = line_taken = 0;
        data += 2 + n;
        size -= 2 + n;
    }
    return 0;
}

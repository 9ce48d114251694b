/* Takes frames in order, each once: a repeated sequence number gets the stored reply, never a second run. */
#include "session.h"

#include "bytes.h"
#include "identity.h"
#include "link.h"
#include "mlperf.h"
#include "port.h"
#include "requests.h"
#include "ring.h"

#include <string.h>

_Static_assert((LINK_WINDOW & (LINK_WINDOW - 1)) == 0, "sequence numbers wrap");

#define HELLO_BYTES 4u

struct stored {
    uint16_t bytes; /* of header and payload; 0: nothing stored */
    uint8_t body[LINK_BODY_BYTES];
};

PORT_LINK_BUFFER static struct link_decoder decoder;
PORT_LINK_BUFFER static struct stored replies[LINK_WINDOW];
static bool framed; /* a valid frame has been seen: no more text */
static bool open;
static uint32_t nonce; /* the host's name for its session */
static uint16_t expected;
struct session_counts session_counts;

void session_start(void) {
    static const char banner[] = "\r\nofframp " APP_VERSION " on " APP_BOARD "\r\n";
    port_write((const uint8_t *)banner, sizeof banner - 1);
}

/* Tells the host which request to send next, so that it need not wait for a time-out. */
static void send_expected(void) {
    uint8_t body[LINK_HEADER_BYTES + 2 + LINK_CRC_BYTES] = {LINK_EVENT, LINK_EXPECTED};
    put_u16(body + LINK_HEADER_BYTES, expected);
    link_encode(body, LINK_HEADER_BYTES + 2, port_write);
}

static size_t hello(uint8_t *reply) {
    uint8_t *p = start_reply(reply, 0);
    p = put_u8(p, LINK_MAJOR);
    p = put_u8(p, LINK_MINOR);
    p = put_u16(p, LINK_WINDOW);
    p = put_u16(p, LINK_PAYLOAD_BYTES);
    p = put_u16(p, RING_BYTES);
    p = put_u32(p, nonce);
    return (size_t)(p - reply);
}

static size_t answer(uint8_t code, const uint8_t *payload, size_t n, uint8_t *reply) {
    switch (code) {
    case LINK_HELLO:
        return n < HELLO_BYTES ? refuse(reply, LINK_E_LENGTH, (uint32_t)n, HELLO_BYTES) : hello(reply);
    case LINK_RESET: /* done in send_reply, after the reply */
    case LINK_RELEASE:
        start_reply(reply, 0);
        return REPLY_BYTES;
    default:
        return request_answer(code, payload, n, reply);
    }
}

static void send_reply(struct stored *stored) {
    link_encode(stored->body, stored->bytes, port_write);
    if (stored->body[1] == LINK_RESET) port_reset();
    if (stored->body[1] == LINK_RELEASE) framed = decoder.inside = false;
}

static void start_session(uint32_t new_nonce, uint16_t sequence) {
    memset(replies, 0, sizeof replies);
    open = true;
    nonce = new_nonce;
    expected = sequence;
}

static void refuse_without_session(struct stored *stored) {
    stored->bytes = (uint16_t)(LINK_HEADER_BYTES + refuse(stored->body + LINK_HEADER_BYTES, LINK_E_SESSION, 0, 0));
    link_encode(stored->body, stored->bytes, port_write);
}

/* Not the expected number: the reply is sent again, if it is stored, else the host is told which is expected. */
static void repeat(struct stored *stored, uint16_t sequence) {
    if (stored->bytes == 0 || get_u16(stored->body + 2) != sequence) {
        send_expected();
        return;
    }
    ++session_counts.repeated;
    send_reply(stored);
}

static void take_request(const uint8_t *body, size_t n) {
    const uint8_t code = body[1];
    const uint8_t *payload = body + LINK_HEADER_BYTES;
    const uint16_t sequence = (uint16_t)get_u16(body + 2);
    struct stored *stored = &replies[sequence % LINK_WINDOW];
    n -= LINK_HEADER_BYTES;
    if (code == LINK_HELLO && n >= HELLO_BYTES && !(open && get_u32(payload) == nonce))
        start_session(get_u32(payload), sequence);
    if (open && sequence != expected) {
        repeat(stored, sequence);
        return;
    }
    memcpy(stored->body, body, LINK_HEADER_BYTES);
    stored->body[0] = LINK_REPLY;
    if (!open) {
        refuse_without_session(stored);
        return;
    }
    stored->bytes = (uint16_t)(LINK_HEADER_BYTES + answer(code, payload, n, stored->body + LINK_HEADER_BYTES));
    ++expected;
    send_reply(stored);
}

/* A stray zero before the first frame must not make the port deaf to text: what does not begin as a request does is
 * text, and so is the byte before, which the decoder took for a length. */
static void leave_frame(uint8_t byte) {
    const bool first = decoder.inside && decoder.started && decoder.length == 1;
    if (first && decoder.body[0] != LINK_REQUEST) {
        decoder.inside = false;
        mlperf_take(decoder.body[0] == 0 ? 1u : (uint8_t)(decoder.block_left + 2u));
        mlperf_take(byte);
    }
}

static void take_byte(uint8_t byte) {
    const enum link_decoded found = link_decode(&decoder, byte);
    if (byte == 0) mlperf_forget();
    if (found == LINK_TEXT) mlperf_take(byte);
    switch (found) {
    case LINK_FRAME:
        framed = true;
        ++session_counts.frames;
        if (decoder.body[0] == LINK_REQUEST) take_request(decoder.body, link_body_bytes(&decoder));
        break;
    case LINK_BAD:
        ++session_counts.bad_frames;
        if (framed) send_expected(); /* not on a line of text */
        break;
    default:
        if (MLPERF_TAKES_TEXT && !framed) leave_frame(byte);
        if (!framed && decoder.too_long) decoder.inside = false;
    }
}

void session_poll(void) {
    uint8_t bytes[32];
    for (size_t n; (n = port_read(bytes, sizeof bytes)) > 0;)
        for (size_t i = 0; i < n; ++i)
            take_byte(bytes[i]);
}

/* libFuzzer target: hostile bytes, hostile frames and hostile models against the whole application's link.
 *
 * The input is a series of records: u8 length, u8 code, payload. Code 255 sends the payload raw, others as a
 * request under the next sequence number (codes above 0x7f: under a wrong one). Every answer must be a frame. A family
 * of three is linked in, or a model with exits. */
#include "app_port.h"
#include "bytes.h"
#include "link.h"
#include "models.h"
#include "session.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct link_decoder answers;
static jmp_buf after_reset;
static uint16_t sequence;
static uint32_t nonce;

void port_write(const uint8_t *bytes, size_t n) {
    for (size_t i = 0; i < n; ++i)
        if (link_decode(&answers, bytes[i]) == LINK_BAD) abort();
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
    deliver();
}

static void hello(void) {
    uint8_t payload[4];
    put_u32(payload, ++nonce);
    send_request(LINK_HELLO, payload, sizeof payload, sequence++);
}

static void take_record(uint8_t code, const uint8_t *payload, size_t n) {
    if (code == 255) {
        to_line(payload, n);
        deliver();
    } else if (code > 0x7F) {
        send_request(code & 0x7F, payload, n, (uint16_t)(sequence - 3 + (code & 3)));
    } else {
        send_request(code, payload, n, sequence++);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    memset(slot, 0, sizeof slot);
    models_start();
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

/* libFuzzer target: hostile bytes against MLPerf Tiny's protocol, which come in parts of 1 to 61.
 *
 * All that the board says is lines of text, and as long as no zero byte came each % is answered by one m-ready. */
#include "app_port.h"
#include "bytes.h"
#include "link.h"
#include "models.h"
#include "session.h"

#include <setjmp.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char ready[] = "m-ready\r\n";
static size_t matched, answers;
static bool is_text; /* what the board says now */
static jmp_buf after_reset;

void port_write(const uint8_t *bytes, size_t n) {
    if (session_counts.frames != 0) is_text = false;
    for (size_t i = 0; i < n && is_text; ++i) {
        if (bytes[i] != '\r' && bytes[i] != '\n' && (bytes[i] < ' ' || bytes[i] > '~')) abort();
        matched = bytes[i] == (uint8_t)ready[matched] ? matched + 1 : bytes[i] == 'm';
        if (ready[matched] != 0) continue;
        ++answers;
        matched = 0;
    }
}

void port_reset(void) {
    longjmp(after_reset, 1);
}

static void deliver(const uint8_t *bytes, size_t n) {
    line_put = line_taken = 0;
    to_line(bytes, n);
    session_poll();
}

/* From whatever state back to text, nothing of a command said. */
static void release(void) {
    static const uint8_t codes[] = {LINK_HELLO, LINK_RELEASE}, percent = '%';
    static uint32_t nonce;
    ++nonce;
    is_text = false;
    line_put = line_taken = 0;
    for (uint32_t i = 0; i < sizeof codes; ++i) {
        uint8_t body[LINK_BODY_BYTES] = {LINK_REQUEST, codes[i]};
        put_u16(body + 2, i);
        put_u32(body + LINK_HEADER_BYTES, nonce);
        link_encode(body, LINK_HEADER_BYTES + 4, to_line);
    }
    session_poll();
    deliver(&percent, 1);
    session_counts = (struct session_counts){0};
    matched = answers = 0;
    is_text = true;
}

/* Counts of `infer` of more than a digit would only take time. */
static void shorten(uint8_t *text, size_t n) {
    for (size_t i = 1; i < n; ++i)
        if ((text[i] == '\r' || text[i] == '\n') && text[i - 1] != '%') text[i] = 'x';
    for (size_t i = 0; i + 6 <= n; ++i)
        for (size_t k = i + 6; k < n && text[k] != '%' && memcmp(text + i, "infer ", 6) == 0; ++k)
            if (text[k] >= '0' && text[k] <= '9' && text[k - 1] != ' ') text[k] = 'x';
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static uint8_t text[sizeof line];
    const size_t n = size < sizeof text ? size : sizeof text;
    size_t commands = 0;
    bool zero = false;
    memcpy(text, data, n);
    shorten(text, n);
    models_start();
    release();
    for (size_t i = 0; i < n; ++i) {
        commands += text[i] == '%';
        zero |= text[i] == 0;
    }
    for (size_t at = 0, part; at < n; at += part) {
        part = 1 + at % 61 < n - at ? 1 + at % 61 : n - at;
        if (setjmp(after_reset) == 0) deliver(text + at, part);
    }
    if (!zero && answers != commands) abort();
    return 0;
}

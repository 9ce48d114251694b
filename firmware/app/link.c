/* Encodes and decodes frames of the link, byte by byte and without trusting any of them. */
#include "link.h"

#include "bytes.h"

uint32_t link_crc32(uint32_t crc, const uint8_t *bytes, size_t n) {
    static const uint32_t of_nibble[16] = {0x00000000u, 0x1DB71064u, 0x3B6E20C8u, 0x26D930ACu, 0x76DC4190u, 0x6B6B51F4u,
                                           0x4DB26158u, 0x5005713Cu, 0xEDB88320u, 0xF00F9344u, 0xD6D6A3E8u, 0xCB61B38Cu,
                                           0x9B64C2B0u, 0x86D3D2D4u, 0xA00AE278u, 0xBDBDF21Cu};
    crc = ~crc;
    for (size_t i = 0; i < n; ++i) {
        crc ^= bytes[i];
        crc = crc >> 4 ^ of_nibble[crc & 15u];
        crc = crc >> 4 ^ of_nibble[crc & 15u];
    }
    return ~crc;
}

static void append(struct link_decoder *d, uint8_t byte) {
    if (d->length == LINK_BODY_BYTES)
        d->too_long = true;
    else
        d->body[d->length++] = byte;
}

static void start_frame(struct link_decoder *d) {
    d->inside = true;
    d->started = d->zero_after = d->too_long = false;
    d->block_left = 0;
}

static bool is_whole(const struct link_decoder *d) {
    if (d->too_long || d->block_left != 0 || d->length < LINK_HEADER_BYTES + LINK_CRC_BYTES) return false;
    const size_t n = link_body_bytes(d);
    return link_crc32(0, d->body, n) == get_u32(d->body + n);
}

enum link_decoded link_decode(struct link_decoder *d, uint8_t byte) {
    if (byte == 0) { /* ends a frame and begins the next, so that one lost zero costs one frame */
        const bool ended = d->inside && d->started;
        start_frame(d);
        return !ended ? LINK_NOTHING : is_whole(d) ? LINK_FRAME : LINK_BAD;
    }
    if (!d->inside) return LINK_TEXT;
    if (!d->started) {
        d->length = 0;
        d->started = true;
    }
    if (d->block_left > 0) {
        append(d, byte);
        --d->block_left;
        return LINK_NOTHING;
    }
    if (d->zero_after) append(d, 0);
    d->zero_after = byte != 0xFF;
    d->block_left = (uint8_t)(byte - 1);
    return LINK_NOTHING;
}

void link_encode(uint8_t *body, size_t n, void (*write)(const uint8_t *bytes, size_t n)) {
    static const uint8_t zero = 0;
    put_u32(body + n, link_crc32(0, body, n));
    n += LINK_CRC_BYTES;
    write(&zero, 1);
    size_t at = 0;
    bool more;
    do {
        size_t block = 0;
        while (block < 254 && at + block < n && body[at + block] != 0)
            ++block;
        const uint8_t code = (uint8_t)(block + 1);
        write(&code, 1);
        write(body + at, block);
        at += block;
        more = at < n;
        if (block < 254) ++at; /* the zero that the code stands for */
    } while (more);
    write(&zero, 1);
}

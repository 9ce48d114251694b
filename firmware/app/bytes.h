/* Little-endian numbers at any address. */
#ifndef OFFRAMP_BYTES_H
#define OFFRAMP_BYTES_H

#include <stdint.h>

static inline uint32_t get_u16(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}
static inline uint32_t get_u32(const uint8_t *p) {
    return get_u16(p) | get_u16(p + 2) << 16;
}

static inline uint8_t *put_u8(uint8_t *p, uint32_t value) {
    *p = (uint8_t)value;
    return p + 1;
}

static inline uint8_t *put_u16(uint8_t *p, uint32_t value) {
    return put_u8(put_u8(p, value), value >> 8);
}
static inline uint8_t *put_u32(uint8_t *p, uint32_t value) {
    return put_u16(put_u16(p, value), value >> 16);
}

#endif

/* The flash's sectors as the board file lists them, in PORT_FLASH_SECTORS. */
#ifndef OFFRAMP_PORT_SECTORS_H
#define OFFRAMP_PORT_SECTORS_H

#include <stdbool.h>
#include <stdint.h>

/* Number of the sector that begins at an address, counted from the start of the flash; -1: none does. */
static inline int32_t sector_at(uint32_t address) {
    static const struct {
        uint32_t bytes, count;
    } runs[] = {PORT_FLASH_SECTORS};
    uint32_t offset = address - PORT_FLASH, first = 0;
    for (uint32_t i = 0; i < sizeof runs / sizeof *runs; ++i) {
        if (offset < runs[i].bytes * runs[i].count)
            return offset % runs[i].bytes ? -1 : (int32_t)(first + offset / runs[i].bytes);
        offset -= runs[i].bytes * runs[i].count;
        first += runs[i].count;
    }
    return -1;
}

/* Whether n bytes from an address on are whole units of the flash. */
static inline bool units_at(uint32_t address, const uint8_t *bytes, uint32_t n) {
    static const struct {
        uint32_t bytes, count;
    } runs[] = {PORT_FLASH_SECTORS};
    uint32_t size = 0;
    for (uint32_t i = 0; i < sizeof runs / sizeof *runs; ++i)
        size += runs[i].bytes * runs[i].count;
    const uint32_t offset = address - PORT_FLASH;
    return offset <= size && n <= size - offset && (offset | n) % PORT_FLASH_UNIT == 0 && (uintptr_t)bytes % 4u == 0;
}

#endif

/* Erases and programs the nRF52's own flash: NVMC in the nRF52840 Product Specification, chapter 4.3. */
#include "../port.h"
#include "../sectors.h"

#include <string.h>

#define NVMC(offset) (*(volatile uint32_t *)(0x4001E000u + (offset)))
#define READY NVMC(0x400u)
#define CONFIG NVMC(0x504u)
#define ERASE_PAGE NVMC(0x508u)
#define READ_ONLY 0u
#define WRITE 1u
#define ERASE 2u

/* The core waits by itself for what it reads from flash; the mode changes only between operations. */
static void set_mode(uint32_t mode) {
    while (!(READY & 1u)) {
    }
    CONFIG = mode;
    __asm volatile("dsb" ::: "memory");
}

int port_flash_erase(uint32_t address) {
    if (sector_at(address) < 0) return -1;
    set_mode(ERASE);
    ERASE_PAGE = address;
    set_mode(READ_ONLY);
    return 0;
}

int port_flash_program(uint32_t address, const uint8_t *bytes, uint32_t n) {
    if (!units_at(address, bytes, n)) return -1;
    set_mode(WRITE);
    for (uint32_t at = 0; at < n; at += 4u) {
        uint32_t word;
        memcpy(&word, bytes + at, sizeof word);
        while (!(READY & 1u)) {
        }
        *(volatile uint32_t *)(address + at) = word;
    }
    set_mode(READ_ONLY);
    return memcmp((const void *)address, bytes, n) ? -1 : 0;
}

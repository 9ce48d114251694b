/* Erases and programs the STM32's own flash: chapter FLASH of the manuals that series.h names. */
#include "../port.h"
#include "../sectors.h"
#include "series.h"

#include <string.h>

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define KEY1 0x45670123u
#define KEY2 0xCDEF89ABu

#if PORT_STM32_H7 /* two banks of eight sectors, each with registers of its own */
#define BANK(address) (FLASH_REGISTERS + ((address) - PORT_FLASH >= 0x100000u ? 0x100u : 0u))
#define KEYS 0x04u
#define CONTROL 0x0Cu
#define STATUS 0x10u
#define CLEAR 0x14u
#define LOCK 1u
#define PROGRAM (2u | 3u << 4) /* PG, 64 bits at once */
#define ERASE(sector) (4u | 3u << 4 | ((sector) % 8u) << 8)
#define START (1u << 7)
#define BUSY 7u /* BSY, WBNE, QW */
#define ERRORS (1u << 17 | 1u << 18 | 1u << 19 | 1u << 21 | 1u << 22)
#elif PORT_STM32_L4 /* two banks of 256 pages */
#define BANK(address) FLASH_REGISTERS
#define KEYS 0x08u
#define STATUS 0x10u
#define CLEAR 0x10u
#define CONTROL 0x14u
#define LOCK (1u << 31)
#define PROGRAM 1u
#define ERASE(sector) (2u | ((sector) % 256u) << 3 | ((sector) / 256u) << 11)
#define START (1u << 16)
#define BUSY (1u << 16)
#define ERRORS 0xFAu
#else
#define BANK(address) FLASH_REGISTERS
#define KEYS 0x04u
#define STATUS 0x0Cu
#define CLEAR 0x0Cu
#define CONTROL 0x10u
#define LOCK (1u << 31)
#define PROGRAM (1u | 2u << 8) /* PG, 32 bits at once: 2.7 to 3.6 V */
#define ERASE(sector) (2u | (sector) << 3 | 2u << 8)
#define START (1u << 16)
#define BUSY (1u << 16)
#define ERRORS 0xF2u
#endif

static void unlock(uint32_t bank) {
    REGISTER(bank + CLEAR) = ERRORS;
    if (REGISTER(bank + CONTROL) & LOCK) {
        REGISTER(bank + KEYS) = KEY1;
        REGISTER(bank + KEYS) = KEY2;
    }
}

/* Waits, and locks again. */
static int finish(uint32_t bank) {
    __asm volatile("dsb" ::: "memory");
    while (REGISTER(bank + STATUS) & BUSY) {
    }
    const int result = REGISTER(bank + STATUS) & ERRORS ? -1 : 0;
    REGISTER(bank + CONTROL) = LOCK;
    return result;
}

int port_flash_erase(uint32_t address) {
    const int32_t sector = sector_at(address);
    if (sector < 0) return -1;
    const uint32_t bank = BANK(address);
    unlock(bank);
    REGISTER(bank + CONTROL) = ERASE((uint32_t)sector);
    REGISTER(bank + CONTROL) |= START;
    return finish(bank);
}

int port_flash_program(uint32_t address, const uint8_t *bytes, uint32_t n) {
    if (!units_at(address, bytes, n)) return -1;
    for (uint32_t done = 0; done < n; done += PORT_FLASH_UNIT) {
        const uint32_t bank = BANK(address + done);
        unlock(bank);
        REGISTER(bank + CONTROL) = PROGRAM;
        for (uint32_t at = done; at < done + PORT_FLASH_UNIT; at += 4u) {
            uint32_t word;
            memcpy(&word, bytes + at, sizeof word);
            REGISTER(address + at) = word;
        }
        if (finish(bank)) return -1;
    }
    return 0;
}

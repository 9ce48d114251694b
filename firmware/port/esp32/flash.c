/* Erases and programs the serial flash beside an ESP32: by ESP-IDF where it is there, else with the ESP32-C3's ROM. */
#include "../port.h"
#include "../sectors.h"

#define SECTOR_BYTES 4096u

#ifdef PORT_FRAMEWORK
#include "esp_flash.h"

static int erase(uint32_t offset) {
    return esp_flash_erase_region(NULL, offset, SECTOR_BYTES) ? -1 : 0;
}
static int program(uint32_t offset, const uint8_t *bytes, uint32_t n) {
    return esp_flash_write(NULL, bytes, offset, n) ? -1 : 0;
}
#else
/* Addresses of the ESP32-C3's ROM as ESP-IDF publishes them (components/esp_rom/esp32c3/ld). */
#define ROM_ERASE_SECTOR ((int (*)(uint32_t sector))0x40000128u)
#define ROM_WRITE ((int (*)(uint32_t offset, const uint8_t *words, int32_t n))0x4000012Cu)
#define ROM_SUSPEND_CACHE ((uint32_t(*)(void))0x40000524u)
#define ROM_RESUME_CACHE ((void (*)(uint32_t state))0x40000528u)
#define ROM_INVALIDATE_CACHE ((void (*)(void))0x400004D8u)

/* In RAM, because the flash cannot be read meanwhile. */
__attribute__((noinline, section(".ramcode"))) static int erase(uint32_t offset) {
    const uint32_t state = ROM_SUSPEND_CACHE();
    const int failed = ROM_ERASE_SECTOR(offset / SECTOR_BYTES);
    ROM_INVALIDATE_CACHE();
    ROM_RESUME_CACHE(state);
    return failed ? -1 : 0;
}

__attribute__((noinline, section(".ramcode"))) static int program(uint32_t offset, const uint8_t *bytes, uint32_t n) {
    const uint32_t state = ROM_SUSPEND_CACHE();
    const int failed = ROM_WRITE(offset, bytes, (int32_t)n);
    ROM_INVALIDATE_CACHE();
    ROM_RESUME_CACHE(state);
    return failed ? -1 : 0;
}
#endif

int port_flash_erase(uint32_t address) {
    return sector_at(address) < 0 ? -1 : erase(address - PORT_FLASH);
}

/* Bytes must lie in RAM. */
int port_flash_program(uint32_t address, const uint8_t *bytes, uint32_t n) {
    return units_at(address, bytes, n) ? program(address - PORT_FLASH, bytes, n) : -1;
}

/* Erases and programs the serial flash beside an RP2040 with the boot ROM's functions: RP2040 Datasheet 2.8.3. */
#include "../port.h"
#include "../sectors.h"

#ifndef PORT_RAM_CODE
#define PORT_RAM_CODE ".ramcode"
#endif
#define BLOCK_BYTES 0x10000u
#define BLOCK_ERASE 0xD8u

typedef void (*rom_function)(void);
struct rom {
    rom_function connect, exit_xip, flush, enter_xip;
    void (*erase)(uint32_t offset, uint32_t n, uint32_t block, uint8_t command);
    void (*program)(uint32_t offset, const uint8_t *bytes, uint32_t n);
};

static rom_function find(char a, char b) {
    uintptr_t place = 0x14u; /* of pointers: table, another, its search */
    __asm volatile("" : "+r"(place)); /* to gcc, small addresses are null pointers gone astray */
    const uint16_t *const pointers = (const uint16_t *)place;
    rom_function (*const search)(uintptr_t table, uint32_t code) =
        (rom_function (*)(uintptr_t, uint32_t))(uintptr_t)pointers[2];
    return search(pointers[0], (uint32_t)a | (uint32_t)b << 8);
}

/* In RAM, because the flash cannot be read meanwhile; bytes == NULL erases. */
__attribute__((noinline, section(PORT_RAM_CODE))) static void change(const struct rom *rom, uint32_t offset,
                                                                     const uint8_t *bytes, uint32_t n) {
    uint32_t masked;
    __asm volatile("mrs %0, primask\n cpsid i" : "=r"(masked)::"memory");
    rom->connect();
    rom->exit_xip();
    if (bytes)
        rom->program(offset, bytes, n);
    else
        rom->erase(offset, n, BLOCK_BYTES, BLOCK_ERASE);
    rom->flush();
    rom->enter_xip();
    __asm volatile("msr primask, %0" ::"r"(masked) : "memory");
}

static void with_rom(uint32_t address, const uint8_t *bytes, uint32_t n) {
    const struct rom rom = {
        .connect = find('I', 'F'),
        .exit_xip = find('E', 'X'),
        .flush = find('F', 'C'),
        .enter_xip = find('C', 'X'),
        .erase = (void (*)(uint32_t, uint32_t, uint32_t, uint8_t))find('R', 'E'),
        .program = (void (*)(uint32_t, const uint8_t *, uint32_t))find('R', 'P'),
    };
    change(&rom, address - PORT_FLASH, bytes, n);
}

int port_flash_erase(uint32_t address) {
    if (sector_at(address) < 0) return -1;
    with_rom(address, NULL, 4096u);
    return 0;
}

/* Bytes that lie in this flash cannot be read while it is written. */
int port_flash_program(uint32_t address, const uint8_t *bytes, uint32_t n) {
    if (!units_at(address, bytes, n) || (uintptr_t)bytes >> 28 == PORT_FLASH >> 28) return -1;
    with_rom(address, bytes, n);
    return 0;
}

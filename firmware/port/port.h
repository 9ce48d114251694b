/* What the firmware asks of a board: bytes in and out, a counter, its memory, and a way to stop.
 *
 * A port starts the core (stack, .data, .bss, FPU), brings up the serial port and the tick counter, and then
 * calls `app_main`. A family of boards implements this header in firmware/port/<family>/; a board's addresses
 * come from its file in boards/ as PORT_… macros. Nothing here allocates. Only `port_ticks` may be called
 * from an interrupt handler. */
#ifndef OFFRAMP_PORT_H
#define OFFRAMP_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exit code after a fault; before it goes the line "fault: <kind> pc=<hex>" over the serial port. */
#define PORT_FAULT_EXIT 70

/* Places a buffer that exists for the link alone, so that reports of static RAM count it apart. */
#ifdef __APPLE__
#define PORT_LINK_BUFFER
#else
#define PORT_LINK_BUFFER __attribute__((section(".bss.ofr_link")))
#endif

/* Defined by the application. Its result is the exit code. */
int app_main(void);

/* Copies up to n received bytes and returns how many; never waits. */
size_t port_read(uint8_t *bytes, size_t n);

/* Sends n bytes; returns when the last one is handed to the hardware. */
void port_write(const uint8_t *bytes, size_t n);

/* Sleeps until something may have happened; returns at once while received bytes wait. */
void port_idle(void);

/* False masks the receive interrupt, so that a measured section holds nothing else; bytes then wait in the
 * hardware. */
void port_receive(bool enabled);

/* A free-running counter that wraps at 2^32. The board file says how many instructions a tick is worth in the
 * emulator; where there is no such counter this is always 0. What passes in port_idle means nothing there. */
uint32_t port_ticks(void);

/* Ends the emulation, or the process, with this code. */
_Noreturn void port_exit(int code);

/* Starts again as after power-on; RAM outside .data and .bss keeps its contents on most boards. */
_Noreturn void port_reset(void);

struct port_memory {
    uint8_t *base; /* 16-byte aligned; NULL if there is none */
    uint32_t size;
    bool writable;
};

/* What is left of the arena's region: the application divides it between state and arena. */
struct port_memory port_arena(void);

/* Where a model is loaded by the emulator, or received over the link if writable. Holds anything before. */
struct port_memory port_model_slot(void);

/* The model linked into this image (posix: or given by --model, in a block of just its size); or size 0. */
struct port_memory port_linked_model(void);

/* Boards with a flash of their own; not emulated ones. `address` is one of the board file's flash region that has
 * sectors, `n` a multiple of its program unit. 0, or -1 where address or n are none of these or the hardware
 * refused: what the flash then holds is unknown. Nothing else runs meanwhile; interrupts wait. */
int port_flash_erase(uint32_t address); /* the sector that begins there; then all its bytes are 0xFF */
int port_flash_program(uint32_t address, const uint8_t *bytes, uint32_t n); /* of erased bytes; word-aligned */

/* Fills the unused stack with a pattern, and counts the bytes used since. 0 where that cannot be known. */
void port_stack_paint(void);
uint32_t port_stack_used(void);

#endif

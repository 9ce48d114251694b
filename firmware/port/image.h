/* The symbols that firmware/port/sections.ld defines, and what all start-up code does with them. */
#ifndef OFFRAMP_PORT_IMAGE_H
#define OFFRAMP_PORT_IMAGE_H

#include <stdint.h>

extern uint32_t image_stack[], image_stack_end[];
extern uint32_t image_data[], image_data_end[], image_data_load[];
extern uint32_t image_bss[], image_bss_end[];
extern uint8_t image_arena[], image_arena_end[];

/* Copies .data out of flash and clears .bss. */
void image_start(void);

/* Writes "fault: <kind> pc=<hex>" to the serial port and exits. */
_Noreturn void image_fault(const char *kind, uint32_t pc);

#endif

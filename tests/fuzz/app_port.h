/* A port for the whole application within a test: its line is a buffer, its model one that the test links in. The
 * includer defines port_write and port_reset. */
#ifndef APP_PORT_H
#define APP_PORT_H

#include "port.h"

#include <string.h>

static uint8_t line[16384]; /* from the host to the board */
static size_t line_put, line_taken;
static _Alignas(16) uint8_t arena[8192], slot[16384];
static void (*interrupt)(void); /* comes whenever the counter is read, which steps that are measured are parted by */
extern const uint8_t linked_model[];
extern const uint32_t linked_model_bytes;

static inline void to_line(const uint8_t *bytes, size_t n) {
    memcpy(line + line_put, bytes, n);
    line_put += n;
}

size_t port_read(uint8_t *bytes, size_t n) {
    const size_t waiting = line_put - line_taken;
    if (n > waiting) n = waiting;
    memcpy(bytes, line + line_taken, n);
    line_taken += n;
    return n;
}

void port_receive(bool enabled) {
    (void)enabled;
}
uint32_t port_ticks(void) {
    static uint32_t ticks;
    if (interrupt != NULL) interrupt();
    return ticks += 5;
}
uint32_t port_stack_used(void) {
    return 0;
}
struct port_memory port_arena(void) {
    return (struct port_memory){arena, sizeof arena, true};
}
struct port_memory port_model_slot(void) {
    return (struct port_memory){slot, sizeof slot, true};
}
struct port_memory port_linked_model(void) {
    return (struct port_memory){(uint8_t *)(uintptr_t)linked_model, linked_model_bytes, false};
}

#endif

/* What every bare-metal family shares: sections set up, memory handed out, stack measured, faults told. */
#include "image.h"

#include "port.h"

#include <string.h>

#define STACK_PATTERN 0x5AA5C33Cu

void image_start(void) {
    memcpy(image_data, image_data_load, (size_t)((uintptr_t)image_data_end - (uintptr_t)image_data));
    memset(image_bss, 0, (size_t)((uintptr_t)image_bss_end - (uintptr_t)image_bss));
    port_stack_paint();
}

struct port_memory port_arena(void) {
    return (struct port_memory){image_arena, (uint32_t)(image_arena_end - image_arena), true};
}

struct port_memory port_model_slot(void) {
    return (struct port_memory){(uint8_t *)PORT_MODEL_SLOT, PORT_MODEL_SLOT_BYTES, PORT_MODEL_SLOT_WRITABLE};
}

/* Weak, because an image without a model does not define them. */
extern uint8_t ofr_blob[] __attribute__((weak));
extern uint8_t ofr_blob_end[] __attribute__((weak));

struct port_memory port_linked_model(void) {
    return (struct port_memory){ofr_blob, (uint32_t)((uintptr_t)ofr_blob_end - (uintptr_t)ofr_blob), false};
}

void port_stack_paint(void) {
    /* 64 bytes below this frame stay as they are: an interrupt may be using them. */
    const uint32_t *here = (const uint32_t *)__builtin_frame_address(0) - 16;
    for (volatile uint32_t *p = image_stack; p < here; ++p)
        *p = STACK_PATTERN;
}

uint32_t port_stack_used(void) {
    const uint32_t *p = image_stack;
    while (p < image_stack_end && *p == STACK_PATTERN)
        ++p;
    return (uint32_t)((uintptr_t)image_stack_end - (uintptr_t)p);
}

void image_fault(const char *kind, uint32_t pc) {
    char line[] = " pc=00000000\n";
    for (int i = 11; i >= 4; --i, pc >>= 4)
        line[i] = "0123456789abcdef"[pc & 15u];
    port_write((const uint8_t *)"fault: ", 7);
    while (*kind)
        port_write((const uint8_t *)kind++, 1); /* newlib's strlen would cost 316 bytes */
    port_write((const uint8_t *)line, sizeof line - 1);
    port_exit(PORT_FAULT_EXIT);
}
